"""What the databases hold, in lines that are equal when the contents are: to compare a copy with its original."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from psycopg2.sql import SQL, Composable, Identifier

from pipeline.database.connection import Cursor, connect, passing
from pipeline.database.queries import query
from pipeline.settings import Settings

DATABASES = ("pipeline", "nocodb")

# Whatever the server's own settings are, the same value is the same text.
_SAME_TEXT = (
    "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET DateStyle = 'ISO, YMD'; "
    "SET IntervalStyle = 'postgres'; SET extra_float_digits = 1; SET bytea_output = 'hex'; SET search_path = pg_catalog"
)


class _Digest:
    """A file to write to that keeps no more than the checksum."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def write(self, data: bytes | str) -> None:
        self._hash.update(data.encode() if isinstance(data, str) else data)

    @property
    def text(self) -> str:
        return self._hash.hexdigest()


def lines(settings: Settings) -> Iterator[str]:
    """Of both databases, each line beginning with its database: see lines_of. Raises PassingFault."""
    for database in DATABASES:
        for line in lines_of(settings, database):
            yield f"{database} {line}"


def lines_of(settings: Settings, database: str) -> Iterator[str]:
    """Each table with its rows and their checksum, in the order of the primary key; each sequence with its place; each
    relation and schema with its owner and rights. In one snapshot; rows are streamed, so memory stays small. Raises
    PassingFault.
    """
    connection = connect(settings, role="postgres", database=database, name="contents")
    try:
        with passing(), connection, connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute(_SAME_TEXT)
            for what in ("tables", "sequences", "rights"):
                cursor.execute(query(f"contents_{what}"))
                for row in cursor.fetchall():
                    if what == "tables":
                        schema, table, keys = row
                        count, checksum = _rows(cursor, schema, table, keys)
                        yield f"table {schema}.{table} {count} {checksum}"
                    else:
                        yield f"{what} {' '.join(map(str, row))}"
    finally:
        connection.close()


def _rows(cursor: Cursor, schema: str, table: str, keys: list[list[str]]) -> tuple[int, str]:
    """``keys``: the columns of the primary key, and of each whether it is text, which is put in order by its bytes."""
    order: list[Composable] = [
        SQL('{} COLLATE "C"').format(Identifier(name)) if kind == "text" else Identifier(name) for name, kind in keys
    ]
    what = SQL("SELECT * FROM {} AS the_row ORDER BY {}").format(
        Identifier(schema, table),
        SQL(", ").join(order) if order else SQL('the_row::text COLLATE "C"'),
    )
    digest = _Digest()
    cursor.copy_expert(SQL("COPY ({}) TO STDOUT").format(what).as_string(cursor), digest)
    return cursor.rowcount, digest.text
