"""The one loop of every stage: read a batch, work on it, commit, again; and what happens when something fails.

A stage is made to be thrown away: whatever fails in a way that may pass, it lets go of its connections, waits a
little longer each time, and begins anew from what is committed. It says so once when it stops working and once when
it works again. Nothing of a batch is kept in memory across that.
"""

from __future__ import annotations

import logging
import random
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from pipeline import state
from pipeline.errors import PassingFault
from pipeline.log import event
from pipeline.metrics import files, names
from pipeline.settings import Settings
from pipeline.watchdog import Watchdog

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0
"""Seconds between two tries at most."""
QUIET_TURNS = 3
"""After so many turns without a record a fault is over too: what it was about would have come up again."""


class Stopping:
    """Set by SIGTERM or SIGINT: the batch at hand is finished, then the stage ends."""

    # No threading.Event: a signal handler that sets one can meet its lock held by the very thread that it interrupted.
    def __init__(self) -> None:
        self._stop_now = False

    def listen(self) -> None:
        """Take the two signals; only the main thread may call this."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self._stop_now = True

    def stop(self) -> None:
        self._stop_now = True

    def wait(self, seconds: float) -> bool:
        """Wait; True as soon as the stage is to end."""
        until = time.monotonic() + seconds
        while not self._stop_now and (left := until - time.monotonic()) > 0:
            time.sleep(min(0.1, left))
        return self._stop_now

    def __bool__(self) -> bool:
        return self._stop_now


class Faults:
    """Says a fault once when it begins and once when it is over, and how long to wait before the next try."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._tries = 0
        # The message of the fault that is not over yet.
        self.waits_for: str | None = None

    def met(self, fault: PassingFault) -> float:
        """Note a fault; seconds to wait: 0.5, 1, 2 ... 30, with some chance in it so that stages do not march."""
        if self._since is None:
            self._since = time.monotonic()
            event(logger, logging.WARNING, "paused", fault=fault.message, detail=fault.detail)
        self._tries += 1
        self.waits_for = fault.message
        longest = min(LONGEST_PAUSE, 0.5 * 2.0 ** min(self._tries - 1, 10))
        return longest * random.uniform(0.75, 1.0)  # noqa: S311 - no secret depends on it

    def over(self) -> None:
        if self._since is not None:
            event(logger, logging.INFO, "goes on", after_seconds=time.monotonic() - self._since, tries=self._tries)
        self._since, self._tries, self.waits_for = None, 0, None


class Work(Protocol):
    """One life of a stage: its connections, and what it does with them."""

    def turn(self) -> int:
        """Read one batch, if there is one, and finish it; how many records it had."""

    @property
    def assigned(self) -> bool:
        """Whether its group has given it its partitions, which may be none when others have them all."""

    def close(self, *, leaving: bool = False) -> None:
        """Let go of everything; ``leaving`` when nothing takes this process' place."""


def run(make: Callable[[], Work], settings: Settings, stopping: Stopping, told: state.State | None = None) -> None:
    """Work until ``stopping``. Passing faults only pause it; Fenced and OffsetsDisagree are raised and end it.

    Which of it is the case is ``told`` at every turn, where PIPELINE_STATE_FILE says unless another place is given.
    """
    member = state.Member(told or state.from_environment())
    watchdog = Watchdog(settings.watchdog_seconds)
    faults = Faults()
    with watchdog.watching():
        while not stopping:
            work: Work | None = None
            try:
                work = make()
                quiet = 0
                while not stopping:
                    watchdog.beat()
                    records = work.turn()
                    quiet = quiet + 1 if work.assigned and not records else 0
                    if records or quiet >= QUIET_TURNS:
                        faults.over()
                    member.turned(work.assigned, faults.waits_for)
                    files.tell()
            except PassingFault as fault:
                names.FAULTS.inc()
                pause = faults.met(fault)
                member.paused(fault.message)
                files.tell()
            else:
                pause = 0.0
            finally:
                if work is not None:
                    watchdog.beat()
                    work.close(leaving=bool(stopping))
            until = time.monotonic() + pause
            while time.monotonic() < until and not stopping.wait(min(1.0, pause)):
                watchdog.beat()
                member.paused(faults.waits_for or "")
                files.tell()
