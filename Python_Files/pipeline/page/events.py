"""The stream that keeps a page up to date: server-sent events, one for each section that changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from pipeline.page.snapshot import Collector

MOST_READERS = 100
ALIVE_SECONDS = 5.0
"""A page that hears nothing for longer than twice this takes the connection for lost."""


async def stream(
    collector: Collector, ending: Callable[[], bool] = lambda: False, alive_seconds: float = ALIVE_SECONDS
) -> AsyncIterator[bytes]:
    """All sections, then each again when it has changed, until the reader goes away or the process is ``ending``."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def notice() -> None:
        with contextlib.suppress(RuntimeError):  # the process is ending, and its loop is gone
            loop.call_soon_threadsafe(changed.set)

    with collector.snapshot.listening(notice):
        collector.wake()
        number = 0
        # In milliseconds: how long a browser waits before it comes again.
        yield b"retry: 2000\n\n"
        while not ending():
            changed.clear()
            number, sections = collector.snapshot.since(number)
            for name, text in sections.items():
                yield f"event: {name}\ndata: {text}\n\n".encode()
            try:
                await asyncio.wait_for(changed.wait(), alive_seconds)
            except TimeoutError:
                yield b"event: alive\ndata: 1\n\n"
