"""Locks between processes: a file that one of them holds. The lock goes with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import PipelineError

_LOOK_SECONDS = 0.1


class Busy(PipelineError):
    """Another process is at it."""


@contextmanager
def held(
    path: Path, busy: Busy, *, seconds: float | None = 0, waits: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Hold the lock for the length of the block.

    Raises ``busy`` when another process has held it for ``seconds``; None waits as long as it takes. ``waits`` is
    called once when it has to be waited for. Programs that the block starts do not get the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = None if seconds is None else time.monotonic() + seconds
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        told = False
        while not _taken(handle):
            if deadline is not None and time.monotonic() >= deadline:
                raise busy
            if not told:
                waits()
                told = True
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Whether a process, this one included, holds the lock now."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _taken(handle)
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
