"""What routes share: the application's own things, and how refusals are described."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from pipeline.api import models
from pipeline.database.pool import Pool
from pipeline.settings import Settings

RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_REFUSALS: dict[int, dict[str, Any]] = {
    400: {"description": "A parameter is wrong; the answer names it."},
    401: {
        "description": "The token is missing or wrong.",
        "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    },
    404: {"description": "There is no such thing."},
    409: {"description": "It cannot be done as things are."},
    413: {"description": "The body is too large."},
    415: {"description": "The body is not JSON."},
    429: {"description": "Too many at once.", "headers": RETRY},
    503: {"description": "A server behind this does not answer; ask again.", "headers": RETRY},
}

Responses = dict[int | str, dict[str, Any]]


def refusals(*statuses: int) -> Responses:
    """These refusals, for ``responses`` of a route. 503 is always one."""
    return {status: {"model": models.Error, **_REFUSALS[status]} for status in (*statuses, 503)}


def pool_of(request: Request) -> Pool:
    pool = request.app.state.pool
    assert isinstance(pool, Pool)  # noqa: S101 - for the type
    return pool


def settings_of(request: Request) -> Settings:
    settings = request.app.state.settings
    assert isinstance(settings, Settings)  # noqa: S101 - for the type
    return settings
