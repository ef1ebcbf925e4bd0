"""Failures on demand: what the real service has been seen to answer when it is not well."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

KINDS = {
    "429": "the rate limit is reached",
    "500": "the service's own error, as JSON",
    "502": "a gateway's HTML page",
    "503": "a gateway's HTML page",
    "504": "a gateway's HTML page",
    "error": "200 with a JSON error",
    "html": "200 with an HTML page",
    "truncated": "200 with JSON that ends half-way",
    "cut": "the connection is cut half-way through the body",
    "empty": "200 without results, seed d3adb33f",
    "wrong-page": "200 with another page than asked for",
    "wrong-count": "200 with fewer results than asked for",
    "wrong-seed": "200 with the people of another seed",
    "bad-record": "200 with one record that is no person",
    "slow": "an answer that does not come in time",
}


class Fault(NamedTuple):
    """A failure and for how many requests it stays; None means for ever."""

    kind: str
    times: int | None = None


def parse(text: str) -> Fault:
    """``KIND`` or ``KIND:COUNT``. Raises ValueError that lists the kinds."""
    kind, colon, count = text.partition(":")
    if kind not in KINDS or (colon and not (count.isdecimal() and int(count) > 0)):
        raise ValueError(f"{text!r} is not KIND or KIND:COUNT with KIND one of {', '.join(KINDS)} and COUNT from 1")
    return Fault(kind, int(count) if colon else None)


class Faults:
    """The failures still to come, one after the other; safe to use from many threads."""

    def __init__(self, faults: Iterable[Fault | str]) -> None:
        self._left = [parse(fault) if isinstance(fault, str) else fault for fault in faults]
        self._lock = threading.Lock()

    def next(self) -> str | None:
        """The failure of the next request, or None when it is answered well."""
        with self._lock:
            if not self._left:
                return None
            kind, times = self._left[0]
            if times is not None:
                if times > 1:
                    self._left[0] = Fault(kind, times - 1)
                else:
                    del self._left[0]
            return kind
