"""The ledger in one line a store, of everybody who was ever fetched, for next to nothing at each look.

The view pipeline.ledger says of each fetch what became of its people. Its sum over a million people takes seconds, so
that is taken rarely, up to a moment, and what was fetched after it every time.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from pipeline.account import STORES
from pipeline.database.connection import Cursor
from pipeline.database.queries import query

RECENT_SECONDS = 900.0
LEAST_SECONDS, MOST_SECONDS = 30.0, 3600.0
SHARE = 0.02
"""Of the time at most so much goes into the sum over all fetches."""

_PLACES = ("stored", "repeats", "removed", "rejected", "open")


class Sums(NamedTuple):
    """People of fetches, and for each store what became of them; in the order of the queries."""

    fetched: int = 0
    postgresql: tuple[int, ...] = (0, 0, 0, 0, 0)
    nocodb: tuple[int, ...] = (0, 0, 0, 0, 0)

    def plus(self, other: Sums) -> Sums:
        return Sums(
            self.fetched + other.fetched,
            tuple(map(sum, zip(self.postgresql, other.postgresql, strict=True))),
            tuple(map(sum, zip(self.nocodb, other.nocodb, strict=True))),
        )


def _sums(row: Any) -> Sums:
    numbers = [int(one or 0) for one in row]
    return Sums(numbers[0], tuple(numbers[1:6]), tuple(numbers[6:11]))


class Ledger:
    """Keeps the sum up to a moment. Both looks may be taken by different threads."""

    def __init__(self) -> None:
        # Replaced as a whole, so that a moment is never met with another one's sum.
        self._before: tuple[float, Sums] | None = None
        self._due = 0.0
        self._unexplained: dict[str, int] = {}

    def add_up(self, cursor: Cursor) -> None:
        """Take the sum over all fetches up to a little while ago, when it is time. Raises PassingFault."""
        began = time.monotonic()
        if began < self._due:
            return
        moment = time.time() - RECENT_SECONDS
        cursor.execute(query("page_ledger_before"), {"moment": moment})
        self._before = (moment, _sums(cursor.fetchone()))
        taken = time.monotonic() - began
        self._due = began + min(MOST_SECONDS, max(LEAST_SECONDS, taken / SHARE))

    def look(self, cursor: Cursor, waits: dict[str, int] | None) -> dict[str, Any] | None:
        """The account now; ``waits``: how many records wait on the way to each store, None where Kafka does not say.

        None before the first sum. Raises PassingFault.
        """
        if self._before is None:
            return None
        moment, before = self._before
        cursor.execute(query("page_ledger_since"), {"moment": moment})
        now = before.plus(_sums(cursor.fetchone()))
        return {"fetched": now.fetched, **{store: self._of(store, now, waits) for store in STORES}}

    def _of(self, store: str, now: Sums, waits: dict[str, int] | None) -> dict[str, int]:
        told = dict(zip(_PLACES, now.postgresql if store == "postgresql" else now.nocodb, strict=True))
        left = told.pop("open")
        # Who is in no store and in no topic, at two looks in a row: between the two questions people move on.
        nowhere = left if waits is not None and not waits[store] else 0
        unexplained = min(nowhere, self._unexplained.get(store, 0))
        self._unexplained[store] = nowhere
        return {**told, "on_the_way": left - unexplained, "missing": unexplained}
