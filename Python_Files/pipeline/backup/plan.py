"""What a restore will read, found and checked before anything is touched; and whether it came where it was to come."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pipeline.backup import chain, configuration, points, repository, target
from pipeline.backup.repository import BaseBackup
from pipeline.backup.target import Target
from pipeline.errors import PipelineError
from pipeline.settings import Settings


class Plan(NamedTuple):
    """What will be read: the base backup, and the WAL segments that follow it, in order."""

    target: Target
    base: BaseBackup
    archive_id: str
    segments: list[str]


def plan(settings: Settings, asked: str | None) -> Plan:
    """What a restore to ``asked`` would read. Raises PipelineError when it cannot be reached or the WAL has a gap."""
    contents = repository.read(settings)
    if not contents.backups:
        place = configuration.repository(settings)
        raise PipelineError("there is no base backup, so nothing can be restored", detail=f"the repository is {place}")
    chosen = target.choose(asked, points.read_journal(settings), datetime.now(UTC))
    way = chain.ancestry(settings, contents.archive_id, chosen.timeline)
    base = target.base_for(chosen, contents.backups, way)
    last = chosen.last or _newest(settings, contents.archive_id, chosen.timeline) or base.last_segment
    segments = chain.needed(way, chain.number(base.first_segment), chain.number(last))
    found = repository.segment_files(settings, contents.archive_id, segments)
    missing = [name for name in segments if name not in found]
    if missing:
        raise _gap("is missing", missing, chosen)
    return Plan(chosen, base, contents.archive_id, segments)


def _newest(settings: Settings, archive_id: str, line: int) -> str:
    found = repository.segments(settings, archive_id, f"{line:08X}", f"{line:08X}{'F' * 16}")
    return max(found, default="")


def _gap(what: str, names: list[str], chosen: Target) -> PipelineError:
    return PipelineError(
        f"WAL that leads to {chosen} {what}" if len(names) == 1 else f"WAL that leads to {chosen} {what} in places",
        detail=f"{len(names)} segments, the first is {names[0]}; nothing was touched",
        hint=f"An earlier moment can be restored, or a later one from a newer base backup. {target.LIST}",
    )


def check_wal(settings: Settings, planned: Plan) -> None:
    """Read every segment, and compare it with the sum in its name. Raises PipelineError for a damaged one."""
    files = repository.segment_files(settings, planned.archive_id, planned.segments)
    broken = list(chain.damaged(files[name] for name in planned.segments))
    if broken:
        raise _gap("is damaged", broken, planned.target)


def proven_end(planned: Plan, data: Path, line: int) -> str:
    """Where the replay in the data directory ``data``, which is on timeline ``line`` now, came to its end.

    Raises PipelineError when that is not what was asked for.
    """
    path = data / "pg_wal" / f"{line:08X}.history"
    history = path.read_text(encoding="utf-8") if path.exists() else ""
    why = target.is_proven(planned.target, history, planned.segments[-1])
    if why:
        raise PipelineError(f"the restored database is not at {planned.target}", detail=why)
    end = history.strip().splitlines()[-1].split("\t")
    return f"it ended at {end[1]}, {end[2]}; now on timeline {line}"
