"""What a restore is asked for, which base backup and which WAL lead there, and when a restore is believed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard

from pipeline.backup import chain, target
from pipeline.backup.chain import Life
from pipeline.backup.points import Point
from pipeline.backup.repository import BaseBackup
from pipeline.errors import PipelineError, UsageError

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def point(minute: int, segment: str, lsn: str = "0/5000200") -> Point:
    return Point(
        name=f"backup-{minute}",
        taken_at=NOON + minute * MINUTE,
        lsn=lsn,
        wal_segment=segment,
        offsets=[],
        base_backup=None,
        duration_seconds=0.1,
    )


def base(minute: int, segment: str, *, faulty: bool = False) -> BaseBackup:
    when = NOON + minute * MINUTE
    return BaseBackup(f"at-{minute}", "full", when, when, segment, segment, 1, 1, faulty)


# At noon and 10 points of the first life; at 20 the database went back to minute 5, and has lived a second one since.
KNOWN = [
    point(0, chain.name(1, 4)),
    point(5, chain.name(1, 5)),
    point(10, chain.name(1, 6)),
    point(21, chain.name(2, 5), "0/5800000"),
]
HISTORY = '1\t0/5000200\tat restore point "backup-5"\n'


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T12:00:00", NOON),
        ("2026-11-21 12:00:00", NOON),
        ("2026-11-21 12:00:00 UTC", NOON),
        ("2026-11-21T13:00:00+01:00", NOON),
        ("2026-11-21T12:00:00Z", NOON),
        ("2026-11-21", NOON - timedelta(hours=12)),
    ],
)
def test_a_moment_without_an_offset_is_utc(text: str, moment: datetime) -> None:
    assert target.parse_moment(text) == moment


@pytest.mark.parametrize("asked", ["backup-6", "yesterday", "12:00", "", "2026-13-01", "2026-11-21T12:31:00"])
def test_what_is_no_point_and_no_moment_or_has_not_come_is_wrong_usage(asked: str) -> None:
    with pytest.raises(UsageError) as caught:
        target.choose(asked, KNOWN, NOON + 30 * MINUTE)
    assert caught.value.exit_code == 2
    assert caught.value.hint


@pytest.mark.parametrize(
    ("asked", "timeline", "last", "before"),
    [
        ("backup-10", 1, chain.name(1, 6), "backup-10"),
        # The moments that an earlier restore has gone back over are reached in the life that they were in.
        ("2026-11-21T12:07", 1, chain.name(1, 6), "backup-5"),
        ("2026-11-21T12:20:30", 2, chain.name(2, 5), "backup-10"),
        ("2026-11-21T12:25", 2, "", "backup-21"),
        (None, 2, "", "backup-21"),
    ],
)
def test_a_moment_is_looked_for_on_the_timeline_that_it_was_in(
    asked: str | None, timeline: int, last: str, before: str
) -> None:
    found = target.choose(asked, KNOWN, NOON + 30 * MINUTE)
    assert (found.timeline, found.last) == (timeline, last)
    assert found.before
    assert found.before.name == before


def test_the_way_to_a_timeline_takes_each_segment_from_the_newest_life_that_has_it() -> None:
    way = chain.lives(HISTORY, 2)
    assert way == [Life(1, 0), Life(2, 5)]
    assert chain.needed(way, 4, 6) == [chain.name(1, 4), chain.name(2, 5), chain.name(2, 6)]
    carried = chain.needed([Life(1, 0)], 255, 256)
    assert carried == ["0000000100000000000000FF", "000000010000000100000000"]


def test_a_restore_begins_with_the_newest_sound_base_backup_before_its_target() -> None:
    backups = [base(-1, chain.name(1, 3)), base(4, chain.name(1, 4), faulty=True), base(7, chain.name(1, 6))]
    first_life = [Life(1, 0)]
    chosen = target.choose("backup-5", KNOWN, NOON + 30 * MINUTE)
    assert target.base_for(chosen, backups, first_life).label == "at--1", "a later one could never end at the point"
    chosen = target.choose("backup-10", KNOWN, NOON + 30 * MINUTE)
    assert target.base_for(chosen, backups, first_life).label == "at-7"
    # The one at 7 is of what was given up; nothing of the second life can begin with it.
    chosen = target.choose(None, KNOWN, NOON + 30 * MINUTE)
    assert target.base_for(chosen, backups, chain.lives(HISTORY, 2)).label == "at--1"


def test_a_moment_before_the_first_base_backup_cannot_be_restored() -> None:
    chosen = target.choose("2026-11-21T11:00", KNOWN, NOON + 30 * MINUTE)
    with pytest.raises(PipelineError, match="no base backup reaches back"):
        target.base_for(chosen, [base(-1, chain.name(1, 3))], [Life(1, 0)])


@pytest.mark.parametrize(
    ("asked", "history", "proven"),
    [
        ("backup-5", HISTORY, True),
        ("backup-10", HISTORY, False),
        ("backup-5", "1\t0/5000100\tno recovery target specified\n", False),
        ("2026-11-21T12:07", "1\t0/5000300\tbefore 2026-11-21 12:07:01.5+00\n", True),
        # What PostgreSQL does with a gap: it ends early and goes into service.
        ("2026-11-21T12:07", "1\t0/5000100\tbefore 2026-11-21 12:07:01.5+00\n", False),
        ("2026-11-21T12:07", "1\t0/6000100\tno recovery target specified\n", False),
        ("backup-5", "", False),
    ],
)
def test_a_restore_is_believed_by_where_postgresql_says_it_ended(asked: str, history: str, proven: bool) -> None:
    chosen = target.choose(asked, KNOWN, NOON + 30 * MINUTE)
    why = target.is_proven(chosen, history, chosen.last)
    assert (why == "") is proven, why


def test_all_there_is_means_up_to_the_last_segment() -> None:
    chosen = target.choose(None, KNOWN[:1], NOON + 30 * MINUTE)
    history = "1\t0/5000300\tno recovery target specified\n"
    assert target.is_proven(chosen, history, chain.name(1, 5)) == ""
    assert target.is_proven(chosen, history, chain.name(1, 6))


def test_a_segment_is_damaged_when_a_byte_of_it_is_another_or_it_ends_early(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    packed = zstandard.ZstdCompressor().compress(content)
    files = []
    for count, stored in enumerate([packed, packed[:-20], packed[:100] + b"\0\0" + packed[102:], b""]):
        files.append(tmp_path / f"{chain.name(1, count)}-{digest}.zst")
        files[-1].write_bytes(stored)
    files.append(tmp_path / f"{chain.name(1, 9)}-{digest}")
    files[-1].write_bytes(content)
    assert list(chain.damaged(files)) == [chain.name(1, count) for count in (1, 2, 3)]
