"""The ledger's side in PostgreSQL: a session of its own, whose temporary tables hold what one look finds."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from pipeline.database.connection import Connection, connect, passing
from pipeline.database.queries import query
from pipeline.database.users import copy_line
from pipeline.settings import Settings

LINES = 5_000
"""Lines of COPY that are in memory at a time."""
PIECE = 1_000
"""Rows of an answer that are in memory at a time."""


class Book:
    """Queries by name, on one connection: each a transaction of its own unless within ``moment``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def do(self, name: str, **values: Any) -> int:
        """Run a query; how many rows it touched."""
        with passing(), self._connection.cursor() as cursor:
            cursor.execute(query(name), values)
            return int(cursor.rowcount)

    def keep(self, table: str, name: str, **values: Any) -> None:
        """Keep the answer of a query that is made of ``ledger_classified`` in a temporary table."""
        text = query(name).format(classified=query("ledger_classified"))
        with passing(), self._connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NULL", (f"pg_temp.{table}",))
            begin = f"CREATE TEMPORARY TABLE {table} AS" if cursor.fetchone()[0] else f"INSERT INTO {table}"
            cursor.execute(f"{begin}\n{text}", values)

    def rows(self, name: str, **values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query that has few."""
        with passing(), self._connection.cursor() as cursor:
            cursor.execute(query(name), values)
            return list(cursor.fetchall())

    def one(self, name: str, **values: Any) -> dict[str, Any]:
        """The only row of a query, by its columns."""
        with passing(), self._connection.cursor() as cursor:
            cursor.execute(query(name), values)
            return dict(zip((column.name for column in cursor.description), cursor.fetchone(), strict=True))

    def pieces(self, name: str, limit: int = PIECE, **values: Any) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a query that takes ``after`` and ``limit`` and has the uuid first; each piece asked for when the
        one before is done with, so that what became of that one shows in it."""
        after = UUID(int=0)
        while piece := self.rows(name, after=after, limit=limit, **values):
            yield piece
            after = piece[-1][0]

    def people(self, name: str, limit: int = 500, **values: Any) -> Iterator[list[dict[str, Any]]]:
        """As ``pieces``, of whole rows of the table of people, by the names of the columns."""
        after = UUID(int=0)
        while True:
            with passing(), self._connection.cursor() as cursor:
                cursor.execute(query(name), {"after": after, "limit": limit, **values})
                names = [column.name for column in cursor.description]
                piece = [dict(zip(names, row, strict=True)) for row in cursor]
            if not piece:
                return
            yield piece
            after = piece[-1]["uuid"]

    def stream(self, name: str, **values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows of a query that may have a million. The server keeps them; no transaction stays open meanwhile."""
        with passing(), self._connection.cursor(name=name, withhold=True) as cursor:
            cursor.itersize = PIECE
            cursor.execute(query(name), values)
            yield from cursor

    def copy(self, table: str, lines: Iterable[Sequence[Any]]) -> None:
        """Put rows into a table, LINES of them at a time, however slowly they come."""
        rest = iter(lines)
        while piece := "".join(copy_line(line) for line in islice(rest, LINES)):
            with passing(), self._connection.cursor() as cursor:
                cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO(piece))

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Everything in the block sees the stores as of one and the same moment."""
        with passing(), self._connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            try:
                yield
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    @property
    def cursor(self) -> Any:
        """A cursor for what other rooms ask."""
        return self._connection.cursor()


@contextmanager
def book(settings: Settings, name: str = "ledger") -> Iterator[Book]:
    """A Book with its tables, which are gone at the end of the block. Raises PassingFault."""
    connection = connect(settings, name=name)
    try:
        connection.autocommit = True
        with passing(), connection.cursor() as cursor:
            # A million rows take their time, and so may a person who reads the answer page by page.
            cursor.execute(
                "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET work_mem = '32MB'"
            )
            cursor.execute(query("ledger_tables"))
        yield Book(connection)
    finally:
        connection.close()


def chosen(fetch: str | None, since: datetime | None) -> Mapping[str, Any]:
    """The parameters of the queries that choose fetches."""
    return {"fetch": fetch, "since": since}
