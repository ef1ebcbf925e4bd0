"""The file .env: made once with secrets of its own, completed by an update, never opened to others."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dotenv import dotenv_values

from pipeline import settings
from pipeline.errors import SettingsError
from pipeline.operations import env_file


def values(path: Path) -> dict[str, str | None]:
    return dotenv_values(path, interpolate=False)


def test_a_new_file_has_every_setting_and_a_secret_of_its_own_for_each_secret(tmp_path: Path) -> None:
    env_file.prepare(tmp_path / "one", {}, mode="native")
    env_file.prepare(tmp_path / "two", {}, mode="native")
    one, two = values(tmp_path / "one"), values(tmp_path / "two")
    assert list(one) == list(settings.defaults())
    assert one["PIPELINE_MODE"] == "native"
    secrets = [file[name] for file in (one, two) for name in settings.secret_names()]
    assert len(set(secrets)) == 2 * len(settings.secret_names())


def test_a_new_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    env_file.prepare(tmp_path / "env", {})
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["env"]


def test_a_new_file_keeps_the_explanations_of_the_example(tmp_path: Path) -> None:
    env_file.prepare(tmp_path / "env", {})
    comments = [line for line in env_file.EXAMPLE.read_text().splitlines() if line.startswith("#")]
    assert [line for line in (tmp_path / "env").read_text().splitlines() if line.startswith("#")] == comments


def test_a_new_file_takes_what_the_environment_gives(tmp_path: Path) -> None:
    given = {"NOCODB_PORT": "8090", "NOCODB_ADMIN_PASSWORD": "chosen-by-a-person", "UNRELATED": "x"}
    env_file.prepare(tmp_path / "env", given)
    made = values(tmp_path / "env")
    assert (made["NOCODB_PORT"], made["NOCODB_ADMIN_PASSWORD"]) == ("8090", "chosen-by-a-person")
    assert "UNRELATED" not in made


def test_nothing_is_written_when_a_given_value_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be used"):
        env_file.prepare(tmp_path / "env", {"NOCODB_PORT": "99999"})
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    env_file.prepare(tmp_path / "env", {}, mode="native")
    before = (tmp_path / "env").read_bytes(), (tmp_path / "env").stat().st_ino
    env_file.prepare(tmp_path / "env", {"NOCODB_PORT": "8090"}, mode="native")
    assert ((tmp_path / "env").read_bytes(), (tmp_path / "env").stat().st_ino) == before


def test_an_older_file_gets_what_it_lacks_and_keeps_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "env"
    env_file.prepare(path, {"NOCODB_PORT": "8090"})
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("READER_DB_PASSWORD=", "LOG_"))]
    path.write_text("\n".join([*lines, "# a person's own remark"]) + "\n")
    env_file.prepare(path, {})
    text = path.read_text()
    secret = values(path)["READER_DB_PASSWORD"] or ""
    told = capsys.readouterr().out
    assert "env completed: READER_DB_PASSWORD, LOG_LEVEL, LOG_FILE_MB, LOG_FILES" in told
    assert len(secret) == 32
    assert secret not in told
    assert list(settings.defaults()) == sorted(values(path), key=list(settings.defaults()).index)
    assert "# a person's own remark" in text
    assert values(path)["NOCODB_PORT"] == "8090"
    assert settings.load({"PIPELINE_ENV_FILE": str(path)}).log_level == "INFO"


def test_names_that_are_no_settings_are_told_all_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "env"
    env_file.prepare(path, {})
    text = path.read_text().replace("LOG_FILES=5\n", "") + "NOCODB_PROT=1\nKAFKA_HEAP=secret-word\n"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        env_file.prepare(path, {})
    assert "KAFKA_HEAP, NOCODB_PROT" in caught.value.message
    assert "secret-word" not in caught.value.report()
    assert path.read_text() == text


def test_the_way_that_is_given_goes_before_the_one_of_the_environment(tmp_path: Path) -> None:
    prepared = env_file.prepare(tmp_path / "env", {"PIPELINE_MODE": "native", "KAFKA_BROKERS": "3"}, mode="docker")
    assert (prepared.pipeline_mode, values(tmp_path / "env")["PIPELINE_MODE"]) == ("docker", "docker")


def test_an_empty_secret_is_a_fault_and_not_replaced_behind_the_persons_back(tmp_path: Path) -> None:
    path = tmp_path / "env"
    env_file.prepare(path, {})
    path.write_text(path.read_text().replace(f"={values(path)['NOCODB_JWT_SECRET']}", "="))
    with pytest.raises(SettingsError) as caught:
        env_file.prepare(path, {})
    assert "NOCODB_JWT_SECRET" in caught.value.detail


def test_a_file_open_to_others_is_closed(tmp_path: Path) -> None:
    env_file.prepare(tmp_path / "env", {})
    (tmp_path / "env").chmod(0o644)
    env_file.prepare(tmp_path / "env", {})
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "value", ["plain-1_2", "a b", "it's", 'a "b"', "a#b # c", "back\\slash", "$HOME ${X}", "a=b", ""]
)
def test_a_value_comes_back_from_the_file_as_it_was(tmp_path: Path, value: str) -> None:
    (tmp_path / "env").write_text(env_file.fill("# why\nNAME=old\n", {"NAME": value}), encoding="utf-8")
    assert values(tmp_path / "env") == {"NAME": value}


def test_a_changed_setting_leaves_all_else_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "env"
    env_file.prepare(path, {})
    path.write_text("# a person's own remark\n" + path.read_text())
    before = path.read_text()
    made = env_file.change(path, {"ADD_LABEL_PROCESSES": "3"}, {})
    assert made.add_label_processes == 3
    assert path.read_text() == before.replace("ADD_LABEL_PROCESSES=1", "ADD_LABEL_PROCESSES=3")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["env"]


@pytest.mark.parametrize(
    "line", ["", "ADD_LABEL_PROCESSES=2", "export ADD_LABEL_PROCESSES=2", "ADD_LABEL_PROCESSES = 2"]
)
def test_a_changed_setting_counts_wherever_the_file_has_it(tmp_path: Path, line: str) -> None:
    path = tmp_path / "env"
    env_file.prepare(path, {})
    path.write_text(f"{path.read_text()}{line}\n")
    env_file.change(path, {"ADD_LABEL_PROCESSES": "3"}, {})
    assert values(path)["ADD_LABEL_PROCESSES"] == "3"
    assert settings.load({"PIPELINE_ENV_FILE": str(path)}).add_label_processes == 3


def test_a_change_to_what_is_there_already_writes_nothing(tmp_path: Path) -> None:
    env_file.prepare(tmp_path / "env", {})
    before = (tmp_path / "env").stat().st_ino
    env_file.change(tmp_path / "env", {"ADD_LABEL_PROCESSES": "1"}, {})
    assert (tmp_path / "env").stat().st_ino == before


def test_a_change_that_the_environment_would_undo_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "env"
    env_file.prepare(path, {})
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="ADD_LABEL_PROCESSES is set in the environment"):
        env_file.change(path, {"ADD_LABEL_PROCESSES": "3"}, {"ADD_LABEL_PROCESSES": "2"})
    assert path.read_bytes() == before
    env_file.change(path, {"ADD_LABEL_PROCESSES": "3"}, {"ADD_LABEL_PROCESSES": "3"})
    assert values(path)["ADD_LABEL_PROCESSES"] == "3"


def test_a_change_that_cannot_be_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "env"
    env_file.prepare(path, {})
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="cannot be used"):
        env_file.change(path, {"ADD_LABEL_PROCESSES": "65"}, {})
    assert path.read_bytes() == before


def test_a_link_to_the_settings_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "env"
    env_file.prepare(real, {})
    (tmp_path / "env").symlink_to(real)
    env_file.change(tmp_path / "env", {"ADD_LABEL_PROCESSES": "3"}, {})
    assert (tmp_path / "env").is_symlink()
    assert values(real)["ADD_LABEL_PROCESSES"] == "3"


def test_of_two_who_change_the_file_at_once_nobody_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "env"
    env_file.prepare(path, {})
    names = [name for name in settings.defaults() if name.endswith("_PROCESSES")]
    with ThreadPoolExecutor(len(names)) as together:
        list(together.map(lambda name: env_file.change(path, {name: "5"}, {}), names))
    assert [values(path)[name] for name in names] == ["5"] * len(names)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_root_changes_the_file_of_another_user_who_still_owns_it(tmp_path: Path) -> None:
    path = tmp_path / "env"
    env_file.prepare(path, {}, owner=(12345, 23456))
    env_file.change(path, {"ADD_LABEL_PROCESSES": "3"}, {})
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_a_value_with_a_line_break_is_refused() -> None:
    with pytest.raises(SettingsError, match="DATA_DIR has a line break"):
        env_file.quote("DATA_DIR", "a\nb")
