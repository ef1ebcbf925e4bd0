"""A proof: the backups are restored into a scratch copy, and the copy is compared with the live database."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import msgspec

from pipeline.backup import configuration, files, points, repository, scratch, sums
from pipeline.backup.repository import Contents
from pipeline.backup.scratch import Copy
from pipeline.database.comparison import Comparison, compare
from pipeline.database.connection import Connection, Cursor, connect, passing
from pipeline.database.examination import Examination, examine
from pipeline.database.queries import query
from pipeline.errors import PipelineError
from pipeline.operations.lock import Busy
from pipeline.settings import Settings

AGE = timedelta(hours=24)
"""How old the newest proof may get."""
_DUE = AGE - timedelta(minutes=15)
_AGAIN = timedelta(hours=1)
_SEGMENT = re.compile(r"^[0-9A-F]{24}")


class Proof(msgspec.Struct, kw_only=True):
    """As in the table pipeline.backup_proofs, where each field is explained."""

    began_at: datetime
    ended_at: datetime | None = None
    base_backup: str | None = None
    restored_to: datetime | None = None
    reached_lsn: str | None = None
    rpo_seconds: float | None = None
    rto_seconds: float | None = None
    rows_compared: int = 0
    rows_removed: int = 0
    rows_different: int = 0
    indexes_checked: int = 0
    constraints_checked: int = 0
    faults: list[str] = msgspec.field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.faults


def is_due(settings: Settings, now: datetime) -> bool:
    """Whether the newest base backup has no proof, or the newest proof is a day old; a failed one is repeated hourly.

    Raises PipelineError.
    """
    connection = connected(settings)
    try:
        with passing(), connection, connection.cursor() as cursor:
            cursor.execute(query("newest_proof"))
            newest = cursor.fetchone()
    finally:
        connection.close()
    if newest and not newest[1]:
        return bool(now - newest[0] >= _AGAIN)
    if newest and now - newest[0] >= _DUE:
        return True
    backups = [backup for view in _readable(settings) for backup in repository.read(view).backups[-1:]]
    if newest is None or len(configuration.views(settings)) == 1:
        return any(newest is None or newest[2] != backup.label for backup in backups)
    return any(backup.ended_at > newest[0] for backup in backups)


def _readable(settings: Settings) -> list[Settings]:
    """The directories of backups whose repositories can be read. Raises PipelineError when none can be."""
    found, faults = [], []
    for view in configuration.views(settings):
        try:
            repository.read(view)
            found.append(view)
        except PipelineError as error:
            faults.append(error)
    if not found:
        raise faults[0]
    return found


def _in_turn(settings: Settings, last: str | None) -> Settings:
    """The one to restore from: of two the one that the last proof, which was of the base backup ``last``, left out."""
    found = _readable(settings)
    held = [[backup.label for backup in repository.read(view).backups] for view in found]
    turns = [view for view, labels in zip(found, held, strict=True) if labels and last not in labels]
    return next(iter([*turns, *(view for view, labels in zip(found, held, strict=True) if labels), *found]))


def connected(settings: Settings) -> Connection:
    """The live database as superuser. Raises PassingFault."""
    return connect(settings, role="postgres", name="verify")


def prove(settings: Settings) -> Proof:
    """Restore, look, compare, and note what was found. Raises PipelineError when the live database does not answer.

    Whatever is wrong with the backups is in ``faults``.
    """
    live = connected(settings)
    try:
        live.autocommit = True
        with passing(), live.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            proof = Proof(began_at=datetime.now(UTC))
            try:
                last = _last_archived(cursor)
                for view in configuration.views(settings):
                    _check_place(settings, view, proof, last)
                cursor.execute(query("newest_proof"))
                before = cursor.fetchone()
                view = _in_turn(settings, before and before[2])
                with scratch.restored(view) as copy:
                    _judge(view, proof, copy, cursor, last)
            except Busy:
                raise  # says nothing about the backups
            except (PipelineError, OSError) as error:
                cursor.execute("SELECT 1")  # the backups are not at fault when the live database is gone meanwhile
                proof.faults.append(_told(error))
            proof.ended_at = datetime.now(UTC)
    finally:
        live.close()
    _note(settings, proof)
    return proof


def _told(error: Exception) -> str:
    if isinstance(error, PipelineError):
        return f"{error.message}: {error.detail}" if error.detail else error.message
    return str(error)


def _last_archived(cursor: Cursor) -> str:
    """The newest segment that PostgreSQL knows to be safe; "" after a crash."""
    cursor.execute(query("last_archived"))
    found = _SEGMENT.match(cursor.fetchone()[0] or "")
    return found[0] if found else ""


def _check_place(settings: Settings, view: Settings, proof: Proof, last: str) -> None:
    """One directory of backups. Of two a broken one is a fault, and the other one is proven all the same."""
    try:
        _check_repository(view, proof, last)
        proof.faults += files.damaged(view)
    except PipelineError as error:
        if view.backup == settings.backup and settings.backup_2 is None:
            raise
        proof.faults.append(f"{view.backup}: {_told(error)}")


def _check_repository(settings: Settings, proof: Proof, last: str) -> None:
    """Every file against its checksum, and the chain of the WAL for gaps."""
    while True:
        contents = repository.read(settings)
        faults = repository.check_files(settings) + repository.check_twins(settings, contents)
        faults += _gaps(settings, contents, last)
        # What retention took away meanwhile is not missing.
        if not faults or repository.read(settings) == contents:
            break
    proof.faults += faults + sums.damaged(settings)
    proof.faults += [f"base backup {one.label} has broken pages" for one in contents.backups if one.faulty]


def _gaps(settings: Settings, contents: Contents, last: str) -> list[str]:
    """Segments that lie between others and are not there, of each timeline that a base backup is on."""
    known = points.read_journal(settings)
    ends = [one for one in (last, *(point.wal_segment for point in known[-1:])) if one]
    faults = []
    for timeline in sorted({one.first_segment[:8] for one in contents.backups}):
        mine = [one for one in contents.backups if one.first_segment[:8] == timeline]
        first = mine[0].first_segment
        end = max([one for one in ends if one[:8] == timeline] + [mine[-1].last_segment])
        missing = points.added_wal(settings, contents.archive_id, first, end).missing
        if not repository.holds(settings, contents.archive_id, first):
            missing = [first, *missing]
        if missing:
            faults.append(f"the WAL has a gap: {len(missing)} segments are missing, the first is {missing[0]}")
    return faults


def _judge(settings: Settings, proof: Proof, copy: Copy, live: Cursor, last: str) -> None:
    proof.base_backup, proof.reached_lsn, proof.rto_seconds = copy.base.label, copy.reached, round(copy.seconds, 3)
    reached = place(copy.reached)
    # After a restore of the live database the journal may have points of the timeline that was given up.
    known = [
        one
        for one in points.read_journal(settings)
        if one.taken_at <= proof.began_at and one.wal_segment[:8] == (last or one.wal_segment)[:8]
    ]
    if known and reached < place(known[-1].lsn):
        proof.faults.append(f"the replay ended at {copy.reached}, before the restore point {known[-1].name}")
    elif last and reached < begin_of(last):
        proof.faults.append(f"the replay ended at {copy.reached}, before the archived segment {last}")
    moments = [one.taken_at for one in known[-1:] if place(one.lsn) <= reached]
    moments += [copy.last_commit] if copy.last_commit else []
    proof.restored_to = max([*moments, copy.base.ended_at])
    proof.rpo_seconds = max(0.0, round((proof.began_at - proof.restored_to).total_seconds(), 3))
    connection = copy.connect()
    try:
        with passing(), connection, connection.cursor() as cursor:
            _add_comparison(proof, compare(cursor, live))
    finally:
        connection.close()
    _add_examination(proof, examine(copy.connect))


def _add_comparison(proof: Proof, found: Comparison) -> None:
    proof.rows_compared, proof.rows_removed, proof.rows_different = found.rows, found.removed, found.different
    proof.faults += found.faults


def _add_examination(proof: Proof, found: Examination) -> None:
    proof.indexes_checked, proof.constraints_checked = found.indexes, found.constraints
    proof.faults += found.faults


def place(lsn: str) -> int:
    """A place in the WAL as a number."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def begin_of(segment: str) -> int:
    """Where a segment of 16 MiB begins."""
    return (int(segment[8:16], 16) << 32) + (int(segment[16:24], 16) << 24)


def _note(settings: Settings, proof: Proof) -> None:
    values = {**msgspec.structs.asdict(proof), "ok": proof.ok, "faults": msgspec.json.encode(proof.faults).decode()}
    connection = connected(settings)
    try:
        with passing(), connection, connection.cursor() as cursor:
            cursor.execute(query("note_proof"), values)
    finally:
        connection.close()
