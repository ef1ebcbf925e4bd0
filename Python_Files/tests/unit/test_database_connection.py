"""Which of PostgreSQL's errors pass: a lost connection, whenever it is lost; wrong data and wrong SQL never do."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import psycopg2
import pytest

from pipeline.database.connection import passing
from pipeline.errors import PassingFault

_QUERY = ord("Q")


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


_WELCOME = b"".join(
    (
        message(b"R", struct.pack("!i", 0)),
        *(
            message(b"S", f"{name}\0{value}\0".encode())
            for name, value in (
                ("client_encoding", "UTF8"),
                ("DateStyle", "ISO, MDY"),
                ("server_version", "15.0"),
                ("standard_conforming_strings", "on"),
            )
        ),
        message(b"Z", b"I"),
    )
)


@pytest.fixture
def server() -> Iterator[int]:
    """A PostgreSQL that lets everybody in and is gone as soon as it is asked something."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(_WELCOME)
            asked = connection.recv(4096)
            assert asked[0] == _QUERY

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    listening.close()
    thread.join(5)


def test_a_connection_that_is_lost_before_the_answer_passes(server: int) -> None:
    connection = psycopg2.connect(
        host="127.0.0.1", port=server, user="x", dbname="x", sslmode="disable", gssencmode="disable"
    )
    with pytest.raises(PassingFault, match="could not do it now"), passing(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")


@pytest.mark.parametrize(
    "error",
    [
        psycopg2.OperationalError("the server is down"),
        psycopg2.InterfaceError("connection already closed"),
        psycopg2.InternalError("the transaction is aborted"),
        psycopg2.DatabaseError("server closed the connection unexpectedly"),
    ],
)
def test_what_may_succeed_later_passes(error: psycopg2.Error) -> None:
    with pytest.raises(PassingFault), passing():
        raise error


@pytest.mark.parametrize("kind", [psycopg2.ProgrammingError, psycopg2.DataError, psycopg2.IntegrityError])
def test_wrong_data_and_wrong_sql_are_raised_as_they_are(kind: type[psycopg2.Error]) -> None:
    with pytest.raises(kind), passing():
        raise kind("never")
