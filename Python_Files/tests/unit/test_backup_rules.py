"""Backups: what PostgreSQL and pgBackRest are told, when a base backup is due, what the journal survives."""

from __future__ import annotations

import os
import re
import shlex
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline import backup
from pipeline import settings as all_settings
from pipeline.backup import command, configuration, points
from pipeline.backup import repository as repository_of
from pipeline.backup.repository import BaseBackup, Contents, Repository
from pipeline.errors import PipelineError, SettingsError
from pipeline.settings import Settings

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def settings_in(place: Path, **given: str) -> Settings:
    secrets = dict.fromkeys(all_settings.secret_names(), "secret-of-the-tests")
    values = {
        **secrets,
        "NOCODB_ENCRYPTION_KEY": "k" * 32,
        "DATA_DIR": f"{place}/data",
        "BACKUP_DIR": f"{place}/backup",
    }
    return all_settings.parse({**values, **given})


@pytest.mark.parametrize("name", ["plain", "with space", "100%p", "it's", "back\\slash", '"quoted"'])
def test_the_archive_command_survives_every_path(tmp_path: Path, name: str) -> None:
    settings = settings_in(tmp_path / name)
    found = re.search(r"^archive_command = '((?:[^'\\]|''|\\.)*)'$", backup.archiving_conf(settings), re.MULTILINE)
    assert found, "the value ends where it should"
    value = found[1].replace("''", "'").replace("\\\\", "\\")
    # As PostgreSQL does it, in one pass: %p is the file, %% a percent sign.
    run = re.sub("%(.)", lambda hit: {"p": "pg_wal/SEGMENT", "%": "%"}[hit[1]], value)
    assert shlex.split(run)[1:] == [
        f"--config={tmp_path / name / 'data' / 'run' / 'pgbackrest.conf'}",
        "--stanza=main",
        "archive-push",
        "pg_wal/SEGMENT",
    ]


def test_no_wal_is_ever_dropped_and_a_quiet_database_is_archived_each_minute(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert "archive-push-queue-max" not in configuration.pgbackrest_conf(settings, configuration.views(settings))
    assert "\narchive_timeout = 60\n" in backup.archiving_conf(settings)


def test_the_configuration_is_closed_to_other_users_and_has_no_secret(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, BACKUP_RETENTION_DAYS="3")
    backup.write_configuration(settings)
    backup.write_configuration(settings)
    path = configuration.config_file(settings)
    text = path.read_text(encoding="utf-8")
    assert "repo1-retention-full=3\n" in text
    assert "secret-of-the-tests" not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.backup.stat().st_mode) == 0o700
    assert stat.S_IMODE(configuration.repository(settings).stat().st_mode) == 0o700
    assert {entry.name for entry in settings.run.iterdir()} == {"pgbackrest.conf", path.name}, (
        "no half-written file is left"
    )


def test_a_directory_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.backup.mkdir(mode=0o755)
    (settings.backup / "photographs").mkdir()
    with pytest.raises(PipelineError, match="not of this project"):
        backup.make_place(settings)
    assert stat.S_IMODE(settings.backup.stat().st_mode) == 0o755


def test_an_empty_disk_can_take_the_backups(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    (settings.backup / "lost+found").mkdir(parents=True)
    backup.make_place(settings)
    assert stat.S_IMODE(settings.backup.stat().st_mode) == 0o700


def test_backups_that_are_set_aside_are_whole_and_out_of_the_way(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert backup.set_aside(settings.backup) is None
    backup.write_configuration(settings)
    (configuration.repository(settings) / "archive").mkdir()
    configuration.journal_file(settings).write_text("{}\n", encoding="utf-8")
    aside = backup.set_aside(settings.backup)
    assert aside
    assert (aside / "repository" / "archive").is_dir()
    assert (aside / "restore_points.jsonl").read_text(encoding="utf-8") == "{}\n"
    backup.write_configuration(settings)
    assert not list(configuration.repository(settings).iterdir())


def base(began: datetime, *, faulty: bool = False) -> BaseBackup:
    return BaseBackup("L", "full", began, began, "0" * 24, "0" * 24, 1, 1, faulty)


@pytest.mark.parametrize(
    ("backups", "due"),
    [
        ([], True),
        ([base(NOW - timedelta(hours=5, minutes=50))], False),
        # The run five minutes later would be farther from its time.
        ([base(NOW - timedelta(hours=5, minutes=58))], True),
        ([base(NOW - timedelta(hours=30)), base(NOW - timedelta(hours=1))], False),
        # One with broken pages is no reason to wait.
        ([base(NOW - timedelta(hours=30)), base(NOW - timedelta(hours=1), faulty=True)], True),
    ],
)
def test_a_base_backup_is_due_by_its_age(tmp_path: Path, backups: list[BaseBackup], due: bool) -> None:
    settings = settings_in(tmp_path, BACKUP_FULL_HOURS="6")
    assert bool(command.why_due(Repository(settings, Contents("15-1", 1, backups)), "", NOW)) is due


def archived(settings: Settings, name: str, size: int) -> None:
    directory = configuration.repository(settings) / "archive" / "main" / "15-1" / name[:16]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}-{'a' * 40}.zst").write_bytes(b"x" * size)


def test_a_base_backup_is_due_by_the_wal_since_the_last_one_and_by_a_gap_in_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, BACKUP_FULL_WAL_MB="16")
    fresh = base(NOW - timedelta(hours=1))._replace(last_segment="000000010000000000000004")
    repository = Repository(settings, Contents("15-1", 1, [fresh]))
    archived(settings, "000000010000000000000004", 64 << 20)  # the base backup's own
    archived(settings, "000000010000000000000005", (16 << 20) - 1)
    known = "000000010000000000000005"
    assert command.why_due(repository, known, NOW) == ""
    archived(settings, "000000010000000000000006", 1)
    assert command.why_due(repository, known, NOW) == "16.8 MB of WAL, 2 segments, came since the last one"
    later = "000000010000000000000007"
    assert "is missing" in command.why_due(Repository(settings_in(tmp_path), repository.contents), later, NOW)


