"""A few connections of one role that many threads share, for questions that change nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg2
import psycopg2.extensions

from pipeline.database.connection import Connection, Cursor, connect, passing
from pipeline.errors import PassingFault
from pipeline.settings import Settings

_TRUSTED_SECONDS = 1.0
"""A connection that answered so lately is not asked whether it lives."""
_IDLE = psycopg2.extensions.TRANSACTION_STATUS_IDLE


class TookTooLong(PassingFault):
    """A question took longer than it may, and PostgreSQL has ended it."""


class Pool:
    """At most ``most`` connections as ``role``, each statement of which may take ``statement_seconds``."""

    def __init__(
        self,
        settings: Settings,
        *,
        role: str,
        name: str,
        most: int,
        statement_seconds: int,
        patience: float = 5.0,
    ) -> None:
        self._make: Callable[[], Connection] = lambda: connect(
            settings, role=role, name=name, statement_seconds=statement_seconds
        )
        self._places = threading.BoundedSemaphore(most)
        self._patience = patience
        self._idle: list[tuple[Connection, float]] = []
        self._lock = threading.Lock()
        self._closed = False
        self.lives = 0
        """Rises whenever a connection was found broken: what was learned before may be of another state."""

    @contextmanager
    def cursor(self) -> Iterator[Cursor]:
        """A cursor whose every statement is a transaction of its own, and so sees what is committed by then.

        Raises PassingFault: PostgreSQL is away (no connection is kept then, so the next call tries anew), every
        connection is busy for too long, or TookTooLong.
        """
        if not self._places.acquire(timeout=self._patience):
            raise PassingFault("every connection to PostgreSQL is busy")
        try:
            connection = self._take()
            try:
                with passing(), connection.cursor() as cursor:
                    yield cursor
            except PassingFault as fault:
                if isinstance(fault.__cause__, psycopg2.errors.QueryCanceled):
                    raise TookTooLong from fault
                raise
            finally:
                self._give_back(connection)
        finally:
            self._places.release()

    def _take(self) -> Connection:
        """A connection that answers: one that was idle may have died with the server meanwhile."""
        while True:
            with self._lock:
                connection, used = self._idle.pop() if self._idle else (None, 0.0)
            if connection is None:
                break
            if time.monotonic() - used < _TRUSTED_SECONDS:
                return connection
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                return connection
            except psycopg2.Error:
                self._broken(connection)
        connection = self._make()
        connection.autocommit = True
        return connection

    def _give_back(self, connection: Connection) -> None:
        if connection.closed or connection.info.transaction_status != _IDLE:
            self._broken(connection)
            return
        with self._lock:
            if not self._closed:
                self._idle.append((connection, time.monotonic()))
                return
        connection.close()

    def _broken(self, connection: Connection) -> None:
        with suppress(psycopg2.Error):
            connection.close()
        with self._lock:
            self.lives += 1

    def close(self) -> None:
        """Close what is idle now, and what is busy as soon as it is given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            with suppress(psycopg2.Error):
                connection.close()
