"""The servers' own configuration, as it follows from the settings."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from pipeline import settings, topics
from pipeline.errors import PipelineError
from pipeline.operations import kafka_server, nocodb_server, postgresql_server
from pipeline.operations.places import Installed
from pipeline.settings import Settings

SECRETS = {name: f"{name.lower()}-{'s' * 32}"[:32] for name in settings.secret_names()}


def given(**values: str) -> Settings:
    return settings.parse({**SECRETS, **values})


def test_kafka_flushes_every_append_unless_told_otherwise() -> None:
    assert kafka_server.properties(given())["log.flush.interval.messages"] == "1"
    assert "log.flush.interval.messages" not in kafka_server.properties(given(KAFKA_FLUSH_EVERY_APPEND="false"))


def test_kafka_takes_the_largest_record_that_the_pipeline_sends() -> None:
    assert int(kafka_server.properties(given())["message.max.bytes"]) > topics.REJECTED_RECORD_BYTES


def test_kafka_keeps_records_and_positions_for_as_long_as_a_restore_may_need_them() -> None:
    made = kafka_server.properties(given(KAFKA_RETENTION_HOURS="400"))
    assert made["log.retention.hours"] == "400"
    # The broker's limit is an int of minutes; what was read is kept for years.
    assert 5 * 365 * 24 * 60 < int(made["offsets.retention.minutes"]) < 2**31


@pytest.mark.parametrize(
    ("host", "listens", "advertises"),
    [
        ("127.0.0.1", "PLAINTEXT://127.0.0.1:9092", "PLAINTEXT://127.0.0.1:9092"),
        ("0.0.0.0", "PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://127.0.0.1:9092"),  # noqa: S104 - nobody can connect there
        ("::1", "PLAINTEXT://[::1]:9092", "PLAINTEXT://[::1]:9092"),
    ],
)
def test_kafka_advertises_an_address_that_clients_can_use(host: str, listens: str, advertises: str) -> None:
    made = kafka_server.properties(given(KAFKA_HOST=host))
    assert made["listeners"].split(",")[0] == listens
    assert made["advertised.listeners"].split(",")[0] == advertises


def test_postgresql_listens_where_the_settings_say_and_trusts_nobody() -> None:
    text = postgresql_server.configuration(given(POSTGRES_PORT="5999"))
    assert "port = 5999\n" in text
    assert "listen_addresses = '127.0.0.1'\n" in text
    rules = [line.split() for line in postgresql_server.access(given()).splitlines() if not line.startswith("#")]
    assert {rule[4] if rule[0] == "host" else rule[3] for rule in rules} == {"peer", "scram-sha-256"}
    assert {rule[3] for rule in rules if rule[0] == "host"} == {"127.0.0.1/32", "::1/128"}


def test_data_of_a_postgresql_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    made = given(DATA_DIR=str(tmp_path))
    (tmp_path / "postgresql").mkdir()
    (tmp_path / "postgresql" / "PG_VERSION").write_text("14\n")
    programs = Installed(java=tmp_path, kafka=tmp_path, nocodb=tmp_path, postgresql=tmp_path / "15" / "bin")
    with pytest.raises(PipelineError, match="PostgreSQL 14, which is not installed"):
        postgresql_server.programs_for(made, programs)


def test_nocodb_gets_its_secrets_in_its_environment_and_none_in_its_command() -> None:
    made = given()
    programs = Installed(java=Path("/j"), kafka=Path("/k"), nocodb=Path("/n"), postgresql=Path("/p"))
    assert nocodb_server.environment(made)["NC_CONNECTION_ENCRYPT_KEY"] == made.nocodb_encryption_key
    assert not [secret for secret in SECRETS.values() if secret in " ".join(nocodb_server.command(programs))]


def test_kafkas_cluster_id_never_looks_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter([UUID(bytes=bytes([0xF8]) + bytes(15)), UUID(bytes=bytes([0xFB]) * 16), UUID(int=1)])
    monkeypatch.setattr(kafka_server.uuid, "uuid4", lambda: next(made))
    assert kafka_server.new_cluster_id() == "AAAAAAAAAAAAAAAAAAAAAQ"
