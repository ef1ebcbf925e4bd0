"""The settings: one list in code and in .env.example, and every wrong value named before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from dotenv import dotenv_values

from pipeline import settings
from pipeline.errors import SettingsError

EXAMPLE = settings.ROOT / ".env.example"

SECRETS = dict.fromkeys(settings.secret_names(), "s" * 32)


def as_text(value: object) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def test_the_example_and_the_code_list_the_same_settings_in_the_same_order() -> None:
    assert list(dotenv_values(EXAMPLE)) == list(settings.defaults())


@pytest.mark.parametrize("name", sorted(settings.defaults()))
def test_the_example_shows_the_default_and_no_secret(name: str) -> None:
    default = settings.defaults()[name]
    assert dotenv_values(EXAMPLE)[name] == ("" if default is None else as_text(default))


def test_the_example_explains_every_setting_above_it() -> None:
    paragraph: list[str] = []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if not line:
            paragraph = []
        elif line.startswith("#"):
            paragraph.append(line)
        else:
            assert paragraph, f"nothing explains {line}"


def test_the_defaults_and_secrets_are_valid() -> None:
    assert settings.parse(SECRETS).results_per_fetch == 10


WRONG = [
    ("RESULTS_PER_FETCH", "0", "from 1 to 4000"),
    ("RESULTS_PER_FETCH", "4001", "from 1 to 4000"),
    ("RESULTS_PER_FETCH", "ten", "from 1 to 4000"),
    ("NOCODB_PORT", "99999", "from 1 to 65535"),
    ("NATIONALITIES", "DE,XX", "XX"),
    ("LOG_LEVEL", "LOUD", "DEBUG"),
    ("FEED_OFFLINE", "perhaps", "true or false"),
    ("API_URL", "randomuser.me", "http"),
    ("POSTGRES_PORT", "9092", "a different port"),  # the one of Kafka
    ("KAFKA_RETENTION_HOURS", "100", "BACKUP_RETENTION_DAYS"),
    ("NOCODB_ENCRYPTION_KEY", "short", "exactly 32"),
    ("COMPOSE_PROJECT_NAME", "My Project", "lower-case"),
    ("COMPOSE_PROJECT_NAME", "people-", "lower-case"),
    ("COMPOSE_PROJECT_NAME", "people_-2", "lower-case"),
    ("COMPOSE_PROJECT_NAME", "p" * 64, "lower-case"),
    ("ADD_LABEL_PROCESSES", "7", "at most 6"),  # there are 6 partitions
    ("KAFKA_BROKERS", "2", "one of 1, 3"),
]


@pytest.mark.parametrize(("name", "value", "told"), WRONG)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.parse({**SECRETS, name: value})
    assert name in caught.value.detail
    assert told in caught.value.detail
    assert caught.value.exit_code == 2


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.parse({**SECRETS, "RESULTS_PER_FETCH": "0", "NOCODB_PORT": "x"})
    assert "RESULTS_PER_FETCH" in caught.value.detail
    assert "NOCODB_PORT" in caught.value.detail


@pytest.mark.parametrize("name", settings.secret_names())
def test_a_wrong_secret_is_named_but_not_shown(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.parse({**SECRETS, name: "half$secret"})
    assert name in caught.value.detail
    assert "half$secret" not in caught.value.report()


def write(path: Path, values: dict[str, str]) -> dict[str, str]:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    return {"PIPELINE_ENV_FILE": str(path)}


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(tmp_path: Path) -> None:
    environ = write(tmp_path / "env", {**SECRETS, "BATCH_RECORDS": "7", "NOCODB_PORT": "8081"})
    loaded = settings.load({**environ, "NOCODB_PORT": "8082"})
    assert (loaded.batch_records, loaded.nocodb_port, loaded.kafka_port) == (7, 8082, 9092)


def test_a_misspelt_name_in_the_file_is_told(tmp_path: Path) -> None:
    environ = write(tmp_path / "env", {**SECRETS, "RESULTS_PER_FETCHES": "7"})
    with pytest.raises(SettingsError, match="RESULTS_PER_FETCHES"):
        settings.load(environ)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({"PIPELINE_ENV_FILE": str(tmp_path / "none")})
    assert "Project_Initialize.sh" in caught.value.hint


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "env").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.load({"PIPELINE_ENV_FILE": str(tmp_path / "env")})


def test_three_brokers_are_for_the_container_way_alone() -> None:
    assert settings.parse({**SECRETS, "KAFKA_BROKERS": "3", "PIPELINE_MODE": "docker"}).kafka_brokers == 3
    with pytest.raises(SettingsError) as caught:
        settings.parse({**SECRETS, "KAFKA_BROKERS": "3", "PIPELINE_MODE": "native"})
    assert "KAFKA_BROKERS is 3" in caught.value.detail


def test_a_client_is_told_every_broker() -> None:
    one = settings.parse({**SECRETS, "KAFKA_HOST": "kafka"})
    three = settings.parse({**SECRETS, "KAFKA_HOST": "kafka", "KAFKA_BROKERS": "3"})
    assert one.bootstrap_servers == "kafka:9092"
    assert three.bootstrap_servers == "kafka:9092,kafka-2:9092,kafka-3:9092"


def test_a_container_of_kafka_must_hold_its_heap() -> None:
    values = {**SECRETS, "KAFKA_HEAP_MB": "1400"}
    assert settings.parse({**values, "PIPELINE_MODE": "native"}).kafka_memory_mb == 1536
    with pytest.raises(SettingsError) as caught:
        settings.parse({**values, "PIPELINE_MODE": "docker"})
    assert "KAFKA_MEMORY_MB is 1536; allowed: at least 1784" in caught.value.detail


def test_a_file_of_an_older_version_hinders_nobody_from_ending_what_runs(tmp_path: Path) -> None:
    lines = [f"{name}={value}" for name, value in SECRETS.items() if name != "API_TOKEN"]
    (tmp_path / "env").write_text("\n".join(lines) + "\n", encoding="utf-8")
    environ = {"PIPELINE_ENV_FILE": str(tmp_path / "env")}
    with pytest.raises(SettingsError) as raised:
        settings.load(environ)
    assert "API_TOKEN" in raised.value.detail
    assert "Project_Stop.sh" in (raised.value.hint or "")
    loaded = settings.load(environ, to_end=True)
    assert len(loaded.api_token) >= 32
    assert loaded.postgres_password == SECRETS["POSTGRES_PASSWORD"]
