"""Database/Backup.sh: make everything up to now restorable, and take a base backup when one is due."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline import entry
from pipeline.backup import base_backup, configuration, files, points, preparing, repository, sums
from pipeline.backup.points import Point
from pipeline.backup.repository import BaseBackup, Repository
from pipeline.errors import PipelineError
from pipeline.operations import lock
from pipeline.operations.lock import Busy
from pipeline.settings import Settings, original_file

# Half of the schedule's five minutes: a base backup is due at the run that is nearest to its time, not at the next.
_SLACK = timedelta(seconds=150)
_SHOWN_POINTS = 20
# Not for ever: an ordinary cron would start one after the other.
_PATIENCE = timedelta(hours=1)


def back_up(settings: Settings, *, full: bool = False) -> None:
    """One run. Prints what it did. Raises PipelineError.

    The base backup comes first: a point before the first base backup could not be restored. What fails does not stop
    the rest: of two repositories the other one goes on, and with an older base backup the point is made all the same.
    Then the first failure is raised.
    """
    ready, faults = preparing.prepare(settings)
    known, archived = points.read_journal(settings), points.last_archived(settings)
    several = len(configuration.views(settings)) > 1
    backed: list[Repository] = []
    labels = []
    for one in ready:
        try:
            base_backup.clear_away_halves(one.settings)
            _keep_settings_file(one.settings)
            why = "asked for" if full else why_due(one, archived, datetime.now(UTC))
            if why:
                one, label = _take_base_backup(one, why, several=several)
                labels.append(label)
        except PipelineError as error:
            if not one.contents.backups and len(ready) == 1:
                raise
            faults.append(error)
        except OSError as error:
            faults.append(_unwritten(one.settings, error))
        backed.append(one)
    if labels:
        _forget(settings, backed, faults)
    point, safe = points.take(settings, backed, labels[0] if labels else None)
    _tell_point(point, safe, several=several)
    for one in backed:
        try:
            if one in safe:
                _tell_wal(one, known, point, several=several)
            else:
                faults.append(_behind(settings, one))
            sums.note(one.settings)
            _keep_files(one, several=several)
        except PipelineError as error:
            faults.append(error)
        except OSError as error:
            faults.append(_unwritten(one.settings, error))
    for fault in faults[1:]:
        print(fault.report(), file=sys.stderr)
    if faults:
        raise faults[0]


def _unwritten(settings: Settings, error: OSError) -> PipelineError:
    return PipelineError("the backup cannot be written", detail=f"{settings.backup}: {error}")


def _behind(settings: Settings, one: Repository) -> PipelineError:
    place = str(configuration.repository(one.settings))
    return PipelineError(
        "the WAL does not reach one of the two repositories",
        detail=f"{place}: {repository.errors_of_pushing(settings).get(place, 'no reason is known')}",
        hint="The other one has it. PostgreSQL keeps the WAL for this one and tries again; if it does not come back, "
        f"take {preparing.setting_of(settings, one.settings)} out of .env, for the WAL takes room.",
    )


def why_due(one: Repository, archived: str, now: datetime) -> str:
    """Why a base backup is due in this repository, or "" when none is.

    ``archived`` is the segment up to which PostgreSQL knows all WAL to be in every repository, "" when it does not
    know. Sizes are what the WAL takes in the repository.
    """
    settings, contents = one
    sound = [backup for backup in contents.backups if not backup.faulty]
    if not sound:
        return "there is none" if not contents.backups else "the others have broken pages"
    newest = sound[-1]
    age = now - newest.started_at
    if age >= timedelta(hours=settings.backup_full_hours) - _SLACK:
        return f"the last one is {age.total_seconds() / 3600:.1f} hours old"
    wal = repository.segments(settings, contents.archive_id, newest.last_segment, "F" * 24)
    if sum(wal.values()) >= settings.backup_full_wal_mb << 20:
        return f"{_size(sum(wal.values()))} of WAL, {len(wal)} segments, came since the last one"
    base = newest.last_segment
    if archived > base and points.added_wal(settings, contents.archive_id, base, archived).missing:
        return "WAL that came since the last one is missing"
    return ""


def _take_base_backup(one: Repository, why: str, *, several: bool) -> tuple[Repository, str]:
    begin = time.monotonic()
    backup = base_backup.take(one.settings, one.contents)
    where = f" in {configuration.repository(one.settings)}" if several else ""
    sizes = f"{_size(backup.repository_bytes)} of {_size(backup.database_bytes)}"
    _tell(
        "Base backup",
        f"{backup.kind} {backup.label}{where}, {sizes}: {why}",
        time.monotonic() - begin,
    )
    if backup.faulty:
        print(f"*** base backup {backup.label} has pages with wrong checksums: the disk may be failing", flush=True)
    return Repository(one.settings, repository.read(one.settings)), backup.label


def _forget(settings: Settings, backed: Sequence[Repository], faults: list[PipelineError]) -> None:
    """What retention has put out of reach: points, and NocoDB's files of those days."""
    reach = {one.settings.backup: one.contents.backups[0].ended_at for one in backed if one.contents.backups}
    for one in backed:
        if one.settings.backup not in reach:
            continue
        try:
            points.forget_before(one.settings, reach[one.settings.backup])
            files.forget_before(one.settings, reach[one.settings.backup])
        except PipelineError as error:
            faults.append(error)
        except OSError as error:
            faults.append(_unwritten(one.settings, error))
    if len(reach) == len(configuration.views(settings)):
        points.forget_in_table(settings, min(reach.values()))


