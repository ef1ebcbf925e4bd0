"""Restore points: made in the WAL, and noted once their own segment is safe in the repository."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pipeline.backup import configuration, repository
from pipeline.backup.repository import Repository
from pipeline.database.connection import Connection, Cursor, connect, passing
from pipeline.database.queries import query
from pipeline.errors import PipelineError
from pipeline.settings import Settings

# After an outage of the repository all that was kept is sent first; what takes longer is met again five minutes later.
WAIT_SECONDS = 120
_LOOK_SECONDS = 0.05
# So long one of two repositories is waited for when the other one has it.
_OTHER_SECONDS = 10

# Segments of 16 MiB, which the cluster is made with, in the 4 GiB that the middle part of a segment's name counts.
_SEGMENTS = 256
_SEGMENT = re.compile(r"^[0-9A-F]{24}")


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
    """The points that were noted, oldest first, from every directory of backups that can be read.

    Raises PipelineError when none can be: a file that is damaged or closed.
    """
    found: dict[str, Point] = {}
    faults: list[PipelineError] = []
    views = configuration.views(settings)
    for view in views:
        try:
            found.update({point.name: point for point in _read(configuration.journal_file(view))})
        except PipelineError as error:
            faults.append(error)
    if faults and not found:
        raise faults[0]
    return sorted(found.values(), key=lambda point: (point.taken_at, point.wal_segment))


def _read(path: Path) -> list[Point]:
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PipelineError("the list of restore points cannot be read", detail=str(error)) from None
    if lines and not lines[-1].endswith(b"\n") and not _is_whole(lines[-1][:-1]):
        lines.pop()  # its writer was killed in the middle: that point was never noted
    points = []
    for number, line in enumerate(lines, 1):
        try:
            points.append(_decode(line))
        except (msgspec.DecodeError, ValueError) as error:
            raise PipelineError(
                "the list of restore points is damaged",
                detail=f"{path}, line {number}: {error}",
                hint="The backups are not touched by that. Remove the line, or move the file away to begin a new one.",
            ) from None
    return points


class _Noted(Point, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A point as it stands in the journal. ``sum``: so that a flipped bit does not pass for another place or time."""

    sum: str = ""


def _line(point: Point) -> bytes:
    text = msgspec.json.encode(point)
    return text[:-1] + b',"sum":"' + hashlib.sha256(text).hexdigest().encode() + b'"}\n'


def _decode(line: bytes) -> Point:
    """Raises DecodeError or ValueError for a line that is not as it was written. An older version's have no sum."""
    noted = msgspec.json.decode(line, type=_Noted)
    point = Point(**{name: getattr(noted, name) for name in Point.__struct_fields__})
    if noted.sum and _line(point).rstrip() != line.rstrip():
        raise ValueError("it is not as it was written")
    return point


def _is_whole(line: bytes) -> bool:
    """Whether this is all of a line: then what followed was no longer its end, but damage."""
    try:
        _decode(line)
    except (msgspec.DecodeError, ValueError):
        return False
    return True


def append(path: Path, point: Point) -> None:
    """Add a line, in place of the half one that a killed writer may have left. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as stream:
        stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.seek(0, os.SEEK_END)
        stream.write(_line(point))
        stream.flush()
        os.fsync(stream.fileno())


def take(
    settings: Settings, ready: Sequence[Repository], base_backup: str | None, seconds: float = WAIT_SECONDS
) -> tuple[Point, list[Repository]]:
    """Make everything up to now restorable, and note the moment in the database and in the journals.

    It is safe in the first of what is returned, which is all of ``ready`` while all is well. Raises PipelineError when
    the WAL reaches no repository within ``seconds``; nothing is noted then.
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
            safe = _wait_until_safe(settings, cursor, ready, known, segment, seconds)
        point = Point(
            name=name,
            taken_at=taken_at,
            lsn=lsn,
            wal_segment=segment,
            offsets=offsets,
            base_backup=base_backup,
            duration_seconds=round(time.monotonic() - begin, 3),
        )
        _note(safe, connection, point)
    finally:
        connection.close()
    return point, safe


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


