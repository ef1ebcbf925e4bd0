"""What an operation says while it works: one line a step, with the time that it took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_lock = threading.Lock()


def tell(name: str, what: str, seconds: float | None = None) -> None:
    """One line: who, what, and in how many seconds. The widths are those of the scripts' own lines."""
    line = f"{name:<27} {what:<48} {f'{seconds:.1f} s' if seconds is not None else ''}".rstrip()
    with _lock:
        print(line, flush=True)


def warn(what: str) -> None:
    """Something that a person should not overlook."""
    with _lock:
        print(f"*** {what}", flush=True)


@contextmanager
def step(name: str, what: str) -> Iterator[Callable[[str], None]]:
    """Tell a step when it is done. The function that the block gets changes what will be told."""
    told = [what]
    begin = time.monotonic()
    yield lambda text: told.__setitem__(0, text)
    tell(name, told[0], time.monotonic() - begin)
