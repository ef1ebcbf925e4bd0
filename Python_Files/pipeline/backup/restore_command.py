"""Database/Restore.sh: the databases as they were at a moment; what was fetched since is read from Kafka again."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial

from pipeline import entry, reconciliation, status
from pipeline.backup import (
    command,
    configuration,
    exchange,
    files,
    losses,
    plan,
    points,
    repository,
    restoration,
    scratch,
    target,
    unfinished,
)
from pipeline.backup.exchange import Sinks
from pipeline.backup.plan import Plan
from pipeline.database import replacement
from pipeline.errors import PassingFault, PipelineError, UsageError
from pipeline.feed import sources
from pipeline.operations import lock, servers, sinks, start
from pipeline.operations.asking import confirm
from pipeline.operations.lock import Busy
from pipeline.operations.telling import step, tell, warn
from pipeline.settings import ROOT, Settings

_SETTLE_SECONDS = 900
_BACKUP_SECONDS = 600
_AGAIN = "Try again when it has ended."


def restore(settings: Settings, asked: str | None, *, only: bool, dry_run: bool, yes: bool) -> int:
    """The whole of it. The exit code: 1 when it was restored and the ledger is not content. Raises PipelineError.

    ``only``: the pipeline's database alone, with all else running.
    """
    configuration.write_configuration(settings)
    with ExitStack() as locks:
        if not dry_run:
            locks.enter_context(alone(settings))
            _settle(settings)
        if only:
            exchange.live_answers(settings)
        planned = plan.plan(settings, asked)
        if not _in_containers(settings):  # an image has its programs
            restoration.installed()
        with step("WAL", f"{len(planned.segments)} segments read, none is missing or damaged"):
            planned = plan.check_wal(settings, planned)
        (exchange if only else restoration).check_room(settings, planned)
        _tell(settings, planned, only)
        if dry_run:
            tell("Restore", "--dry-run: nothing was changed")
            return 0
        confirm(yes, "Give --yes if that is meant, or --dry-run to look only.")
        locks.enter_context(without_backups(settings))
        locks.enter_context(scratch.signals_raise())
        if _in_containers(settings):
            from pipeline.containers import restoring

            return restoring.go_on(settings, planned, only=only)
        return restore_pipeline(settings, planned, sinks.native(settings)) if only else _restore(settings, planned)


def _in_containers(settings: Settings) -> bool:
    return settings.pipeline_mode == "docker"


def alone(settings: Settings) -> AbstractContextManager[None]:
    """Nobody else restores. Raises Busy."""
    return lock.held(unfinished.lock_file(settings), Busy("another restore is running", hint=_AGAIN))


def without_backups(settings: Settings) -> AbstractContextManager[None]:
    """No base backup is taken, nor let go, meanwhile. Raises Busy when one does not end."""
    waits = partial(tell, "Wait", "for a backup to end")
    busy = Busy("a backup is running", hint=_AGAIN)
    return lock.held(command.lock_file(settings), busy, seconds=_BACKUP_SECONDS, waits=waits)


def _settle(settings: Settings) -> None:
    """What a killed restore has left, as the next start would do it."""
    left = unfinished.read(settings)
    if left is None:
        return
    with servers.alone(settings):
        restoration.settle(settings, left)
    try:
        unfinished.settle(settings, left)
    except PassingFault as fault:
        warn(f"what a killed restore has left cannot be cleared away yet: {fault.message} ({fault.detail})")


def restore_pipeline(settings: Settings, planned: Plan, writers: Sinks) -> int:
    """The pipeline's database alone, with the locks held. The ledger's exit code. Raises PipelineError."""
    begin = time.monotonic()
    old = exchange.restore(settings, planned, writers)
    tell("Restore", "pipeline's database restored, sinks running (RTO)", time.monotonic() - begin)
    tell("Old data", f"is in the database {old}")
    tell("", f"when you do not need it any more: Database/Restore.sh --drop-old {old}")
    _note(settings)
    return complete(settings, begin)


def _restore(settings: Settings, planned: Plan) -> int:
    ran, offline = restoration.runs(settings), sources.offline_file(settings).exists()
    begin = time.monotonic()
    try:
        old = restoration.restore(settings, planned)
    except BaseException:
        if ran and not restoration.runs(settings):
            warn("the restore failed; the pipeline is started again with the data that it had")
            try:
                start.start(settings, offline=offline)
            except PipelineError as error:  # why the restore failed is to be told, too
                warn(f"it does not start: {error.message} ({error.detail}); ./Project_Start.sh tries again")
        raise
    if old:
        tell("Old data", f"is in {old}")
        tell("", f"when you do not need it any more: rm -r {old}")
    put_back_files(settings, planned.target.moment)
    _note(settings)
    try:
        start.start(settings, offline=offline)
    except BaseException:
        warn("the databases are restored, and the rest does not start: ./Project_Start.sh tries again")
        raise
    finally:
        unfinished.remove(settings)
    tell("Restore", "databases restored, pipeline running (RTO)", time.monotonic() - begin)
    return complete(settings, begin)


def put_back_files(settings: Settings, moment: datetime | None) -> None:
    """NocoDB's files that its rows of that moment name. The databases are worth having without them."""
    try:
        with step("Files", "") as told:
            found = files.restore(settings, moment)
            told(files.told(found))
    except PipelineError as error:
        warn(f"{error.message}: {error.detail}")


