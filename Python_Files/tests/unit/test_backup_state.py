"""What Status.sh says of the backups: nothing while all is well, and what is wrong otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.backup import proof, state
from pipeline.backup.state import Facts

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SOUND = Facts(NOW, 100.0, 90_000.0, 90_000.0, NOW, None, None, 0, None)


def proven(*, ok: bool = True, faults: list[str] | None = None, age: float = 3600) -> Any:
    return (NOW, ok, "L", 12.0, 3.0, faults or [], age)


def test_what_is_proven_and_archived_needs_no_word() -> None:
    told = state.judge(SOUND, proven(), [])
    assert told == state.State(
        "2026-11-21T12:00:00+00:00",
        "2026-11-21T12:00:00+00:00",
        "2026-11-21T12:00:00+00:00",
        12.0,
        3.0,
        True,
        [],
    )


@pytest.mark.parametrize(
    ("facts", "newest", "words"),
    [
        (SOUND, proven(age=86_500), "the last proof of the backups is 24 hours old"),
        (SOUND, proven(ok=False, faults=["a", "b"]), "the backups are not proven: a (and 1 more)"),
        (SOUND, None, "never been proven"),
        (SOUND._replace(backup_age=1000.0), proven(), "the last is 17 minutes old"),
        (SOUND._replace(last_backup=None, backup_age=None), proven(), "none was ever made"),
        # The last attempt failed, and nothing has succeeded since.
        (
            SOUND._replace(failed_at=NOW + timedelta(seconds=1), failed_segment="S"),
            proven(),
            "the WAL is not archived: S",
        ),
        (SOUND._replace(archived_at=None, failed_at=NOW, failed_segment="S"), proven(), "the WAL is not archived: S"),
        # Nothing fails and nothing leaves either.
        (SOUND._replace(waiting=4, waiting_age=200.0), proven(), "4 segments wait, for 200 s"),
    ],
)
def test_each_fault_is_told_and_is_not_ok(facts: Facts, newest: Any, words: str) -> None:
    told = state.judge(facts, newest, [])
    assert len(told.warnings) == 1
    assert words in told.warnings[0]
    assert not told.ok


@pytest.mark.parametrize(
    ("facts", "newest"),
    [
        # It failed once and went on.
        (SOUND._replace(failed_at=NOW - timedelta(minutes=5), failed_segment="S"), proven()),
        (SOUND._replace(waiting=1, waiting_age=20.0), proven()),
        # A machine that has just been started again, and a database that is new.
        (SOUND._replace(server_age=60.0, backup_age=20_000.0), proven()),
        (Facts(NOW, 60.0, 60.0, 120.0, NOW, None, None, 0, None), None),
    ],
)
def test_what_passes_by_itself_is_no_fault(facts: Facts, newest: Any) -> None:
    assert state.judge(facts, newest, []).warnings == []


def test_of_two_repositories_the_one_that_takes_no_wal_is_named_with_its_reason() -> None:
    failing = SOUND._replace(failed_at=NOW + timedelta(seconds=1), failed_segment="S", waiting=3)
    [told] = state.judge(failing, proven(), [], {"/second/repository": "No space left on device"}, 2).warnings
    assert told.startswith("the WAL does not reach one of the two repositories, /second/repository: No space left")
    both = {"/first/repository": "gone", "/second/repository": "gone"}
    assert "the WAL is not archived" in state.judge(failing, proven(), [], both, 2).warnings[0]


def test_the_repository_comes_first() -> None:
    told = state.judge(SOUND, proven(ok=False, faults=["a"]), ["it is gone"])
    assert told.warnings == ["it is gone", "the backups are not proven: a"]


@pytest.mark.parametrize(
    ("segment", "lsn"),
    [("000000010000000000000005", "0/5000000"), ("0000000200000001000000FF", "1/FF000000")],
)
def test_a_segment_begins_at_its_place(segment: str, lsn: str) -> None:
    assert proof.begin_of(segment) == proof.place(lsn)
