"""NocoDB's files in the backups: kept once, put back as they were at a moment, and whatever is damaged is found."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.backup import files, place
from pipeline.settings import Settings
from unit.test_backup_rules import settings_in


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def write(settings: Settings, name: str, content: str) -> Path:
    path = files.directory(settings) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def contents(settings: Settings) -> list[Path]:
    return sorted(path for path in (place.stored(settings) / "contents").rglob("*") if path.is_file())


def test_what_is_there_twice_is_kept_once_and_what_has_not_changed_is_not_read_again(settings: Settings) -> None:
    one, two = write(settings, "a/one", "same"), write(settings, "two", "same")
    assert files.save(settings) == files.Saved(2, 1, 4, [])
    assert files.save(settings) == files.Saved(2, 0, 0, [])
    assert len(files.lists(settings)) == 1, "nothing changed, so nothing was written"
    stat = one.stat()
    one.write_text("SAME", encoding="utf-8")
    os.utime(one, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert files.save(settings).added == 0, "neither size nor time says that it changed"
    two.write_text("other", encoding="utf-8")
    assert files.save(settings) == files.Saved(2, 1, 5, [])
    assert len(files.lists(settings)) == 2


def test_files_of_a_moment_come_back_and_newer_ones_stay(settings: Settings) -> None:
    lost, harmed = write(settings, "lost", "as it was"), write(settings, "harmed", "whole")
    files.save(settings)
    moment = datetime.now(UTC)
    new = write(settings, "new", "came later")
    later = (moment + timedelta(seconds=10)).timestamp()
    os.utime(new, (later, later))
    files.save(settings)
    stat = harmed.stat()
    harmed.write_text("WHOLE", encoding="utf-8")
    os.utime(harmed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    lost.unlink()
    new.write_text("newer than the moment", encoding="utf-8")
    os.utime(new, (later, later))
    assert files.restore(settings, moment) == files.Restored(1, 1, 0, [])
    assert lost.read_text(encoding="utf-8") == "as it was"
    assert harmed.read_text(encoding="utf-8") == "whole"
    assert new.read_text(encoding="utf-8") == "newer than the moment"
    assert files.restore(settings, moment) == files.Restored(0, 0, 0, [])


def test_a_file_of_the_minutes_before_the_moment_comes_back_though_its_list_came_after(settings: Settings) -> None:
    write(settings, "old", "1")
    files.save(settings)
    between = write(settings, "between", "2")
    moment = datetime.now(UTC) + timedelta(seconds=1)
    os.utime(between, (moment.timestamp() - 1, moment.timestamp() - 1))
    after = write(settings, "after", "3")
    os.utime(after, (moment.timestamp() + 5, moment.timestamp() + 5))
    files.save(settings)
    for path in (between, after):
        path.unlink()
    # The second list is newer than the moment for whoever goes back to just after the first one.
    first, last = files.lists(settings)
    last.path.rename(last.path.with_name(f"29991231T000000.000000Z-{last.path.name.partition('-')[2]}"))
    assert first.taken_at < moment
    assert files.restore(settings, moment).added == 1
    assert between.exists()
    assert not after.exists()


def test_what_a_killed_run_left_spoils_nothing_and_is_cleared_away(settings: Settings) -> None:
    write(settings, "one", "1")
    files.save(settings)
    folder = place.stored(settings) / "contents"
    (folder / ".unfinished.99").write_bytes(b"half")
    (folder / "00").mkdir(exist_ok=True)
    (folder / "00" / ("0" * 64)).write_bytes(b"in no list")
    assert files.damaged(settings) == []
    assert files.save(settings).added == 0
    files.forget_before(settings, datetime.now(UTC))
    assert [path.read_bytes() for path in contents(settings)] == [b"1"]


def test_retention_keeps_the_list_that_the_oldest_moment_needs_and_the_contents_of_all_kept(settings: Settings) -> None:
    moments = []
    for number in range(3):
        write(settings, f"file{number}", str(number))
        if number:
            (files.directory(settings) / f"file{number - 1}").unlink()
        files.save(settings)
        moments.append(datetime.now(UTC))
    files.forget_before(settings, moments[1])
    assert len(files.lists(settings)) == 2
    assert {path.read_text(encoding="utf-8") for path in contents(settings)} == {"1", "2"}
    assert files.damaged(settings) == []


@pytest.mark.parametrize("what", ["content", "missing content", "list"])
def test_one_flipped_byte_or_a_missing_file_is_found_and_the_rest_comes_back(settings: Settings, what: str) -> None:
    spoilt, good = write(settings, "spoilt", "x" * 100), write(settings, "good", "fine")
    files.save(settings)
    path = next(one for one in contents(settings) if one.stat().st_size == 100)
    if what == "list":
        path = files.lists(settings)[0].path
    if what == "missing content":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    [fault] = files.damaged(settings)
    assert str(path) in fault
    spoilt.unlink()
    good.unlink()
    found = files.restore(settings)
    if what == "list":
        assert found.lost
        assert files.save(settings).files == 0, "the next run is not stopped by it"
    else:
        assert found == files.Restored(1, 0, 0, ["spoilt"])
        assert good.exists()


def test_of_two_directories_the_good_one_gives_what_the_other_has_lost(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, BACKUP_DIR_2=f"{tmp_path}/second")
    kept = write(settings, "kept", "in both")
    for view in place.views(settings):
        files.save(view)
    first = place.views(settings)[0]
    contents(first)[0].write_bytes(b"damaged")
    files.lists(first)[0].path.write_bytes(b"damaged")
    kept.unlink()
    assert files.restore(settings) == files.Restored(1, 0, 0, [])
    assert kept.read_text(encoding="utf-8") == "in both"
