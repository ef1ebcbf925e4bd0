"""What a restore was asked for: a restore point, a moment, or all there is; and the base backup it begins with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from pipeline.backup import chain
from pipeline.backup.points import Point
from pipeline.backup.repository import BaseBackup
from pipeline.errors import PipelineError, UsageError

LIST = "Database/Backup.sh --list shows what can be restored."


class Target(NamedTuple):
    """``point`` is given when a point was asked for, ``moment`` when there is one: then or at that time.

    ``before`` is the newest point that the restored database holds for certain. ``timeline`` is the one that leads
    there; ``last`` the segment that ends it, or "" for the newest one of the timeline.
    """

    point: Point | None
    moment: datetime | None
    before: Point | None
    timeline: int
    last: str

    def __str__(self) -> str:
        if self.point:
            return f"restore point {self.point.name} ({self.point.taken_at:%Y-%m-%d %H:%M:%S} UTC)"
        return f"{self.moment:%Y-%m-%d %H:%M:%S} UTC" if self.moment else "the end of the archived WAL"


def parse_moment(text: str) -> datetime:
    """A moment as ISO 8601; UTC where it says nothing else, as everything that the scripts show. Raises ValueError."""
    moment = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def choose(asked: str | None, known: Sequence[Point], now: datetime) -> Target:
    """What ``asked`` means; None is the end of the WAL. ``known`` are the points, oldest first.

    Raises UsageError for what is neither a point nor a moment, and for a moment that has not come.
    """
    newest = max((chain.timeline(point.wal_segment) for point in known[-1:]), default=1)
    if asked is None:
        return Target(None, None, known[-1] if known else None, newest, "")
    for point in known:
        if point.name == asked:
            return Target(point, point.taken_at, point, chain.timeline(point.wal_segment), point.wal_segment)
    try:
        moment = parse_moment(asked)
    except ValueError:
        raise UsageError(
            f"{asked!r} is neither a restore point nor a moment",
            hint=f"A moment is written 2026-01-31T12:00:00 (UTC) or 2026-01-31T12:00:00+01:00. {LIST}",
        ) from None
    if moment > now:
        raise UsageError(
            f"{moment:%Y-%m-%d %H:%M:%S} UTC has not come yet",
            detail=f"it is {now:%Y-%m-%d %H:%M:%S} UTC; a moment without an offset is taken for UTC",
            hint="Give --latest for everything there is.",
        )
    # What came after an earlier restore is another timeline; the next point knows in which of them the moment lies.
    after = next((point for point in known if point.taken_at >= moment), None)
    line = chain.timeline(after.wal_segment) if after else newest
    before = [p for p in known if p.taken_at <= moment and chain.timeline(p.wal_segment) <= line]
    return Target(None, moment, before[-1] if before else None, line, after.wal_segment if after else "")


def base_for(target: Target, backups: Sequence[BaseBackup], way: Sequence[chain.Life]) -> BaseBackup:
    """The newest sound base backup from which the target can be reached. Raises PipelineError when there is none."""
    ends = {life.timeline: following.first for life, following in pairwise(way)}
    ends[target.timeline] = chain.number(target.last) if target.last else 1 << 62
    sound = [backup for backup in backups if not backup.faulty and backup.first_segment]
    fitting = [
        backup
        for backup in sound
        if chain.number(backup.last_segment) <= ends.get(chain.timeline(backup.last_segment), -1)
        and (target.moment is None or _ended(target, backup) <= target.moment)
    ]
    if not fitting:
        since = f"the oldest one ended at {sound[0].ended_at:%Y-%m-%d %H:%M:%S} UTC" if sound else "there is none"
        raise PipelineError(f"no base backup reaches back to {target}", detail=since, hint=LIST)
    return fitting[-1]


def _ended(target: Target, backup: BaseBackup) -> datetime:
    """Its end is known in whole seconds; a point was taken by the one program that also waited for the backup."""
    return backup.ended_at if target.point else backup.ended_at + timedelta(seconds=1)


def pgbackrest_arguments(target: Target, base: BaseBackup) -> list[str]:
    """How pgBackRest is told."""
    arguments = [f"--set={base.label}", f"--target-timeline={target.timeline}"]
    if target.point:
        return [*arguments, "--type=name", f"--target={target.point.name}", "--target-action=promote"]
    if target.moment:
        when = f"{target.moment:%Y-%m-%d %H:%M:%S.%f}+00"
        return [*arguments, "--type=time", f"--target={when}", "--target-action=promote"]
    return [*arguments, "--type=default"]


def is_proven(target: Target, history: str, last: str) -> str:
    """Why the asked place was not reached, by the history that PostgreSQL wrote when it ended its recovery, or "".

    ``last`` is the last segment that was to be read.
    """
    rows = [row.split("\t") for row in history.splitlines() if row.strip() and not row.startswith("#")]
    if not rows or len(rows[-1]) < 3:
        return "PostgreSQL noted no end of a recovery"
    timeline, reached, reason = int(rows[-1][0]), chain.place(rows[-1][1]), rows[-1][2]
    where = f"it ended at {rows[-1][1]} of timeline {timeline}, {reason}"
    if timeline != target.timeline:
        return f"{where}; timeline {target.timeline} was asked for"
    if target.point and (
        reason != f'at restore point "{target.point.name}"' or reached < chain.place(target.point.lsn)
    ):
        return f"{where}; the point is at {target.point.lsn}"
    if target.before and reached < chain.place(target.before.lsn):
        return f"{where}; {target.before.name} at {target.before.lsn} was not reached"
    if not target.point and target.moment and not reason.startswith("before "):
        return where
    if not target.moment and last and reached < chain.begin(last):
        return f"{where}; {last} was not reached"
    return ""
