"""Database/Restore.sh: the databases as they were at a moment; what was fetched since is read from Kafka again."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial

from pipeline import entry, feed_source, reconciliation, status
from pipeline.backup import command, configuration, losses, plan, repository, restoration
from pipeline.backup.plan import Plan
from pipeline.errors import PassingFault, PipelineError, UsageError
from pipeline.operations import lock, start
from pipeline.operations.lock import Busy
from pipeline.operations.telling import step, tell, warn
from pipeline.settings import ROOT, Settings

_SETTLE_SECONDS = 900
_BACKUP_SECONDS = 600
_AGAIN = "Try again when it has ended."


def restore(settings: Settings, asked: str | None, *, dry_run: bool, yes: bool) -> int:
    """The whole of it. The exit code: 1 when it was restored and the ledger is not content. Raises PipelineError."""
    configuration.write_configuration(settings)
    planned = plan.plan(settings, asked)
    restoration.installed()
    with step("WAL", f"{len(planned.segments)} segments read, none is missing or damaged"):
        plan.check_wal(settings, planned)
    restoration.check_room(settings, planned)
    _tell(settings, planned)
    if dry_run:
        tell("Restore", "--dry-run: nothing was changed")
        return 0
    _confirm(yes)
    with ExitStack() as locks:
        _take_locks(settings, locks)
        return _restore(settings, planned)


def _take_locks(settings: Settings, locks: ExitStack) -> None:
    """Nobody else restores, and no base backup is let go meanwhile. Raises Busy."""
    locks.enter_context(lock.held(restoration.lock_file(settings), Busy("another restore is running", hint=_AGAIN)))
    waits = partial(tell, "Wait", "for a backup to end")
    busy = Busy("a backup is running", hint=_AGAIN)
    locks.enter_context(lock.held(command.lock_file(settings), busy, seconds=_BACKUP_SECONDS, waits=waits))


def _restore(settings: Settings, planned: Plan) -> int:
    ran, offline = restoration.runs(settings), feed_source.offline_file(settings).exists()
    begin = time.monotonic()
    try:
        old = restoration.restore(settings, planned)
    except BaseException:
        if ran and not restoration.runs(settings):
            warn("the restore failed; the pipeline is started again with the data that it had")
            start.start(settings, offline=offline)
        raise
    if old:
        tell("Old data", f"is in {old}")
        tell("", f"when you do not need it any more: rm -r {old}")
    _note(settings)
    try:
        start.start(settings, offline=offline)
    except BaseException:
        warn("the databases are restored, and the rest does not start: ./Project_Start.sh tries again")
        raise
    tell("Restore", "databases restored, pipeline running (RTO)", time.monotonic() - begin)
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


def _tell(settings: Settings, planned: Plan) -> None:
    tell("Restore to", str(planned.target))
    tell("From", f"base backup {planned.base.label} and WAL {planned.segments[0]} to {planned.segments[-1]}")
    tell("Databases", "pipeline and nocodb are put back; all parts are stopped meanwhile")
    moment = planned.target.moment or (planned.target.before.taken_at if planned.target.before else datetime.now(UTC))
    for line in losses.told(settings, moment, planned.target.before):
        print(f"  {line}", flush=True)


def _confirm(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask", hint="Give --yes if that is meant, or --dry-run to look only.")
    if input("Type yes to go on: ").strip().lower() != "yes":
        raise PipelineError("nothing was changed: the answer was not yes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="Database/Restore.sh", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--to", metavar="TIME|POINT", help="a moment (ISO 8601, UTC), or the name of a restore point")
    which.add_argument("--latest", action="store_true", help="everything that is in the repository")
    parser.add_argument("--only", choices=["pipeline"], help="not possible yet")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when restored and everybody is accounted for, 1 when not, 2 for wrong usage."""
    asked = _parser().parse_args(arguments)

    def work(settings: Settings) -> int:
        if asked.only:
            raise UsageError("--only pipeline is not possible yet", hint="Without it both databases are restored.")
        repository.refuse_root()
        return restore(settings, None if asked.latest else asked.to, dry_run=asked.dry_run, yes=asked.yes)

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
