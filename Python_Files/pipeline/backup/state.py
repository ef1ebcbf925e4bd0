"""How well the data is protected at this moment, for Status.sh: asks PostgreSQL, and changes nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.backup import configuration, gone, proof, repository
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
            return State(None, None, None, None, None, False, of_repositories(settings))
        cursor.execute(query("backup_state"), {})
        facts = Facts(*cursor.fetchone())
        cursor.execute(query("newest_proof"))
        newest = cursor.fetchone()
    reasons = why_not_pushed(settings) if _is_failing(facts) else {}
    return judge(facts, newest, of_repositories(settings), reasons, len(configuration.views(settings)))


def judge(
    facts: Facts, newest: Any, repository: list[str], reasons: Mapping[str, str] | None = None, repositories: int = 1
) -> State:
    """``newest`` is the row of the query ``newest_proof``; the repository's warnings come first.

    ``reasons`` says per repository why WAL cannot be sent there, of so many ``repositories``.
    """
    warnings = [*repository, *_of_archive(facts, reasons or {}, repositories), *_of_proof(facts, newest)]
    began, proven, _, rpo, rto = newest[:5] if newest else (None, False, None, None, None)
    times = _time(facts.last_backup), _time(facts.archived_at), _time(began)
    return State(*times, rpo, rto, bool(proven) and not warnings, warnings)


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def of_repositories(settings: Settings) -> list[str]:
    """What can be seen of the repositories from here; of the container way's only PostgreSQL can tell."""
    if gone.database_is_gone(settings):
        return [gone.told(settings)]
    if settings.pipeline_mode == "docker":
        return []
    known = configuration.prepared(settings)
    return [
        warning
        for view in configuration.views(settings)
        if str(configuration.repository(view)) in known
        for warning in _of_repository(view)
    ]


def _of_repository(settings: Settings) -> list[str]:
    place = configuration.repository(settings)
    try:
        if not (place / "archive").is_dir():
            return [f"the repository of the backups is gone: {place}"]
        closed = _not_ours(place)
        if closed:
            return [f"the repository of the backups cannot be written: {closed} is of uid {closed.stat().st_uid}"]
        free = shutil.disk_usage(place).free // 2**20
    except OSError as error:
        return [f"the repository of the backups cannot be read: {error}"]
    return [f"the disk of the backups, {place}, is full: {free} MiB left"] if free < 64 else []


def _not_ours(place: Path) -> Path | None:
    """The first directory on the way of the newest WAL that the archiver, who is the caller, cannot write into."""
    way = [place / "archive", place / "archive" / configuration.STANZA]
    for _ in range(2):  # the cluster's own, and the newest of its directories of segments
        below = [entry for entry in way[-1].iterdir() if entry.is_dir()]
        if below:
            way.append(max(below, key=lambda entry: entry.stat().st_mtime))
    return next((one for one in way if not os.access(one, os.W_OK | os.X_OK)), None)


def why_not_pushed(settings: Settings) -> dict[str, str]:
    """Per repository why the WAL cannot be sent there, as pgBackRest says; in the container way asked of PostgreSQL.

    Raises PassingFault when PostgreSQL does not answer.
    """
    if settings.pipeline_mode != "docker":
        try:
            return repository.errors_of_pushing(settings)
        except OSError:
            return {}
    # What the server can read is in its own container, so it is a superuser who asks it.
    paths = [str(configuration.repository(view)) for view in configuration.views(settings)]
    with session(settings, role="postgres", name="status") as cursor:
        cursor.execute(query("pushing_errors"), {"directory": str(configuration.errors_of_pushing(settings))})
        return repository.told_of_pushing("\n".join(text for (text,) in cursor.fetchall()), paths)


def _is_failing(facts: Facts) -> bool:
    return facts.failed_at is not None and (facts.archived_at is None or facts.failed_at > facts.archived_at)


def _of_archive(facts: Facts, reasons: Mapping[str, str], repositories: int) -> list[str]:
    warnings = []
    if facts.failed_at and _is_failing(facts):
        when = f"{facts.failed_at.astimezone(UTC):%H:%M:%S} UTC"
        if reasons and len(reasons) < repositories:
            place, reason = next(iter(reasons.items()))
            warnings.append(
                f"the WAL does not reach one of the two repositories, {place}: {reason}; "
                f"{facts.waiting} segments wait for it, {facts.failed_segment} failed at {when}; "
                "the other one has them"
            )
        else:
            why = f" ({next(iter(reasons.values()))})" if reasons else ""
            warnings.append(
                f"the WAL is not archived: {facts.failed_segment} failed at {when}, "
                f"{facts.waiting} segments wait; nothing since the last backup can be restored{why}"
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