def _wait_until_safe(
    settings: Settings,
    cursor: Cursor,
    ready: Sequence[Repository],
    known: Sequence[Point],
    segment: str,
    seconds: float,
) -> list[Repository]:
    """Until the segment's own file is in the repositories, and PostgreSQL was told so of it and of all before it.

    One alone would not do: two processes push, so that a segment may be there before its predecessor. With a second
    repository that takes none PostgreSQL is never told so; then every segment since the last point is looked for.
    """
    several = len(configuration.views(settings)) > 1
    begin = time.monotonic()
    while True:
        if all(_holds(one, segment) for one in ready) and _last_archived(cursor) >= segment:
            return list(ready)
        waited = time.monotonic() - begin
        if several and waited > min(seconds, _OTHER_SECONDS):
            safe = [one for one in ready if _holds_all(one, known, segment)]
            if safe and (waited > seconds or _is_failing(cursor)):
                return safe
        if waited > seconds:
            raise _not_safe(cursor, ready, segment, seconds)
        time.sleep(_LOOK_SECONDS)


def _holds(one: Repository, segment: str) -> bool:
    try:
        return repository.holds(one.settings, one.contents.archive_id, segment)
    except OSError:
        return False  # its disk went away


def _holds_all(one: Repository, known: Sequence[Point], segment: str) -> bool:
    """Also all that came since the last point, or since the first base backup when there was none."""
    last, base = known[-1:], one.contents.backups[:1]
    after = max([*(point.wal_segment for point in last), *(backup.first_segment for backup in base)], default="")
    return (
        bool(after)
        and _holds(one, segment)
        and not added_wal(one.settings, one.contents.archive_id, after, segment).missing
    )


def _is_failing(cursor: Cursor) -> bool:
    cursor.execute(query("archiving_fails"))
    return bool(cursor.fetchone()[0])


def _not_safe(cursor: Cursor, ready: Sequence[Repository], segment: str, seconds: float) -> PipelineError:
    cursor.execute(query("archiving_failures"), {})
    count, failed, when, waiting = cursor.fetchone()
    failure = f"; the last of {count} failures was {failed} at {when:%Y-%m-%d %H:%M:%S} UTC" if count else ""
    places = " or ".join(str(configuration.repository(one.settings)) for one in ready)
    return PipelineError(
        f"the WAL did not reach the repository within {seconds:g} s",
        detail=f"{segment} is not in {places}, {waiting} segments wait{failure}",
        hint="Is there room on its disk, and does it belong to the user of RUN_AS_USER? PostgreSQL keeps the "
        "WAL and tries again; its reason is in the log of postgresql (Administrator_scripts/Logs.sh).",
    )


def _last_archived(cursor: Cursor) -> str:
    """The newest segment that PostgreSQL knows to be archived; it has them archived in order."""
    cursor.execute(query("last_archived"))
    return str(cursor.fetchone()[0] or "")


def last_archived(settings: Settings) -> str:
    """The segment up to which PostgreSQL knows all WAL to be archived; "" after a crash. Raises PassingFault."""
    connection = connect(settings, role="postgres", name="backup")
    try:
        with passing(), connection, connection.cursor() as cursor:
            found = _SEGMENT.match(_last_archived(cursor))
            return found[0] if found else ""
    finally:
        connection.close()


def _note(safe: Sequence[Repository], connection: Connection, point: Point) -> None:
    """First in the journals, which a restore reads, then in the table."""
    faults = []
    for one in safe:
        try:
            append(configuration.journal_file(one.settings), point)
        except OSError as error:
            faults.append(error)
    if len(faults) == len(safe):
        raise faults[0]
    with passing(), connection.cursor() as cursor:
        noted = {**msgspec.structs.asdict(point), "offsets": msgspec.json.encode(point.offsets).decode()}
        cursor.execute(query("note_restore_point"), noted)


def forget_before(settings: Settings, moment: datetime) -> None:
    """Drop the points before ``moment``, when the oldest base backup that is left ended: they are out of reach.

    ``moment`` is that of this directory's repository; the table has what the longest of all journals has.
    """
    path = configuration.journal_file(settings)
    known = _read(path)
    kept = [point for point in known if point.taken_at >= moment]
    if len(kept) < len(known):
        configuration.write_private(path, b"".join(_line(one) for one in kept))


def forget_in_table(settings: Settings, moment: datetime) -> None:
    """The same for the table, with the earliest such moment of all repositories."""
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
