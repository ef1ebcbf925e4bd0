"""The routes of the page: itself, its files, its events, the portraits; and /metrics."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from pipeline.page import assets, events, exposition
from pipeline.page.portraits import Portraits
from pipeline.page.snapshot import Collector
from pipeline.settings import Settings

# Nothing from elsewhere, and no script or style that is not a file of this server.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KIND = re.compile(r"men|women")
_NUMBER = re.compile(r"[0-9]{1,2}")


class Page(NamedTuple):
    """What the routes share, as ``app.state.page``."""

    settings: Settings
    collector: Collector
    portraits: Portraits


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The collector lives as long as the application."""
    settings: Settings = app.state.settings
    app.state.page = Page(settings, Collector(settings), Portraits(settings))
    app.state.ending = False  # set by the server when it is told to end
    app.state.page.collector.start()
    try:
        yield
    finally:
        app.state.page.collector.stop()


router = APIRouter(include_in_schema=False, lifespan=lifespan)


def _page(request: Request) -> Page:
    page: Page = request.app.state.page
    return page


def _file(name: str, headers: dict[str, str] | None = None) -> Response:
    asset = assets.read(name)
    if asset is None:
        return PlainTextResponse("there is no such file\n", 404)
    return Response(
        asset.content, media_type=asset.media_type, headers={"Cache-Control": "no-cache", **(headers or {})}
    )


@router.get("/")
def read_page() -> Response:
    return _file("index.html", {"Content-Security-Policy": POLICY})


@router.get("/page/events")
async def read_events(request: Request) -> Response:
    collector, state = _page(request).collector, request.app.state
    if collector.snapshot.readers >= events.MOST_READERS:
        return PlainTextResponse("too many pages are open\n", 503, headers={"Retry-After": "10"})
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        events.stream(collector, lambda: state.ending), media_type="text/event-stream", headers=headers
    )


@router.get("/page/portraits/{kind}/{number}")
def read_portrait(kind: str, number: str, request: Request) -> Response:
    found = None
    if _KIND.fullmatch(kind) and _NUMBER.fullmatch(number):
        found = _page(request).portraits.get(kind, int(number))
    if found is None:
        return PlainTextResponse("there is no such portrait\n", 404)
    return Response(found.content, media_type=found.kind, headers={"Cache-Control": "private, max-age=3600"})


@router.get("/page/{name}")
def read_file(name: str) -> Response:
    return _file(name)


@router.get("/metrics")
def read_metrics(request: Request) -> Response:
    page = _page(request)
    content: Any = exposition.text(page.settings, page.collector.snapshot)
    return Response(content, media_type=exposition.CONTENT_TYPE)
