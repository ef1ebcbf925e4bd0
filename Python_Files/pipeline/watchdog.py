"""A watchdog: ends the process when it hangs, so that its supervisor starts it again."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.log import event

logger = logging.getLogger(__name__)

HUNG_EXIT_CODE = 75
"""How a process ends that was found hanging (EX_TEMPFAIL of sysexits.h: try again)."""


class Watchdog:
    """While armed, ends the process when no ``beat`` came for ``seconds``.

    The Kafka client's commit has no time-out of its own: with the broker gone in the wrong moment it waits for ever.
    What was not committed is done again by the next process.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._beats = 0
        self._armed = False
        self._thread: threading.Thread | None = None

    def beat(self) -> None:
        self._beats += 1

    def arm(self) -> None:
        """Watch from now on."""
        self.beat()
        self._armed = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until the block ends."""
        self.arm()
        try:
            yield
        finally:
            self._armed = False

    def _watch(self) -> None:
        # A machine that slept, or a process that was frozen, finds much time gone at once although nothing hangs: only
        # time that this thread saw pass counts.
        waited, seen, beats = 0.0, time.monotonic(), self._beats
        while True:
            time.sleep(1.0)
            now = time.monotonic()
            quiet = self._armed and self._beats == beats
            waited = waited + min(now - seen, 2.0) if quiet else 0.0
            seen, beats = now, self._beats
            if waited > self._seconds:
                event(logger, logging.CRITICAL, "hanging, ends to be started again", seconds=self._seconds)
                os._exit(HUNG_EXIT_CODE)