def _keep_files(one: Repository, *, several: bool) -> None:
    begin = time.monotonic()
    saved = files.save(one.settings)
    if saved.added or saved.unread:
        where = f" in {one.settings.backup}" if several else ""
        _tell(
            "Files",
            f"{saved.added} of NocoDB's {saved.files} are new{where}, {_size(saved.added_bytes)}",
            time.monotonic() - begin,
        )
    if saved.unread:
        raise PipelineError(f"{len(saved.unread)} of NocoDB's files cannot be read", detail=", ".join(saved.unread[:3]))


def _keep_settings_file(settings: Settings) -> None:
    """A copy of .env beside the backups; an older one that differs is kept too, under the time of the change."""
    directory = configuration.copies(settings)
    directory.mkdir(mode=0o700, exist_ok=True)
    copy = directory / "env"
    content = original_file().read_bytes()
    if copy.exists():
        if copy.read_bytes() == content:
            return
        if not sums.is_damaged(settings, copy):
            copy.replace(directory / f"env-until-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    configuration.write_private(copy, content)
    sums.note(settings, changed=[copy])


def _tell_point(point: Point, safe: Sequence[Repository], *, several: bool) -> None:
    where = "the repository"
    if several:
        where = "both repositories"
        if len(safe) == 1:
            where = f"{configuration.repository(safe[0].settings)} alone"
    _tell("Point", f"{point.name} is safe in {where}", point.duration_seconds)


def _tell_wal(one: Repository, known: Sequence[Point], point: Point, *, several: bool) -> None:
    if not one.contents.backups:
        return
    # What is older than the first base backup is in nobody's way.
    first = one.contents.backups[0].first_segment
    after = max(known[-1].wal_segment if known else "", first)
    if after >= point.wal_segment:
        return
    wal = points.added_wal(one.settings, one.contents.archive_id, after, point.wal_segment)
    count = f"{len(wal.segments)} segment" + ("" if len(wal.segments) == 1 else "s")
    where = f" in {configuration.repository(one.settings)}" if several else ""
    if wal.segments:
        _tell("WAL", f"{count}, {_size(wal.repository_bytes)}{where}: {wal.segments[0]} to {wal.segments[-1]}")
    if wal.missing:
        raise PipelineError(
            "the WAL in the repository has a gap",
            detail=f"{len(wal.missing)} segments are not there: {', '.join(wal.missing[:3])}",
            hint="What came after it can be restored only from a newer base backup, which the next run takes.",
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
    """What can be restored; needs no PostgreSQL and changes nothing. Raises PipelineError when nothing can be read."""
    views = configuration.views(settings)
    known = points.read_journal(settings)
    reach = {}
    for view in views:
        place = configuration.repository(view)
        where = f" in {place}" if len(views) > 1 else ""
        try:
            backups = repository.read(view).backups if configuration.config_file(view).exists() else []
        except PipelineError as error:
            if len(views) == 1:
                raise
            console.print(f"[red]{place}: {error.message}[/] {error.detail}\n")
            continue
        _show_backups(console, f"Base backups{where}", backups)
        if backups:
            reach[place] = backups[0].ended_at
    shown = known[-_SHOWN_POINTS:]
    title = "Restore points" + (f", the newest {len(shown)} of {len(known)}" if len(shown) < len(known) else "")
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for name in ("name", "taken (UTC)", "place in the WAL", "segment"):
        table.add_column(name)
    for point in shown:
        table.add_row(point.name, _time(point.taken_at), point.lsn, point.wal_segment)
    console.print(table)
    for place, since in reach.items() if known else ():
        where = f" from {place}" if len(views) > 1 else ""
        console.print(
            f"\nAny moment from {_time(since)} to {_time(known[-1].taken_at)} UTC can be restored{where}.",
            soft_wrap=True,
        )
    if known and not reach:
        places = " or ".join(str(configuration.repository(view)) for view in views)
        console.print(f"\n[red]There is no base backup in {places}: nothing can be restored.[/]")
    elif not known:
        console.print("\nNothing can be restored yet; Database/Backup.sh makes the first backup.")


def _show_backups(console: Console, title: str, backups: Sequence[BaseBackup]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
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
    console.print()


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _work(settings: Settings, *, full: bool, listed: bool) -> None:
    repository.refuse_root()
    if listed:
        show(settings, Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "120"))))
        return
    busy = Busy(
        "no backup was made: another one, or a restore, is at work for longer than an hour",
        hint="Administrator_scripts/Status.sh says how the backups are.",
    )

    def waits() -> None:
        _tell("Backup", "waits until another one, or a restore, has ended")

    # The one at work may have made its point already, and what came since then would be in none.
    with lock.held(lock_file(settings), busy, seconds=_PATIENCE.total_seconds(), waits=waits):
        back_up(settings, full=full)


def lock_file(settings: Settings) -> Path:
    """Who holds it changes what is in the repository, or relies on it."""
    return settings.run / "backup.lock"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when done. While another run or a restore is at work, it waits for that."""
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
