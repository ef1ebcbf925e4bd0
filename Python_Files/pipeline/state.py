"""What a long-running process is doing, told in a small file that a health check can read for next to nothing.

The file has one line: the state, and after a colon why, if there is something to say. Its age is the sign of life: the
very loop that does the work touches it, and no thread beside it does, so the file of a process that hangs grows old.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.log import event
from pipeline.metrics import names

logger = logging.getLogger(__name__)

STARTING = "starting"
"""Not given its share of the work yet, or not again."""
WORKING = "working"
"""The loop goes round. A member of a group that was given no partition stands by, which is work too."""
PAUSED = "paused"
"""A fault that may pass is waited for."""

VARIABLE = "PIPELINE_STATE_FILE"
REBALANCE_SECONDS = 30.0
"""How long a member without partitions counts as working while its group deals them out anew: a member that was killed
is waited for (15 s), and one that lives ends its batch first."""
TOUCH_SECONDS = 3.0
"""The file of a process that lives and has nothing new to say gets no older than this and one turn of its loop."""


class State:
    """The file at ``path``; without a path nothing is written. A file that cannot be written stops nobody's work."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._line = ""
        self._touched = 0.0
        self._failed = False

    def tell(self, state: str, why: str = "") -> None:
        """Say so. ``why`` must hold no secret; a PassingFault's message does not."""
        names.tell_state(state)
        if self._path is None:
            return
        line = f"{state}: {' '.join(why.split())}" if why else state
        now = time.monotonic()
        if line == self._line and now - self._touched < TOUCH_SECONDS:
            return
        try:
            if line == self._line:
                os.utime(self._path)
            else:
                self._write(self._path, line)
        except OSError as error:
            self._line = ""  # who has removed the file gets a whole one
            if not self._failed:
                event(logger, logging.WARNING, "its state cannot be told", detail=str(error))
            self._failed = True
        else:
            self._line, self._failed = line, False
        self._touched = now

    @staticmethod
    def _write(path: Path, line: str) -> None:
        # No fsync: only the living read it.
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(f"{line}\n", encoding="utf-8")
        temporary.replace(path)


class Member:
    """The state of a loop that shares its work with a group, from what its turns bring."""

    def __init__(self, state: State, now: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._now = now
        self._assigned_at: float | None = None
        state.tell(STARTING)

    def turned(self, assigned: bool, waits_for: str | None) -> None:
        """A turn has ended. ``waits_for`` is the fault that is not known to be over yet, if there is one."""
        if assigned:
            self._assigned_at = self._now()
        if waits_for is not None:
            self._state.tell(PAUSED, waits_for)
        elif self._assigned_at is not None and self._now() - self._assigned_at < REBALANCE_SECONDS:
            self._state.tell(WORKING)
        else:
            self._state.tell(STARTING, "the group has not given it its partitions")

    def paused(self, waits_for: str) -> None:
        """A fault was met, or is still waited for. What was assigned is let go of."""
        self._assigned_at = None
        self._state.tell(PAUSED, waits_for)


def from_environment(environ: Mapping[str, str] = os.environ) -> State:
    """The file that PIPELINE_STATE_FILE names; whoever starts the process gives each its own."""
    path = environ.get(VARIABLE)
    return State(Path(path) if path else None)
