"""What is mounted where. ``create`` makes the whole application out of the settings; nothing is connected before it is
asked."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from pipeline.api import (
    accounts,
    answers,
    documentation,
    headers,
    heads,
    health,
    hosts,
    ingest,
    ingests,
    kpis,
    lists,
    measured,
    rejected,
    users,
)
from pipeline.database.pool import Pool
from pipeline.settings import Settings

VERSION = "1.0.0"
CONNECTIONS = 8
STATEMENT_SECONDS = 10

_ABOUT = "The people that the pipeline has stored, and the account of how each of them got here. All times are UTC."


def create(settings: Settings) -> FastAPI:
    """The application. ``app.state`` holds ``settings`` and ``pool``; whoever is mounted takes them from there."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        app.state.ingests.close()
        app.state.pool.close()

    app = FastAPI(
        title="Randomuser Data Pipeline",
        version=VERSION,
        description=_ABOUT,
        docs_url=None,  # its page loads from elsewhere; documentation.py has one that does not
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.pool = Pool(
        settings, role="pipeline_api", name="api", most=CONNECTIONS, statement_seconds=STATEMENT_SECONDS
    )
    app.state.health = health.Health(settings, app.state.pool)
    app.state.ingests = ingests.Ingests(settings)
    answers.install(app)
    lists.install(app, app.state.pool)
    for part in (health, users, accounts, kpis, ingest, rejected):
        app.include_router(part.router)
    app.include_router(documentation.router)
    _mount_page(app)
    # The last is the outermost.
    app.add_middleware(heads.Heads)
    app.add_middleware(hosts.KnownHosts, others=settings.api_host_list)
    app.add_middleware(measured.Measured)
    app.add_middleware(headers.Security)
    return app


def _mount_page(app: FastAPI) -> None:
    """The page at /, its assets, its events and the metrics, where that package is there."""
    if importlib.util.find_spec("pipeline.page") is not None:
        app.include_router(importlib.import_module("pipeline.page.routes").router)
