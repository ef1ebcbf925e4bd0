"""Restore points: made in the WAL, and noted once their own segment is safe in the repository."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pipeline.backup import configuration, repository
from pipeline.database.connection import Connection, Cursor, connect, passing
from pipeline.database.queries import query
from pipeline.errors import PipelineError
from pipeline.settings import Settings

# After an outage of the repository all that was kept is sent first; what takes longer is met again five minutes later.
WAIT_SECONDS = 120
_LOOK_SECONDS = 0.05

# Segments of 16 MiB, which the cluster is made with, in the 4 GiB that the middle part of a segment's name counts.
_SEGMENTS = 256


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A moment that can be restored by its name.

    ``lsn`` is the end of its record in the WAL, ``wal_segment`` the segment with it. ``offsets`` has an object per sink
    and topic, with the next offset of each partition, read just before: the restored database has these or later ones.
    """

    name: str
    taken_at: datetime
    lsn: str
    wal_segment: str
    offsets: list[dict[str, Any]]
    base_backup: str | None
    duration_seconds: float


class Wal(NamedTuple):
    """The segments that a point added to the one before: names in order, bytes in the repository, names not there."""

    segments: list[str]
    repository_bytes: int
    missing: list[str]


def read_journal(settings: Settings) -> list[Point]:
    """The points that were noted, oldest first. Raises PipelineError for a file that cannot be read or understood."""
    path = configuration.journal_file(settings)
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PipelineError("the list of restore points cannot be read", detail=str(error)) from None
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()  # its writer was killed in the middle: that point was never noted
    points = []
    for number, line in enumerate(lines, 1):
        try:
            points.append(msgspec.json.decode(line, type=Point))
        except msgspec.DecodeError as error:
            raise PipelineError(
                "the list of restore points is damaged",
                detail=f"{path}, line {number}: {error}",
                hint="The backups are not touched by that. Remove the line, or move the file away to begin a new one.",
            ) from None
    return points


def append(path: Path, point: Point) -> None:
    """Add a line, in place of the half one that a killed writer may have left. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as stream:
        stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.seek(0, os.SEEK_END)
        stream.write(msgspec.json.encode(point) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def take(settings: Settings, archive_id: str, base_backup: str | None, seconds: float = WAIT_SECONDS) -> Point:
    """Make everything up to now restorable, and note the moment in the database and in the journal.

    Raises PipelineError when the WAL does not reach the repository within ``seconds``; nothing is noted then.
    """
    begin = time.monotonic()
    known = read_journal(settings)
    connection = connect(settings, role="postgres", name="backup")
    try:
        connection.autocommit = True
        with passing(), connection.cursor() as cursor:
            _check_archiving(cursor)
            cursor.execute(query("sink_places"))
            offsets = cursor.fetchone()[0]
            cursor.execute("SELECT clock_timestamp()")
            taken_at = cursor.fetchone()[0].astimezone(UTC)
            name = new_name(taken_at, {point.name for point in known})
            cursor.execute(query("make_restore_point"), {"name": name})
            lsn = cursor.fetchone()[0]
            cursor.execute(query("switch_wal"), {"lsn": lsn})
            segment = cursor.fetchone()[0]
            _wait_until_safe(settings, cursor, archive_id, segment, seconds)
        point = Point(
            name=name,
            taken_at=taken_at,
            lsn=lsn,
            wal_segment=segment,
            offsets=offsets,
            base_backup=base_backup,
            duration_seconds=round(time.monotonic() - begin, 3),
        )
        _note(settings, connection, point)
    finally:
        connection.close()
    return point


def new_name(moment: datetime, taken: Collection[str]) -> str:
    """A name that is not taken: PostgreSQL would accept one twice, and a restore would stop at the first."""
    name = first = f"backup-{moment:%Y%m%dT%H%M%SZ}"
    number = 2
    while name in taken:
        name, number = f"{first}-{number}", number + 1
    return name


def _check_archiving(cursor: Cursor) -> None:
    cursor.execute(query("archiving"))
    mode, command = cursor.fetchone()
    if mode == "off" or "pgbackrest" not in command:
        raise PipelineError(
            "PostgreSQL does not send its WAL to the repository",
            detail=f"archive_mode is {mode}, archive_command is {command!r}",
            hint="Run ./Project_Stop.sh and ./Project_Start.sh, which configure it.",
        )


def _wait_until_safe(settings: Settings, cursor: Cursor, archive_id: str, segment: str, seconds: float) -> None:
    """Until the segment's own file is in the repository, and PostgreSQL was told so of it and of all before it.

    One alone would not do: two processes push, so that a segment may be there before its predecessor.
    """
    deadline = time.monotonic() + seconds
    while not (repository.holds(settings, archive_id, segment) and _last_archived(cursor) >= segment):
        if time.monotonic() > deadline:
            cursor.execute(query("archiving_failures"), {})
            count, failed, when, waiting = cursor.fetchone()
            failure = f"; the last of {count} failures was {failed} at {when:%Y-%m-%d %H:%M:%S} UTC" if count else ""
            raise PipelineError(
                f"the WAL did not reach the repository within {seconds:g} s",
                detail=f"{segment} is not in {configuration.repository(settings)}, {waiting} segments wait{failure}",
                hint="Is there room on its disk, and does it belong to the user of RUN_AS_USER? PostgreSQL keeps the "
                "WAL and tries again; its reason is in the log of postgresql (Administrator_scripts/Logs.sh).",
            )
        time.sleep(_LOOK_SECONDS)


def _last_archived(cursor: Cursor) -> str:
    """The newest segment that PostgreSQL knows to be archived; it has them archived in order."""
    cursor.execute(query("last_archived"))
    return str(cursor.fetchone()[0] or "")


def _note(settings: Settings, connection: Connection, point: Point) -> None:
    """First in the journal, which a restore reads, then in the table."""
    append(configuration.journal_file(settings), point)
    with passing(), connection.cursor() as cursor:
        noted = {**msgspec.structs.asdict(point), "offsets": msgspec.json.encode(point.offsets).decode()}
        cursor.execute(query("note_restore_point"), noted)


def forget_before(settings: Settings, moment: datetime) -> None:
    """Drop the points before ``moment``, when the oldest base backup that is left ended: they are out of reach."""
    known = read_journal(settings)
    kept = [point for point in known if point.taken_at >= moment]
    if len(kept) < len(known):
        configuration.write_private(
            configuration.journal_file(settings), b"".join(msgspec.json.encode(one) + b"\n" for one in kept)
        )
    connection = connect(settings, role="postgres", name="backup")
    try:
        with passing(), connection, connection.cursor() as cursor:
            cursor.execute(query("forget_restore_points"), {"moment": moment})
    finally:
        connection.close()


def added_wal(settings: Settings, archive_id: str, after: str, last: str) -> Wal:
    """What lies in the repository after the segment ``after`` up to ``last``, and what should and does not."""
    found = repository.segments(settings, archive_id, after, last)
    return Wal(list(found), sum(found.values()), [name for name in _between(after, last) if name not in found])


def _between(after: str, last: str) -> list[str]:
    """The names of all segments after ``after`` up to ``last``; of another timeline nothing can be said."""
    if after[:8] != last[:8]:
        return []
    numbers = range(_number(after) + 1, _number(last) + 1)
    return [f"{last[:8]}{number // _SEGMENTS:08X}{number % _SEGMENTS:08X}" for number in numbers]


def _number(segment: str) -> int:
    return int(segment[8:16], 16) * _SEGMENTS + int(segment[16:], 16)
