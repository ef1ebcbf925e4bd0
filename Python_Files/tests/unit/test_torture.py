"""The torture itself: its plan comes from the seed alone, its links and its driver do what they promise."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline import topics
from torture import driver
from torture.__main__ import kinds_of
from torture.links import Link
from torture.plan import KINDS, schedule


def test_the_same_seed_gives_the_same_faults_at_the_same_moments() -> None:
    assert schedule(7, 10) == schedule(7, 10)
    assert schedule(7, 10) != schedule(8, 10)


def test_ten_minutes_have_every_kind_every_point_and_thirty_kills() -> None:
    planned = schedule(1, 10)
    assert {one.kind for one in planned} == KINDS.keys()
    points = [f"{stage}.{point}" for stage, of_stage in driver.POINTS.items() for point in of_stage]
    assert {one.target for one in planned if one.kind == "point"} == set(points)
    assert sum(one.kind in ("kill", "point") for one in planned) >= 30
    assert all(one.seconds + one.length <= 600 for one in planned)


def test_only_the_kinds_that_were_asked_for_are_planned() -> None:
    assert {one.kind for one in schedule(1, 5, ["kafka", "kill"])} == {"kafka", "kill"}


@pytest.mark.parametrize("text", ["", "kill,", "nonsense", "kill,nonsense"])
def test_a_kind_that_is_none_is_refused(text: str) -> None:
    if text == "kill,":
        assert kinds_of(text) == ["kill"]
    else:
        with pytest.raises(ValueError, match="there is no kind"):
            kinds_of(text)


def test_every_stage_has_points_and_each_is_a_method_that_exists() -> None:
    assert driver.POINTS.keys() == set(topics.STAGES)
    for points in driver.POINTS.values():
        for point in points.values():
            module = __import__(point.module, fromlist=[point.owner])
            assert callable(getattr(getattr(module, point.owner), point.method))


def test_a_process_kills_itself_at_the_point_once_for_each_order(tmp_path: Path) -> None:
    order = tmp_path / "stage.point"
    program = (
        "import sys; from pathlib import Path; from torture.driver import wrapped; order = Path(sys.argv[1]);"
        "step = wrapped(lambda: print('done', flush=True), order, after=True); step()"
    )

    def run() -> subprocess.CompletedProcess[str]:
        path = ":".join(sys.path)
        return subprocess.run(
            [sys.executable, "-c", program, str(order)],
            env={"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    assert (run().returncode, run().stdout) == (0, "done\n")
    order.touch()
    killed = run()
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "done\n")
    assert run().returncode == 0
    assert (tmp_path / "stage.point.done").exists()


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says everything back."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


def said(port: int, what: bytes) -> bytes:
    """What comes back until it is all there; raises ConnectionError when the connection was cut before that."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        return said_whole(connection, what)


def said_whole(connection: socket.socket, what: bytes) -> bytes:
    connection.sendall(what)
    heard = b""
    while len(heard) < len(what):
        more = connection.recv(65536)
        if not more:
            raise ConnectionAbortedError(heard)
        heard += more
    return heard


def test_a_link_passes_everything_unless_it_is_told_otherwise(echo: int) -> None:
    link = Link(echo)
    assert said(link.port, b"x" * 300_000) == b"x" * 300_000
    link.refuse()
    with pytest.raises(ConnectionError):
        said(link.port, b"hello")
    link.restore()
    assert said(link.port, b"hello") == b"hello"
    link.close()


def test_a_link_answers_500_without_asking_the_server(echo: int) -> None:
    link = Link(echo)
    link.answer_500()
    with socket.create_connection(("127.0.0.1", link.port), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert link.answers == 1
    link.close()


def test_a_link_cuts_in_the_middle_of_an_answer(echo: int) -> None:
    link = Link(echo)
    with socket.create_connection(("127.0.0.1", link.port), timeout=5) as connection:
        connection.sendall(b"first")
        assert connection.recv(100) == b"first"
        link.cut(3)
        with pytest.raises(ConnectionError):
            said_whole(connection, b"second")
    assert link.cuts == 1
    link.close()


def test_a_link_swallows_the_answer_to_what_it_was_told_and_to_nothing_else(echo: int) -> None:
    link = Link(echo)
    link.swallow(b"COMMIT")
    assert said(link.port, b"SELECT 1") == b"SELECT 1"
    assert link.waits
    with pytest.raises(ConnectionError):
        said(link.port, b"now COMMIT")
    assert not link.waits
    assert said(link.port, b"now COMMIT") == b"now COMMIT"
    link.close()
