"""The inside of a scratch copy: every index compared with its table, every page looked at, every constraint tried.

It changes the copy; the live database must never be given to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import psycopg2
from psycopg2.sql import SQL

from pipeline.database.connection import Connection, Cursor
from pipeline.database.queries import query


class Examination(NamedTuple):
    indexes: int
    constraints: int
    faults: list[str]


def examine(connect: Callable[[str], Connection]) -> Examination:
    """All databases of the copy; ``connect`` reaches one by its name as superuser. Raises PassingFault.

    Without the extension amcheck (it is in the packages of the server) no index is examined.
    """
    indexes = constraints = 0
    faults: list[str] = []
    for name in _answers(connect, "postgres", "checked_databases"):
        connection = connect(name)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                indexes += _check_storage(cursor, name, faults)
                constraints += _check_constraints(cursor, name, faults)
        finally:
            connection.close()
    return Examination(indexes, constraints, faults)


def _answers(connect: Callable[[str], Connection], database: str, name: str) -> list[str]:
    connection = connect(database)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query(name))
            return [one for (one,) in cursor.fetchall()]
    finally:
        connection.close()


def _check_storage(cursor: Cursor, database: str, faults: list[str]) -> int:
    cursor.execute(query("amcheck_available"))
    if cursor.fetchone() != (True,):
        return 0
    cursor.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
    cursor.execute(query("heap_tables"))
    for number, name in cursor.fetchall():
        try:
            cursor.execute(query("check_table"), {"table": number})
            faults.extend(f"{database}: table {name}, block {block}: {told}" for block, told in cursor.fetchall())
        except psycopg2.Error as error:
            faults.append(f"{database}: table {name}: {_line(error)}")
    cursor.execute(query("btree_indexes"))
    indexes = cursor.fetchall()
    for number, name in indexes:
        try:
            cursor.execute(query("check_index"), {"index": number})
        except psycopg2.Error as error:
            faults.append(f"{database}: index {name}: {_line(error)}")
    return len(indexes)


def _check_constraints(cursor: Cursor, database: str, faults: list[str]) -> int:
    cursor.execute(query("unvalidate_constraints"))
    constraints = cursor.fetchall()
    for table, name in constraints:
        try:
            # Both names come from the server, which has quoted what needs it.
            cursor.execute(SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(SQL(table), SQL(name)))
        except psycopg2.Error as error:
            faults.append(f"{database}: constraint {name} of {table}: {_line(error)}")
    return len(constraints)


def _line(error: psycopg2.Error) -> str:
    return " ".join(str(error).split())[:300]
