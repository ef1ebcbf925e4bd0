"""The wait until everybody who was fetched is in both stores or accounted for, and no stage has anything to read."""

from __future__ import annotations

import time

from pipeline import account
from pipeline.account import Account, StageProgress
from pipeline.errors import PassingFault, PipelineError
from pipeline.operations.telling import tell
from pipeline.settings import Settings

STUCK_SECONDS = 120.0
"""A stage that has taken nothing for so long does not work, or is paused."""

_TELL_SECONDS = 10.0


def settle(settings: Settings, stuck_seconds: float = STUCK_SECONDS) -> None:
    """Wait for it, as long as it goes forward; the feed must have ended.

    Raises PipelineError when nothing has changed for ``stuck_seconds``: what waits for whom is in it.
    """
    begin = changed = told = time.monotonic()
    before: object = None
    while True:
        state: object
        try:
            counted, stages = account.read(settings)
        except PassingFault as fault:
            state = why = f"{fault.message}: {fault.detail}" if fault.detail else fault.message
        else:
            if counted.settled and not any(stage.lag for stage in stages):
                tell("Account", f"{counted.fetched} people fetched, none on the way", time.monotonic() - begin)
                return
            state, why = (counted, stages), _why(counted, stages)
        now = time.monotonic()
        if state != before:
            before, changed = state, now
        if now - changed > stuck_seconds:
            raise PipelineError(
                "people are on the way and do not arrive",
                detail=f"nothing has changed for {stuck_seconds:.0f} s: {why}",
                hint="Administrator_scripts/Status.sh and Logs.sh show what is the matter; move when it is mended.",
            )
        if now - told > _TELL_SECONDS:
            told = now
            tell("Account", f"not yet: {why}", now - begin)
        time.sleep(0.5)


def _why(counted: Account, stages: list[StageProgress]) -> str:
    waiting = [f"{stage.lag} records wait for {stage.name}" for stage in stages if stage.lag]
    missing = max(counted.postgresql.missing, counted.nocodb.missing)
    if missing and not waiting:
        waiting.append(f"{missing} people are missing")
    return ", ".join(waiting) or "the account is not settled"
