"""Database/Verify_Backup.sh: restore the backups beside the live databases, and compare."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline import entry
from pipeline.backup import proof, repository
from pipeline.backup.proof import Proof
from pipeline.errors import PipelineError
from pipeline.settings import Settings


def _tell(found: Proof) -> None:
    lines = {
        "Base backup": found.base_backup,
        "Restored to": found.restored_to
        and f"{found.restored_to.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {found.reached_lsn}",
        "RPO": found.rpo_seconds is not None and f"{found.rpo_seconds:.1f} s",
        "RTO": found.rto_seconds is not None and f"{found.rto_seconds:.1f} s",
        "Compared": f"{found.rows_compared} people, {found.rows_removed} of them removed on purpose since",
        "Checked": f"{found.indexes_checked} indexes, {found.constraints_checked} constraints",
    }
    for name, text in lines.items():
        if text:
            print(f"{name:<12} {text}")
    print(f"{'Proof':<12} " + ("the backups can be restored" if found.ok else "FAILED"), flush=True)


def _work(settings: Settings, *, when_due: bool) -> None:
    repository.refuse_root()
    if when_due and not proof.is_due(settings, datetime.now(UTC)):
        return
    found = proof.prove(settings)
    _tell(found)
    if not found.ok:
        raise PipelineError(
            "the backups are not proven",
            detail="; ".join(found.faults[:5]),
            hint="Take a new base backup (Database/Backup.sh --full), call this again, and look at the disk of "
            "BACKUP_DIR. The live databases were not touched.",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when the backups are proven, or no proof is due; 1 when they are not."""
    parser = argparse.ArgumentParser(prog="pipeline.backup.verify", description=__doc__)
    parser.add_argument("--when-due", action="store_true", help="do nothing while the newest proof is good enough")
    asked = parser.parse_args(arguments)
    return entry.main(
        "verify",
        lambda settings: _work(settings, when_due=asked.when_due),
        level="WARNING",
        as_owner=False,
        hint="Is the pipeline running? ./Project_Start.sh starts it.",
        unwritable="the backups cannot be verified",
    )


if __name__ == "__main__":
    sys.exit(main())
