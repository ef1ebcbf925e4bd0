"""Database/Backup.sh: make everything up to now restorable, and take a base backup when one is due."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline import entry
from pipeline.backup import configuration, points, repository
from pipeline.backup.points import Point
from pipeline.backup.repository import BaseBackup, Contents
from pipeline.errors import PipelineError
from pipeline.operations import lock
from pipeline.operations.lock import Busy
from pipeline.settings import Settings, original_file

# Half of the schedule's five minutes: a base backup is due at the run that is nearest to its time, not at the next.
_SLACK = timedelta(seconds=150)
_SHOWN_POINTS = 20


def back_up(settings: Settings, *, full: bool = False) -> None:
    """One run. Prints what it did. Raises PipelineError.

    The base backup comes first: a point before the first base backup could not be restored. When it fails and there is
    an older one, the point is made all the same, and then the failure is raised.
    """
    configuration.write_configuration(settings)
    contents = repository.prepare(settings)
    _keep_settings_file(settings)
    base: BaseBackup | None = None
    fault: PipelineError | None = None
    if full or is_due(settings, contents, datetime.now(UTC)):
        begin = time.monotonic()
        try:
            base = repository.take_base_backup(settings)
            _tell_base(base, time.monotonic() - begin)
            contents = repository.read(settings)
            points.forget_before(settings, contents.backups[0].ended_at)
        except PipelineError as error:
            if not contents.backups:
                raise
            fault = error
    known = points.read_journal(settings)
    point = points.take(settings, contents.archive_id, base.label if base else None)
    _tell_point(settings, contents, known, point)
    if fault:
        raise fault


def is_due(settings: Settings, contents: Contents, now: datetime) -> bool:
    """Whether a base backup is due: there is none, or the newest began BACKUP_FULL_HOURS ago."""
    sound = [backup for backup in contents.backups if not backup.faulty]
    return not sound or now - sound[-1].started_at >= timedelta(hours=settings.backup_full_hours) - _SLACK


def _keep_settings_file(settings: Settings) -> None:
    """A copy of .env beside the backups; an older one that differs is kept too, under the time of the change."""
    directory = configuration.copies(settings)
    directory.mkdir(mode=0o700, exist_ok=True)
    copy = directory / "env"
    content = original_file().read_bytes()
    if copy.exists():
        if copy.read_bytes() == content:
            return
        copy.replace(directory / f"env-until-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    configuration.write_private(copy, content)


def _tell_base(backup: BaseBackup, seconds: float) -> None:
    _tell(
        "Base backup",
        f"{backup.kind} {backup.label}, {_size(backup.repository_bytes)} of {_size(backup.database_bytes)}",
        seconds,
    )
    if backup.faulty:
        print(f"*** base backup {backup.label} has pages with wrong checksums: the disk may be failing", flush=True)


def _tell_point(settings: Settings, contents: Contents, known: Sequence[Point], point: Point) -> None:
    _tell("Point", f"{point.name} is safe in the repository", point.duration_seconds)
    # What is older than the first base backup is in nobody's way.
    first = contents.backups[0].first_segment
    after = max(known[-1].wal_segment if known else "", first)
    if after >= point.wal_segment:
        return
    wal = points.added_wal(settings, contents.archive_id, after, point.wal_segment)
    count = f"{len(wal.segments)} segment" + ("" if len(wal.segments) == 1 else "s")
    _tell("WAL", f"{count}, {_size(wal.repository_bytes)}: {wal.segments[0]} to {wal.segments[-1]}")
    if wal.missing:
        raise PipelineError(
            "the WAL in the repository has a gap",
            detail=f"{len(wal.missing)} segments are not there: {', '.join(wal.missing[:3])}",
            hint="What came after it can be restored only from a newer base backup: Database/Backup.sh --full.",
        )


def _tell(what: str, text: str, seconds: float | None = None) -> None:
    print(f"{what:<12} {text}" + (f", {seconds:.1f} s" if seconds is not None else ""), flush=True)


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def show(settings: Settings, console: Console) -> None:
    """What can be restored; needs no PostgreSQL and changes nothing. Raises PipelineError."""
    known = points.read_journal(settings)
    has_been_configured = configuration.config_file(settings).exists()
    backups = repository.read(settings).backups if has_been_configured else []
    table = Table(title="Base backups", title_justify="left", title_style="bold", box=None)
    for name in ("label", "kind", "began (UTC)", "seconds", "database", "in the repository"):
        table.add_column(name, justify="right" if name in ("seconds", "database", "in the repository") else "left")
    for backup in backups:
        table.add_row(
            backup.label + (" [red]faulty[/]" if backup.faulty else ""),
            backup.kind,
            _time(backup.started_at),
            f"{(backup.ended_at - backup.started_at).total_seconds():.0f}",
            _size(backup.database_bytes),
            _size(backup.repository_bytes),
        )
    console.print(table)
    shown = known[-_SHOWN_POINTS:]
    title = "\nRestore points" + (f", the newest {len(shown)} of {len(known)}" if len(shown) < len(known) else "")
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for name in ("name", "taken (UTC)", "place in the WAL", "segment"):
        table.add_column(name)
    for point in shown:
        table.add_row(point.name, _time(point.taken_at), point.lsn, point.wal_segment)
    console.print(table)
    if backups and known:
        console.print(
            f"\nAny moment from {_time(backups[0].ended_at)} to {_time(known[-1].taken_at)} UTC can be restored."
        )
    elif known:
        console.print(
            f"\n[red]There is no base backup in {configuration.repository(settings)}: nothing can be restored.[/]"
        )
    else:
        console.print("\nNothing can be restored yet; Database/Backup.sh makes the first backup.")


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _work(settings: Settings, *, full: bool, listed: bool) -> None:
    repository.refuse_root()
    if listed:
        show(settings, Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "120"))))
        return
    busy = Busy("another backup is running, so no base backup was taken", hint="Try again in a minute.")
    with ExitStack() as alone:
        try:
            alone.enter_context(lock.held(lock_file(settings), busy))
        except Busy:
            if full:
                raise
            # The one that runs does this one's work; the schedule's next run comes within minutes.
            _tell("Backup", "another one is running; nothing was done")
            return
        back_up(settings, full=full)


def lock_file(settings: Settings) -> Path:
    """Who holds it changes what is in the repository, or relies on it."""
    return settings.run / "backup.lock"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when done, or when another run is at work already and no base backup was asked for."""
    parser = argparse.ArgumentParser(prog="pipeline.backup.command", description=__doc__)
    parser.add_argument("--full", action="store_true", help="take a base backup now")
    parser.add_argument("--list", action="store_true", help="show what can be restored")
    asked = parser.parse_args(arguments)
    return entry.main(
        "backup",
        lambda settings: _work(settings, full=asked.full, listed=asked.list),
        level="WARNING",
        as_owner=False,
        hint="Is the pipeline running? ./Project_Start.sh starts it.",
        unwritable="the backup cannot be written",
    )


if __name__ == "__main__":
    sys.exit(main())
