"""A bound on how often something is done."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from pipeline.api.answers import Refusal


class Bound:
    """``most`` times in ``seconds``, whoever asks."""

    def __init__(self, most: int, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self._now = most, seconds, now
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def take(self, what: str) -> None:
        """Raises Refusal with 429 and when to come again."""
        now = self._now()
        with self._lock:
            while self._times and self._times[0] <= now - self._seconds:
                self._times.popleft()
            if len(self._times) >= self._most:
                left = math.ceil(self._times[0] + self._seconds - now)
                raise Refusal(
                    429,
                    f"{what}: at most {self._most} in {self._seconds:.0f} seconds",
                    hint=f"Ask again in {left} seconds.",
                    headers={"Retry-After": str(left)},
                )
            self._times.append(now)
