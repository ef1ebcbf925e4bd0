"""Connections, and which of PostgreSQL's errors pass and which never will."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extras

from pipeline.errors import PassingFault
from pipeline.settings import Settings

Connection = Any
Cursor = Any

# A record that PostgreSQL refuses with one of these can never be stored: its data is wrong, breaks a constraint, or is
# beyond what PostgreSQL can hold at all, such as JSON nested too deeply (psycopg2 counts that as operational).
RefusedForGood = (
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.errors.ProgramLimitExceeded,
    psycopg2.errors.StatementTooComplex,
)

# What PostgreSQL says when a table, a column or a whole database is not there.
NotWhole = psycopg2.ProgrammingError


@contextmanager
def passing() -> Iterator[None]:
    """Whatever PostgreSQL cannot do now (down, full, restarting, deadlock, time-out) becomes a PassingFault.

    Wrong data and wrong SQL are no such thing: they are raised as they are.
    """
    try:
        yield
    except (psycopg2.DatabaseError, psycopg2.InterfaceError) as error:
        # Of a connection that was lost between a question and its answer psycopg2 says no more than DatabaseError.
        passes = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.InternalError)
        if not isinstance(error, passes) and type(error) is not psycopg2.DatabaseError:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        raise PassingFault("PostgreSQL could not do it now", detail=text) from error


def connect(
    settings: Settings,
    *,
    role: str = "pipeline",
    database: str = "pipeline",
    name: str = "",
    statement_seconds: int = 120,
) -> Connection:
    """A connection as ``role``: pipeline, pipeline_reader, pipeline_api, nocodb or postgres. Raises PassingFault."""
    password = {
        "pipeline": settings.pipeline_db_password,
        "pipeline_reader": settings.reader_db_password,
        "pipeline_api": settings.api_db_password,
        "nocodb": settings.nocodb_db_password,
        "postgres": settings.postgres_password,
    }[role]
    with passing():
        connection = psycopg2.connect(
            host=settings.postgres_host,
            port=settings.postgres_port,
            user=role,
            password=password,
            dbname=database,
            application_name=name or role,
            connect_timeout=5,
            # A server that vanished without a word is noticed within half a minute.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            options=f"-c timezone=UTC -c statement_timeout={statement_seconds * 1000}"
            " -c idle_in_transaction_session_timeout=60000",
        )
        psycopg2.extras.register_uuid(conn_or_curs=connection)
    return connection


@contextmanager
def session(settings: Settings, *, role: str = "pipeline", name: str = "") -> Iterator[Cursor]:
    """A cursor in one transaction, committed at the end of the block and rolled back on an error."""
    connection = connect(settings, role=role, name=name)
    try:
        with passing(), connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def ready(settings: Settings, database: str = "postgres") -> None:
    """Raises PassingFault unless PostgreSQL answers a query."""
    connection = connect(settings, role="postgres", database=database, name="readiness")
    try:
        with passing(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()