@pytest.mark.parametrize("second", ["backup", "backup/second", "."])
def test_the_second_directory_of_backups_is_another_one(tmp_path: Path, second: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_in(tmp_path, BACKUP_DIR_2=str((tmp_path / second).resolve()))
    assert "BACKUP_DIR_2" in caught.value.detail


def test_wal_goes_to_the_second_repository_once_it_is_prepared_and_each_is_worked_on_alone(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, BACKUP_DIR_2=str(tmp_path / "second"))
    backup.write_configuration(settings)
    first, second = configuration.views(settings)
    push = configuration.push_config_file(settings)
    assert "repo2-path" not in push.read_text(encoding="utf-8"), "it would refuse every segment"
    configuration.prepared_file(settings).write_text(f"{configuration.repository(second)}\n", encoding="utf-8")
    backup.write_configuration(settings)
    assert f"repo2-path={configuration.repository(second)}\n" in push.read_text(encoding="utf-8")
    for view in (first, second):
        alone = configuration.config_file(view).read_text(encoding="utf-8")
        assert f"repo1-path={configuration.repository(view)}\n" in alone
        assert "repo2" not in alone
    # Taken out of .env, it is forgotten: given again, it is prepared again.
    backup.write_configuration(first)
    assert "repo2-path" not in push.read_text(encoding="utf-8")
    assert configuration.prepared(settings) == []


def test_one_directory_of_backups_that_cannot_be_used_does_not_stop_the_other(tmp_path: Path) -> None:
    (tmp_path / "second").write_text("not a directory", encoding="utf-8")
    settings = settings_in(tmp_path, BACKUP_DIR_2=str(tmp_path / "second"))
    assert [view.backup for view in backup.make_places(settings)] == [settings.backup]


def test_the_reason_is_that_of_the_repository_that_refused() -> None:
    text = (
        "104\nraised from local-1 protocol: archive-push command encountered error(s):\n"
        "repo2: [FileMissingError] unable to load info file '/b/archive.info':\nHINT: more\n"
    )
    assert repository_of.told_of_pushing(text, ["/a", "/b"]) == {"/b": "unable to load info file '/b/archive.info'"}


def point(name: str) -> points.Point:
    return points.Point(
        name=name,
        taken_at=NOW,
        lsn="0/5000200",
        wal_segment="000000010000000000000005",
        offsets=[],
        base_backup=None,
        duration_seconds=0.1,
    )


def test_a_line_that_a_killed_writer_left_half_is_no_point_and_spoils_no_later_one(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    backup.make_place(settings)
    path = configuration.journal_file(settings)
    points.append(path, point("one"))
    with path.open("ab") as stream:
        stream.write(b'{"name":"half')
    assert [one.name for one in points.read_journal(settings)] == ["one"]
    points.append(path, point("two"))
    assert points.read_journal(settings) == [point("one"), point("two")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    backup.make_place(settings)
    path = configuration.journal_file(settings)
    points.append(path, point("one"))
    path.write_bytes(path.read_bytes() + b'{"name": 7}\n')
    with pytest.raises(PipelineError, match="damaged") as caught:
        points.read_journal(settings)
    assert "line 2" in caught.value.detail


def test_a_missing_segment_is_found_also_where_the_numbering_carries_over(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    archive = configuration.repository(settings) / "archive" / "main" / "15-1"
    names = ["0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000001"]
    for name in names:
        (archive / name[:16]).mkdir(parents=True, exist_ok=True)
        (archive / name[:16] / f"{name}-{'a' * 40}.zst").write_bytes(b"x" * 10)
    # One that is still being written is not there yet.
    (archive / "0000000100000001" / f"000000010000000100000000-{'a' * 40}.zst.pgbackrest.tmp").write_bytes(b"x")
    wal = points.added_wal(settings, "15-1", "0000000100000000000000FD", "000000010000000100000001")
    assert wal == points.Wal(names, 30, ["000000010000000100000000"])


def test_two_points_of_one_second_have_two_names(tmp_path: Path) -> None:
    names: list[str] = []
    for _ in range(3):
        names.append(points.new_name(NOW, {*names}))
    assert names == ["backup-20261121T120000Z", "backup-20261121T120000Z-2", "backup-20261121T120000Z-3"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_is_told_with_its_setting(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(PipelineError, match="cannot be used") as caught:
        backup.make_place(settings_in(tmp_path, BACKUP_DIR=str(closed / "backup")))
    assert "BACKUP_DIR is" in caught.value.detail
