"""A lock between processes: one holds it, the others are refused or wait, and it goes with its process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.operations import lock
from pipeline.operations.lock import Busy

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_who_comes_second_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    assert not lock.is_held(path)
    with lock.held(path, Busy("taken")):
        assert lock.is_held(path)
        with pytest.raises(Busy, match="taken"), lock.held(path, Busy("taken")):
            pytest.fail("two have it")
    assert not lock.is_held(path)


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as process:
        assert lock.is_held(path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with lock.held(path, Busy()):
            pass


def test_who_waits_says_so_once_and_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    told: list[str] = []
    with held_by_another(path) as process:

        def waits() -> None:
            told.append("waits")
            process.kill()

        with lock.held(path, Busy(), seconds=None, waits=waits):
            assert told == ["waits"]


def test_what_the_block_starts_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock.held(path, Busy()):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert not lock.is_held(path)
    finally:
        child.communicate(b"\n")
