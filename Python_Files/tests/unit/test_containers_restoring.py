"""A restore in containers: what stands in the way of a start, how the places change, what is kept between the steps."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from pipeline import settings as all_settings
from pipeline.backup import beside, unfinished
from pipeline.backup.plan import Plan
from pipeline.backup.repository import BaseBackup
from pipeline.backup.target import Target
from pipeline.containers import restoring, volumes
from pipeline.errors import PipelineError
from pipeline.operations import lock
from pipeline.operations.lock import Busy
from pipeline.settings import Settings

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PLAN = Target(None, NOON, None, 1, ""), BaseBackup("20261121-110000F", "full", NOON, NOON, "0", "1", 1, 1, False)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    given = {"DATA_DIR": str(tmp_path / "work"), "BACKUP_DIR": str(tmp_path / "backup"), "PIPELINE_MODE": "docker"}
    one = all_settings.parse({**given, **SECRETS})
    one.run.mkdir(parents=True)
    return one


SECRETS = {name: f"{number:032x}" for number, name in enumerate(all_settings.secret_names(), 1 << 100)}


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    (tmp_path / "volumes" / "postgres-data").mkdir(parents=True)
    return tmp_path / "volumes"


def test_a_first_start_and_one_with_data_are_let_through(settings: Settings, mounted: Path) -> None:
    volumes.refuse_half_restored(settings, mounted)
    data = mounted / "postgres-data" / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("18\n")
    (settings.backup / "repository" / "backup" / "main" / "20261121-110000F").mkdir(parents=True)
    volumes.refuse_half_restored(settings, mounted)


def test_no_empty_database_begins_while_backups_of_a_lost_one_are_there(settings: Settings, mounted: Path) -> None:
    (settings.backup / "repository" / "backup" / "main" / "20261121-110000F").mkdir(parents=True)
    with pytest.raises(PipelineError, match="the database is gone") as caught:
        volumes.refuse_half_restored(settings, mounted)
    assert "Database/Restore.sh --latest" in caught.value.hint


def test_data_that_a_restore_has_moved_away_is_told_with_how_to_use_it(settings: Settings, mounted: Path) -> None:
    (mounted / "postgres-data" / "data-before-restore-20261121T120000Z").mkdir()
    with pytest.raises(PipelineError, match="what it was before a restore is there") as caught:
        volumes.refuse_half_restored(settings, mounted)
    assert "mv /volume/data-before-restore-20261121T120000Z /volume/data" in caught.value.hint


def test_nothing_starts_while_a_restore_is_at_work_but_its_own_steps(
    settings: Settings, mounted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock.held(unfinished.lock_file(settings), Busy()):
        with pytest.raises(Busy, match="a restore is running"):
            volumes.refuse_half_restored(settings, mounted)
        monkeypatch.setenv(volumes.RESTORING, "this-one")
        volumes.refuse_half_restored(settings, mounted)


@pytest.mark.parametrize("can_exchange", [True, False])
def test_both_directories_change_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool) -> None:
    def cannot(one: Path, other: Path) -> None:
        raise OSError(22, "Invalid argument")

    if not can_exchange:
        monkeypatch.setattr(beside, "_exchange", cannot)
    data, new, kept = (tmp_path / name for name in ("data", "data-restoring", "data-before-restore-1"))
    for path in (data, new):
        path.mkdir()
        (path / "was").write_text(path.name)
    assert beside._put_in_place(data, new, kept) == kept
    assert (data / "was").read_text() == "data-restoring"
    assert (kept / "was").read_text() == "data"
    assert not new.exists()


@pytest.mark.parametrize("is_there", [True, False])
def test_no_data_or_an_empty_directory_is_not_kept(tmp_path: Path, is_there: bool) -> None:
    data, new = tmp_path / "data", tmp_path / "data-restoring"
    if is_there:
        data.mkdir()
    new.mkdir()
    (new / "PG_VERSION").touch()
    assert beside._put_in_place(data, new, tmp_path / "kept") is None
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert (data / "PG_VERSION").exists()


def test_what_one_run_has_planned_is_for_no_other_and_holds_no_secret(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(volumes.RESTORING, "the first")
    planned = Plan(*PLAN, "18-1", ["000000010000000000000001"], settings)
    assert restoring.go_on(settings, planned, only=True) == restoring.ONLY_PIPELINE
    noted = restoring._note(settings).read_text()
    assert not [name for name, secret in SECRETS.items() if secret in noted]
    monkeypatch.setenv(volumes.RESTORING, "another")
    with pytest.raises(PipelineError, match="another restore has begun"):
        restoring._noted(settings)
    monkeypatch.setenv(volumes.RESTORING, "the first")
    assert msgspec.structs.asdict(restoring._noted(settings).source) == msgspec.structs.asdict(settings)
    with pytest.raises(PipelineError, match="nothing is planned"):
        restoring._noted(settings)
