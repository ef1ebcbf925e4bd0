"""The last hour and the last day: how many people were stored, and how long their way was. Asked from the rows."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from pipeline.database.connection import Cursor
from pipeline.database.queries import query


class Span(NamedTuple):
    """So many seconds back from now, in pieces of ``piece`` seconds."""

    name: str
    seconds: int
    piece: int


SPANS = (Span("hour", 3_600, 60), Span("day", 86_400, 600))


class Series:
    """One span. Pieces that are over do not change any more, so only the newest are asked for again."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._pieces: dict[int, tuple[int, int, float | None, float | None]] = {}
        self._known_to = 0

    def look(self, cursor: Cursor, now: float | None = None) -> dict[str, Any]:
        """Lists of the same length: the pieces' beginnings in seconds since 1970, and what each brought.

        ``median`` and ``slow`` (the 95th percentile) are seconds, None where nobody was stored. Raises PassingFault.
        """
        piece = self._span.piece
        last = int((time.time() if now is None else now) // piece) * piece
        first = last - self._span.seconds + piece
        # A transaction's rows show when it ends, with the time when it began: the piece before the last may still grow.
        since = max(first, self._known_to - piece)
        cursor.execute(query("page_stored"), {"since": since, "seconds": piece})
        stored = {int(at): (int(count), way) for at, count, way in cursor}
        cursor.execute(query("page_written"), {"since": since, "seconds": piece})
        written = {int(at): int(count) for at, count in cursor}
        for at in range(since, last + piece, piece):
            count, (median, slow) = stored.get(at, (0, (None, None)))
            self._pieces[at] = (count, written.get(at, 0), _rounded(median), _rounded(slow))
        self._pieces = {at: one for at, one in self._pieces.items() if first <= at <= last}
        self._known_to = last
        times = range(first, last + piece, piece)
        rows = [self._pieces.get(at, (0, 0, None, None)) for at in times]
        return {
            "seconds": piece,
            "at": list(times),
            "postgresql": [row[0] for row in rows],
            "nocodb": [row[1] for row in rows],
            "median": [row[2] for row in rows],
            "slow": [row[3] for row in rows],
        }

    def forget(self) -> None:
        """Ask for all of it again: the database may be another one by now."""
        self._pieces, self._known_to = {}, 0


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
