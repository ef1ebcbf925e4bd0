"""Lists over HTTP: the parameters that all of them have, and the shape of their answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request

from pipeline.api import parameters
from pipeline.api.parameters import Parameter
from pipeline.database import kinds
from pipeline.database.listing import Asked, Listing
from pipeline.database.pool import Pool

COMMON = (parameters.page(), parameters.limit(), parameters.as_of())


def install(app: FastAPI, pool: Pool) -> None:
    """One listing of each kind, which all requests share."""
    app.state.listings = {
        "users": Listing(kinds.USERS, pool),
        "fetches": Listing(kinds.FETCHES, pool),
        "rejected": Listing(kinds.REJECTED, pool),
        "backups": Listing(kinds.BACKUPS, pool),
    }


def listed(request: Request, name: str, declared: Sequence[Parameter], sort: str) -> dict[str, Any]:
    """The page that the request asks for; ``sort`` is the order when no parameter says one. Raises Refusal."""
    values = parameters.query(request, declared)
    page, limit, as_of = values.pop("page"), values.pop("limit"), values.pop("as_of")
    sort = values.pop("sort", None) or sort
    filters = {one: value for one, value in values.items() if value is not None}
    listing = request.app.state.listings[name]
    assert isinstance(listing, Listing)  # noqa: S101 - for the type
    found = listing.read(Asked(filters, sort, page, limit, as_of))
    following = None
    if page * limit < found.total:
        given = {**filters, "sort": sort} if any(one.name == "sort" for one in declared) else filters
        query = {**given, "page": page + 1, "limit": limit, "as_of": found.as_of}
        following = f"{request.url.path}?{urlencode({one: _text(value) for one, value in query.items()})}"
    return {
        "data": found.data,
        "total": found.total,
        "page": page,
        "limit": limit,
        "as_of": found.as_of,
        "next": following,
    }


def _text(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
