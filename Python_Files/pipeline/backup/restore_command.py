"""Database/Restore.sh: the databases as they were at a moment; what was fetched since is read from Kafka again."""

from __future__ import annotations

import argparse
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pipeline import feed_source, log, reconciliation, settings, status
from pipeline.backup import command, configuration, losses, repository, restoration
from pipeline.backup.restoration import Plan
from pipeline.errors import PassingFault, PipelineError, UsageError
from pipeline.operations import start
from pipeline.operations.telling import step, tell, warn
from pipeline.settings import ROOT, Settings

_SETTLE_SECONDS = 900


def restore(settings: Settings, asked: str | None, *, dry_run: bool, yes: bool) -> int:
    """The whole of it. The exit code: 1 when it was restored and the ledger is not content. Raises PipelineError."""
    configuration.write_configuration(settings)
    planned = restoration.plan(settings, asked)
    restoration.installed()
    with step("WAL", f"{len(planned.segments)} segments read, none is missing or damaged"):
        restoration.check_wal(settings, planned)
    restoration.check_room(settings, planned)
    _tell(settings, planned)
    if dry_run:
        tell("Restore", "--dry-run: nothing was changed")
        return 0
    _confirm(yes)
    with ExitStack() as locks:
        for name, what in (("restore.lock", "another restore"), ("backup.lock", "a backup")):
            locks.enter_context(_alone(settings.run / name, what))
        return _restore(settings, planned)


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


@contextmanager
def _alone(path: Path, what: str) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PipelineError(f"{what} is running", hint="Try again when it has ended.") from None
        yield
    finally:
        os.close(handle)


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
    try:
        if asked.only:
            raise UsageError("--only pipeline is not possible yet", hint="Without it both databases are restored.")
        loaded = settings.load()
        log.start("restore", level="ERROR")
        repository.refuse_root()
        return restore(loaded, None if asked.latest else asked.to, dry_run=asked.dry_run, yes=asked.yes)
    except PipelineError as error:
        if isinstance(error, PassingFault):
            error.hint = error.hint or "Administrator_scripts/Status.sh tells what runs."
        print(error.report(), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(PipelineError("the restore cannot go on", detail=str(error)).report(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: it was interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
