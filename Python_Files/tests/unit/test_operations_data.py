"""The data directory: made closed, never taken from somebody else, emptied only with its mark."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline import settings
from pipeline.errors import PipelineError, UsageError
from pipeline.operations import applied, env_file, files, logs, parts, places, reset, scale
from pipeline.settings import Settings

SECRETS = dict.fromkeys(settings.secret_names(), "s" * 32)


def with_data(directory: Path) -> Settings:
    return settings.parse({**SECRETS, "DATA_DIR": str(directory), "BACKUP_DIR": str(directory / "backup")})


@pytest.fixture
def ours() -> Iterator[Settings]:
    # A name that leaves room for the sockets', whatever the directory of the tests is called.
    with tempfile.TemporaryDirectory(prefix="pl-") as short:
        made = with_data(Path(short) / "data")
        places.make(made)
        yield made


def test_the_data_is_closed_to_other_users(ours: Settings) -> None:
    for directory in (ours.data, ours.logs, ours.run):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_making_it_again_changes_nothing(ours: Settings) -> None:
    (ours.run / "kept").touch()
    places.make(ours)
    assert (ours.run / "kept").exists()


def test_a_directory_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(PipelineError, match="not of this project"):
        places.make(with_data(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="too long"):
        places.make(with_data(tmp_path / ("long" * 20)))


def test_reset_empties_the_directory_and_nothing_else(ours: Settings, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (ours.data / "postgresql").mkdir()
    (ours.data / "postgresql" / "row").touch()
    (ours.data / "link").symlink_to(outside)
    reset.reset(ours, yes=True)
    assert list(ours.data.iterdir()) == []
    assert (outside / "kept").exists()


def test_reset_refuses_a_directory_without_the_mark(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(PipelineError, match="does not bear the mark"):
        reset.reset(with_data(tmp_path), yes=True)
    assert (tmp_path / "thesis.txt").exists()


def test_reset_does_nothing_when_nobody_can_be_asked(ours: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/null").open() as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        with pytest.raises(UsageError):
            reset.reset(ours, yes=False)
    assert (ours.data / places.MARKER).exists()


def test_a_file_is_replaced_whole_and_keeps_no_trace_of_a_failed_write(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, "old")
    with pytest.raises(UnicodeEncodeError):
        files.write(path, "\udc80")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_stage_has_as_many_processes_as_the_settings_say() -> None:
    scaled = {"ADD_LABEL_PROCESSES": "3", "ADD_DATABASE_NOCODB_PROCESSES": "0"}
    numbers = parts.scale(settings.parse({**SECRETS, **scaled}))
    assert numbers == {
        "1-Add_Timestamp": 1,
        "2-Add_Label": 3,
        "3-Add_Database-postgresql": 1,
        "3-Add_Database-nocodb": 0,
    }


def test_the_number_of_a_stage_is_written_into_the_settings_file(tmp_path: Path) -> None:
    env_file.prepare(tmp_path / "env", {})
    scale.record(tmp_path / "env", "3-Add_Database-postgresql", 6, {})
    assert settings.load({"PIPELINE_ENV_FILE": str(tmp_path / "env")}).add_database_postgresql_processes == 6


@pytest.mark.parametrize(("stage", "number"), [("2-Add_Label", 7), ("2-Add_Label", -1), ("kafka", 1), ("9-None", 1)])
def test_a_scale_that_cannot_be_is_refused_and_nothing_is_written(tmp_path: Path, stage: str, number: int) -> None:
    env_file.prepare(tmp_path / "env", {})
    before = (tmp_path / "env").read_bytes()
    with pytest.raises(UsageError):
        scale.record(tmp_path / "env", stage, number, {})
    assert (tmp_path / "env").read_bytes() == before


def test_a_part_has_the_logs_of_all_its_processes(ours: Settings) -> None:
    for name in ("kafka", "2-Add_Label-1", "2-Add_Label-2", "3-Add_Database-nocodb-1"):
        (ours.logs / f"{name}.log").touch()
    assert [path.stem for path in logs.of_part(ours, "2-Add_Label")] == ["2-Add_Label-1", "2-Add_Label-2"]
    assert [path.stem for path in logs.of_part(ours, "2-Add_Label-2")] == ["2-Add_Label-2"]
    assert len(logs.of_part(ours, None)) == 4
    with pytest.raises(UsageError, match="no log of 'nothing'"):
        logs.of_part(ours, "nothing")


def test_what_was_applied_is_current_until_the_project_or_a_setting_changes(ours: Settings, tmp_path: Path) -> None:
    (tmp_path / "Database-Init").mkdir()
    script = tmp_path / "Database-Init" / "01.sql"
    script.write_text("SELECT 1;")
    before = applied.fingerprint(ours, tmp_path)
    assert applied.fingerprint(ours, tmp_path) == before
    script.write_text("SELECT 2;")
    after = applied.fingerprint(ours, tmp_path)
    assert after != before
    changed = settings.parse({**SECRETS, "DATA_DIR": str(ours.data), "READER_DB_PASSWORD": "t" * 32})
    assert applied.fingerprint(changed, tmp_path) != after


def test_what_was_applied_stays_current_when_a_stage_is_scaled(ours: Settings, tmp_path: Path) -> None:
    for stage in parts.scale(ours):
        scaled = msgspec.structs.replace(ours, **{parts.processes_setting(stage).lower(): 3})
        assert applied.fingerprint(scaled, tmp_path) == applied.fingerprint(ours, tmp_path)