def complete(settings: Settings, begin: float) -> int:
    """Wait for the people who are read again, repair NocoDB, and ask the ledger, whose exit code it returns.

    ``begin`` is when the restore began, by the monotonic clock. Raises PipelineError.
    """
    with step("People", "all that were on their way are in both stores") as told:
        if not _is_settled(settings, _SETTLE_SECONDS):
            told("some are still on their way; Administrator_scripts/Status.sh shows how many")
    print("\n".join(reconciliation.reconcile(settings).lines()), flush=True)
    tell("Restore", "both stores complete", time.monotonic() - begin)
    return subprocess.run([sys.executable, "-m", "pipeline.ledger"], cwd=ROOT, check=False).returncode


def _is_settled(settings: Settings, seconds: float) -> bool:
    """Whether everything on the way arrived in both stores within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(PassingFault):
            if status.settled(settings):
                return True
        time.sleep(0.5)
    return False


def _note(settings: Settings) -> None:
    """A point on the new timeline, so that the next restore knows which way the history went."""
    try:
        command.back_up(settings)
    except PipelineError as error:
        warn(f"no backup of the restored databases yet: {error.message}; Database/Backup.sh tries again")


def _tell(settings: Settings, planned: Plan, only: bool) -> None:
    tell("Restore to", str(planned.target))
    tell("From", f"base backup {planned.base.label} and WAL {planned.segments[0]} to {planned.segments[-1]}")
    if planned.instead:
        tell("", f"in {configuration.repository(planned.source)}, because of {planned.instead}")
    if only:
        tell("Databases", "pipeline alone is put back; all else runs on, the sinks stop for its exchange")
    else:
        meanwhile = "what uses them is" if _in_containers(settings) else "all parts are"
        tell("Databases", f"pipeline and nocodb are put back; {meanwhile} stopped meanwhile")
    moment = planned.target.moment or (planned.target.before.taken_at if planned.target.before else datetime.now(UTC))
    for line in losses.told(settings, moment, planned.target.before, only=only):
        print(f"  {line}", flush=True)


def restore_files(settings: Settings, asked: str | None, *, dry_run: bool) -> int:
    """NocoDB's files of a moment alone, with all running. Exit code 1 when some are nowhere. Raises PipelineError."""
    if asked is None:
        raise UsageError(
            "--only files wants --to",
            detail="the newest list of files knows what is there now, and not what was lost",
            hint=f"Give a moment before they were lost: {target.LIST}",
        )
    chosen = target.choose(asked, points.read_journal(settings), datetime.now(UTC))
    # In containers the script has seen to that; a lock of root's would be in the way of PostgreSQL's user.
    with nullcontext() if _in_containers(settings) else alone(settings), step("Files", "") as say:
        found = files.restore(settings, chosen.moment, write=not dry_run)
        say(files.told(found))
    if dry_run:
        tell("Restore", "--dry-run: nothing was changed")
    return 1 if found.lost else 0


def _drop(settings: Settings, name: str) -> int:
    with alone(settings):
        replacement.drop_kept(settings, name)
    tell("Old data", f"the database {name} is dropped")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="Database/Restore.sh", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--to", metavar="TIME|POINT", help="a moment (ISO 8601, UTC), or the name of a restore point")
    which.add_argument("--latest", action="store_true", help="everything that is in the repository")
    which.add_argument("--drop-old", metavar="NAME", help="drop a database that --only pipeline has replaced and kept")
    parser.add_argument(
        "--only",
        choices=["pipeline", "files"],
        help="the people's database alone; or NocoDB's files alone (portraits, attachments), while it runs",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when restored and everybody is accounted for, 1 when not, 2 for wrong usage."""
    asked = _parser().parse_args(arguments)

    def work(settings: Settings) -> int:
        if asked.only != "files" or not _in_containers(settings):  # there they are root's in NocoDB's image
            repository.refuse_root()
        if not (asked.to or asked.latest or asked.drop_old):
            raise UsageError(
                "what is to be restored is missing",
                detail="--to TIME, --to POINT or --latest",
                hint="Database/Backup.sh --list shows the points; --latest is everything; --dry-run changes nothing.",
            )
        if asked.drop_old:
            return _drop(settings, asked.drop_old)
        to = None if asked.latest else asked.to
        if asked.only == "files":
            return restore_files(settings, to, dry_run=asked.dry_run)
        return restore(settings, to, only=bool(asked.only), dry_run=asked.dry_run, yes=asked.yes)

    return entry.main(
        "restore",
        work,
        level="ERROR",
        as_owner=False,
        hint="Administrator_scripts/Status.sh tells what runs.",
        unwritable="the restore cannot go on",
    )


if __name__ == "__main__":
    sys.exit(main())
