"""How well the data is protected at this moment, for Status.sh: asks PostgreSQL, and changes nothing."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pipeline.backup import configuration, gone, proof
from pipeline.database.connection import session
from pipeline.database.queries import query
from pipeline.settings import Settings

# Three runs of Backup.sh, and two of archive_timeout: what takes longer is not merely late.
_LATE_SECONDS = 900
_WAITING_SECONDS = 150
# The first proof follows the first base backup within minutes.
_FIRST_PROOF_SECONDS = 3600


class State(NamedTuple):
    """Times are ISO 8601 in UTC, None for never; ``ok``: proven, not long ago, and nothing to warn of."""

    last_backup: str | None
    last_wal: str | None
    last_proof: str | None
    rpo_seconds: float | None
    rto_seconds: float | None
    ok: bool
    warnings: list[str]


class Facts(NamedTuple):
    """What PostgreSQL tells, in the order of the query ``backup_state``; ages in seconds."""

    last_backup: datetime | None
    backup_age: float | None
    first_backup_age: float | None
    server_age: float
    archived_at: datetime | None
    failed_at: datetime | None
    failed_segment: str | None
    waiting: int
    waiting_age: float | None


def read(settings: Settings) -> State:
    """Raises PassingFault when PostgreSQL does not answer."""
    with session(settings, name="status") as cursor:
        cursor.execute("SELECT to_regclass('pipeline.backup_proofs') IS NULL")
        if cursor.fetchone() == (True,):
            # The database is older than the project; the next start brings what is missing.
            return State(None, None, None, None, None, False, of_repository(settings))
        cursor.execute(query("backup_state"), {})
        facts = Facts(*cursor.fetchone())
        cursor.execute(query("newest_proof"))
        newest = cursor.fetchone()
    return judge(facts, newest, of_repository(settings))


def judge(facts: Facts, newest: Any, repository: list[str]) -> State:
    """``newest`` is the row of the query ``newest_proof``; the repository's warnings come first."""
    warnings = [*repository, *_of_archive(facts), *_of_proof(facts, newest)]
    began, proven, _, rpo, rto = newest[:5] if newest else (None, False, None, None, None)
    times = _time(facts.last_backup), _time(facts.archived_at), _time(began)
    return State(*times, rpo, rto, bool(proven) and not warnings, warnings)


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def of_repository(settings: Settings) -> list[str]:
    """What can be seen of the repository from here; of the container way's only PostgreSQL can tell."""
    if gone.database_is_gone(settings):
        return [gone.told(settings)]
    if settings.pipeline_mode == "docker" or not configuration.prepared_file(settings).exists():
        return []
    place = configuration.repository(settings)
    try:
        if not (place / "archive").is_dir():
            return [f"the repository of the backups is gone: {place}"]
        owner = (place / "archive").stat().st_uid
        if owner != os.geteuid() or not os.access(place / "archive", os.W_OK | os.X_OK):
            return [f"the repository of the backups cannot be written: {place} is of uid {owner}"]
        free = shutil.disk_usage(place).free // 2**20
    except OSError as error:
        return [f"the repository of the backups cannot be read: {error}"]
    return [f"the disk of the backups, {place}, is full: {free} MiB left"] if free < 64 else []


def _of_archive(facts: Facts) -> list[str]:
    warnings = []
    if facts.failed_at and (facts.archived_at is None or facts.failed_at > facts.archived_at):
        when = f"{facts.failed_at.astimezone(UTC):%H:%M:%S} UTC"
        warnings.append(
            f"the WAL is not archived: {facts.failed_segment} failed at {when}, "
            f"{facts.waiting} segments wait; nothing since the last backup can be restored"
        )
    elif facts.waiting_age is not None and facts.waiting_age > _WAITING_SECONDS:
        warnings.append(f"the WAL is not archived: {facts.waiting} segments wait, for {facts.waiting_age:.0f} s")
    if facts.server_age > _LATE_SECONDS and (facts.backup_age is None or facts.backup_age > _LATE_SECONDS):
        age = "none was ever made"
        if facts.backup_age is not None:
            age = f"the last is {facts.backup_age / 60:.0f} minutes old"
        warnings.append(f"there is no recent backup: {age} (Database/Backup.sh)")
    return warnings


def _of_proof(facts: Facts, newest: Any) -> list[str]:
    if newest is None:
        if (facts.first_backup_age or 0) > _FIRST_PROOF_SECONDS:
            return ["the backups have never been proven (Database/Verify_Backup.sh)"]
        return []
    faults, age = newest[5], newest[6]
    if not newest[1]:
        return [f"the backups are not proven: {faults[0]}" + (f" (and {len(faults) - 1} more)" if faults[1:] else "")]
    if age > proof.AGE.total_seconds():
        return [f"the last proof of the backups is {age / 3600:.0f} hours old (Database/Verify_Backup.sh)"]
    return []
