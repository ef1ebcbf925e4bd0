"""Tables page by page: what is on a page as of a moment, whoever arrives meanwhile, and how many there are in all.

A page is found in an index alone, and then its few rows are read. Where it begins is known at once when the page before
it was read; a page far behind is come to from the nearer end of the list.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pipeline.database.connection import Cursor
from pipeline.database.pool import Pool

_COUNT_SECONDS = 300.0
"""A count is made anew after so long at the latest; at once when rows were deleted since."""
_KEPT = 5_000


@dataclass(frozen=True)
class Kind:
    """What can be listed. All texts are SQL of this program, never of a caller; values go in as parameters.

    ``columns`` is what a row shows, of the table ``its``; ``stored`` the column of when a row was written;
    ``conditions`` what each filter asks; ``sorts`` the columns of each order, which end in the table's ``key``.
    """

    table: str
    key: tuple[str, ...]
    columns: str
    stored: str
    conditions: Mapping[str, str]
    sorts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Asked(NamedTuple):
    """One page: the filters that are given, the order (with a minus: backwards), the moment (None: now)."""

    filters: Mapping[str, Any]
    sort: str
    page: int
    limit: int
    as_of: datetime | None


class Page(NamedTuple):
    """``as_of`` is the moment that the page shows; given again, all pages belong together."""

    data: list[dict[str, Any]]
    total: int
    as_of: datetime


class _Count(NamedTuple):
    as_of: datetime
    total: int
    made: float
    state: tuple[int, int]
    """What must be the same for the count to hold: the pool's lives, and how many rows were ever deleted."""


