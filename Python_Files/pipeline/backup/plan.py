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
    """What will be read: the base backup, and the WAL segments that follow it, in order.

    ``source`` are the settings of the one directory of backups that has all that; ``instead`` says why it is not the
    first, or "".
    """

    target: Target
    base: BaseBackup
    archive_id: str
    segments: list[str]
    source: Settings
    instead: str = ""


def plan(settings: Settings, asked: str | None) -> Plan:
    """What a restore to ``asked`` would read. Raises PipelineError when it cannot be reached or the WAL has a gap.

    Of two repositories it is the one that reaches farther, the first when both do.
    """
    chosen = target.choose(asked, points.read_journal(settings), datetime.now(UTC))
    return _best(chosen, configuration.views(settings))


def _best(chosen: Target, views: list[Settings]) -> Plan:
    possible: list[Plan] = []
    faults: list[tuple[Settings, PipelineError]] = []
    for view in views:
        try:
            possible.append(_plan(view, chosen))
        except PipelineError as fault:
            faults.append((view, fault))
        except OSError as error:
            faults.append((view, PipelineError("the repository cannot be read", detail=str(error))))
    if not possible:
        raise faults[0][1]
    best = max(possible, key=lambda one: one.segments[-1])  # the first of equals
    if best.source is views[0]:
        return best
    of_first = [_told(fault) for view, fault in faults if view is views[0]]
    instead = of_first[0] if of_first else f"its WAL ends at {possible[0].segments[-1]}"
    return best._replace(instead=f"{configuration.repository(views[0])}: {instead}")


def _told(fault: PipelineError) -> str:
    return f"{fault.message}: {fault.detail}" if fault.detail else fault.message


def _plan(settings: Settings, chosen: Target) -> Plan:
    contents = repository.read(settings)
    if not contents.backups:
        place = configuration.repository(settings)
        raise PipelineError("there is no base backup, so nothing can be restored", detail=f"the repository is {place}")
    way = chain.ancestry(settings, contents.archive_id, chosen.timeline)
    base = target.base_for(chosen, contents.backups, way)
    last = chosen.last or _newest(settings, contents.archive_id, chosen.timeline) or base.last_segment
    segments = chain.needed(way, chain.number(base.first_segment), chain.number(last))
    found = repository.segment_files(settings, contents.archive_id, segments)
    missing = [name for name in segments if name not in found]
    if missing:
        raise _gap("is missing", missing, chosen)
    return Plan(chosen, base, contents.archive_id, segments, settings)


def _newest(settings: Settings, archive_id: str, line: int) -> str:
    found = repository.segments(settings, archive_id, f"{line:08X}", f"{line:08X}{'F' * 16}")
    return max(found, default="")


def _gap(what: str, names: list[str], chosen: Target) -> PipelineError:
    return PipelineError(
        f"WAL that leads to {chosen} {what}" if len(names) == 1 else f"WAL that leads to {chosen} {what} in places",
        detail=f"{len(names)} segments, the first is {names[0]}; nothing was touched",
        hint=f"An earlier moment can be restored, or a later one from a newer base backup. {target.LIST}",
    )


def check_wal(settings: Settings, planned: Plan) -> Plan:
    """Read every segment, and compare it with the sum in its name; the plan that is good.

    It is another one when the second repository is good and the first is not. Raises PipelineError for a damaged one.
    """
    try:
        _check_wal(planned)
    except PipelineError as error:
        return without(settings, planned, error)
    return planned


def without(settings: Settings, planned: Plan, fault: PipelineError) -> Plan:
    """The same from the other repository, its WAL checked. Raises ``fault`` when that has not all of it either."""
    others = [view for view in configuration.views(settings) if view.backup != planned.source.backup]
    try:
        if not others or planned.instead:
            raise fault
        other = _best(planned.target, others)
        _check_wal(other)
    except PipelineError:
        raise fault from None
    return other._replace(instead=f"{configuration.repository(planned.source)}: {_told(fault)}")


def _check_wal(planned: Plan) -> None:
    files = repository.segment_files(planned.source, planned.archive_id, planned.segments)
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
