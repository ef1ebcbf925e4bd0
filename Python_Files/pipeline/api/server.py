"""The process: one uvicorn server, which tells its state as every long-running process does."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

import uvicorn

from pipeline import entry, state
from pipeline.api import application, health
from pipeline.errors import PassingFault
from pipeline.log import event
from pipeline.settings import Settings

logger = logging.getLogger(__name__)

NAME = "api"
LOOK_SECONDS = 3.0
ENDING_SECONDS = 5
"""How long an answer that is being given may go on once the process is told to end."""


class _Server(uvicorn.Server):
    """Ends the pages' streams when it is told to end: they would go on for as long as somebody looks."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # From within a signal handler: no lock, no log, nothing but a flag.
        self.config.app.state.ending = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def _serve(settings: Settings, listen: str) -> int:
    app = application.create(settings)
    server = _Server(
        uvicorn.Config(
            app,
            host=listen,
            port=settings.api_port,
            log_config=None,
            access_log=False,
            server_header=False,
            # Nobody in front of it is trusted to say who asks.
            proxy_headers=False,
            # Of a request's line and headers; httptools is not there, and h11 stops at so many bytes.
            h11_max_incomplete_event_size=32 * 1024,
            timeout_graceful_shutdown=ENDING_SECONDS,
            timeout_keep_alive=30,
        )
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return asyncio.run(_run(server, health.Health.of(app), settings, listen))


async def _run(server: uvicorn.Server, looked: health.Health, settings: Settings, listen: str) -> int:
    telling = asyncio.create_task(_tell(server, looked, settings, listen))
    try:
        await server.serve()
    except SystemExit as ended:  # uvicorn's way of saying that it cannot listen
        return int(ended.code or 1)
    finally:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling
    return 0


async def _tell(server: uvicorn.Server, looked: health.Health, settings: Settings, listen: str) -> None:
    """Says the state from the very loop that answers: the file of a process that hangs grows old."""
    told = state.from_environment()
    told.tell(state.STARTING)
    waits_for = ""
    while not server.started:
        await asyncio.sleep(0.1)
    event(logger, logging.INFO, "listens", address=listen, port=settings.api_port)
    while True:
        try:
            await asyncio.to_thread(looked.postgresql)
        except PassingFault as fault:
            if not waits_for:
                event(logger, logging.WARNING, "answers 503", fault=fault.message, detail=fault.detail)
            waits_for = fault.message
            told.tell(state.PAUSED, fault.message)
        else:
            if waits_for:
                event(logger, logging.INFO, "answers again")
            waits_for = ""
            told.tell(state.WORKING)
        await asyncio.sleep(LOOK_SECONDS)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.api", description="Serve the read API and the page.")
    parser.add_argument("--listen", metavar="ADDRESS", help="listen there instead of on API_ADDRESS")
    asked = parser.parse_args(arguments)
    return entry.main(NAME, lambda settings: _serve(settings, asked.listen or settings.api_address))