class Listing:
    """Pages of one kind. What it remembers makes it faster and is never needed; many threads may ask."""

    def __init__(self, kind: Kind, pool: Pool) -> None:
        self._kind = kind
        self._pool = pool
        self._counts: OrderedDict[Hashable, _Count] = OrderedDict()
        self._ends: OrderedDict[Hashable, tuple[Any, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, asked: Asked) -> Page:
        """Raises PassingFault."""
        with self._pool.cursor() as cursor:
            as_of, deleted = self._now(cursor)
            if asked.as_of is not None and asked.as_of < as_of:
                as_of = asked.as_of
            state = (self._pool.lives, deleted)
            if asked.page == 1 and self._known(asked, state) is None:
                # What is few is counted by reading it; a search is done once then.
                rows = self._rows(cursor, asked, as_of, asked.limit)
                if len(rows) < asked.limit:
                    self._remember(self._counts, _key(asked), _Count(as_of, len(rows), time.monotonic(), state))
                    return Page(rows, len(rows), as_of)
            total = self._total(cursor, asked, as_of, state)
            return Page(self._rows(cursor, asked, as_of, total), total, as_of)

    def _now(self, cursor: Cursor) -> tuple[datetime, int]:
        """The settled moment, and how many rows were ever deleted (PostgreSQL tells that a second late).

        In a statement of its own, before the rows are read: whoever was about to commit then is seen by the next one.
        """
        cursor.execute(
            "SELECT pipeline.settled_moment(), pg_stat_get_tuples_deleted(%(table)s::regclass)",
            {"table": self._kind.table},
        )
        moment, deleted = cursor.fetchone()
        return moment, deleted

    def _where(self, asked: Asked, more: str = "") -> str:
        conditions = [self._kind.conditions[name] for name in asked.filters]
        return " AND ".join([f"{self._kind.stored} <= %(as_of)s", *conditions, *([more] if more else [])])

    # How many

    def _total(self, cursor: Cursor, asked: Asked, as_of: datetime, state: tuple[int, int]) -> int:
        key = _key(asked)
        known = self._known(asked, state)
        if known is None:
            counted = self._count(cursor, asked, self._where(asked), {"as_of": as_of})
            known = _Count(as_of, counted, time.monotonic(), state)
            self._remember(self._counts, key, known)
        if known.as_of == as_of:
            return known.total
        # Only what lies between the two moments is counted.
        early, late = sorted((known.as_of, as_of))
        between = self._where(asked, f"{self._kind.stored} > %(early)s")
        difference = self._count(cursor, asked, between, {"as_of": late, "early": early})
        total = known.total + difference if as_of > known.as_of else known.total - difference
        if as_of > known.as_of:
            self._remember(self._counts, key, known._replace(as_of=as_of, total=total))
        return max(0, total)

    def _known(self, asked: Asked, state: tuple[int, int]) -> _Count | None:
        """The last count of these filters, if it still holds."""
        with self._lock:
            known = self._counts.get(_key(asked))
        if known is None or known.state != state or time.monotonic() - known.made > _COUNT_SECONDS:
            return None
        return known

    def _count(self, cursor: Cursor, asked: Asked, where: str, moments: Mapping[str, datetime]) -> int:
        cursor.execute(f"SELECT count(*) FROM {self._kind.table} WHERE {where}", {**asked.filters, **moments})  # noqa: S608
        return int(cursor.fetchone()[0])

    # Which

    def _rows(self, cursor: Cursor, asked: Asked, as_of: datetime, total: int) -> list[dict[str, Any]]:
        offset = (asked.page - 1) * asked.limit
        if offset >= total:
            return []
        columns = self._kind.sorts[asked.sort.removeprefix("-")]
        after = self._end_of(asked, as_of, asked.page - 1)
        size = min(asked.limit, total - offset)
        # Nearer to the end than to the beginning: from there, the other way round.
        from_end = after is None and offset > total // 2
        backwards = asked.sort.startswith("-") != from_end
        values: dict[str, Any] = {
            **asked.filters,
            "as_of": as_of,
            "limit": size,
            "offset": 0 if after else total - offset - size if from_end else offset,
        }
        more = ""
        if after is not None:
            values |= {f"after_{column}": value for column, value in zip(columns, after, strict=True)}
            places = ", ".join(f"%(after_{column})s" for column in columns)
            more = f"({', '.join(columns)}) {'<' if backwards else '>'} ({places})"
        cursor.execute(self._select(columns, backwards, self._where(asked, more)), values)
        names = [column.name for column in cursor.description]
        found = cursor.fetchall()
        if from_end:
            found.reverse()
        if found and len(found) == asked.limit:
            self._remember(self._ends, self._place(asked, as_of, asked.page), tuple(found[-1][: len(columns)]))
        return [dict(zip(names[len(columns) :], row[len(columns) :], strict=True)) for row in found]

    def _select(self, columns: Sequence[str], backwards: bool, where: str) -> str:
        kind, way = self._kind, "DESC" if backwards else "ASC"
        order = ", ".join(f"{column} {way}" for column in columns)
        of_chosen = ", ".join(f"chosen.{column}" for column in columns)
        same = " AND ".join(f"its.{column} = chosen.{column}" for column in kind.key)
        return f"""
            SELECT {of_chosen}, {kind.columns}
            FROM (
                SELECT {", ".join(columns)}
                FROM {kind.table}
                WHERE {where}
                ORDER BY {order}
                OFFSET %(offset)s LIMIT %(limit)s
            ) AS chosen
            JOIN {kind.table} AS its ON {same}
            ORDER BY {", ".join(f"chosen.{column} {way}" for column in columns)}
        """  # noqa: S608 - only this program's own words are in it

    def _place(self, asked: Asked, as_of: datetime, page: int) -> Hashable:
        return (tuple(sorted(asked.filters.items())), asked.sort, asked.limit, as_of, page, self._pool.lives)

    def _end_of(self, asked: Asked, as_of: datetime, page: int) -> tuple[Any, ...] | None:
        with self._lock:
            return self._ends.get(self._place(asked, as_of, page))

    def _remember(self, memory: OrderedDict[Hashable, Any], key: Hashable, value: Any) -> None:
        with self._lock:
            memory[key] = value
            memory.move_to_end(key)
            while len(memory) > _KEPT:
                memory.popitem(last=False)


def _key(asked: Asked) -> Hashable:
    return tuple(sorted(asked.filters.items()))
