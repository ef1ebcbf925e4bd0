"""Ordering a fetch over HTTP."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from starlette.concurrency import run_in_threadpool

from pipeline.api import authorization, bodies, models, parameters
from pipeline.api.answers import Refusal, answer
from pipeline.api.bound import Bound
from pipeline.api.ingests import MOST_RESULTS, Ingest, Ingests
from pipeline.api.routing import pool_of, refusals
from pipeline.database.queries import query
from pipeline.feed.plan import REAL, STAND_IN

router = APIRouter(tags=["orders"])

_bound = Bound(6, 60)
_NAME = re.compile(r"api-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}", re.ASCII)
_ID: dict[str, Any] = {
    "name": "ingest_id",
    "in": "path",
    "required": True,
    "description": "What the order was answered with.",
    "schema": {"type": "string", "pattern": r"^api-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$"},
}
Token = Annotated[HTTPAuthorizationCredentials | None, Depends(authorization.described)]


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    # To JSON 25.0 is a whole number too.
    results: Annotated[float, msgspec.Meta(ge=1, le=MOST_RESULTS)]


_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"results": {"type": "integer", "minimum": 1, "maximum": MOST_RESULTS}},
                "required": ["results"],
                "additionalProperties": False,
                "example": {"results": 50},
            }
        }
    },
}


def _ingests(request: Request) -> Ingests:
    ingests = request.app.state.ingests
    assert isinstance(ingests, Ingests)  # noqa: S101 - for the type
    return ingests


@router.post(
    "/api/ingest",
    status_code=202,
    summary="Order a fetch now",
    response_model=models.Ingest,
    responses=refusals(400, 401, 413, 415, 429),
    openapi_extra={"requestBody": _BODY},
)
async def order_ingest(request: Request, _: Token) -> Response:
    """Besides the fetches of the crontab: so many people, with a seed of their own. At most 6 orders a minute; one is
    done after the other. The answer comes at once; `follow` tells how it goes on, and `fetch_id` is what to look for in
    `/api/ledger`."""
    authorization.check(request)
    parameters.query(request, ())
    asked = await bodies.read(request, _Order)
    if not asked.results.is_integer():
        raise Refusal(400, f"results is {asked.results}; allowed: a whole number", parameter="results")
    _bound.take("fetches")
    ordered = _ingests(request).order(int(asked.results))
    return answer(ordered, 202, {"Location": ordered.follow})


@router.get(
    "/api/ingest/{ingest_id}",
    summary="How far an ordered fetch is",
    response_model=models.Ingest,
    responses=refusals(400, 404),
    openapi_extra={"parameters": [_ID]},
)
async def read_ingest(request: Request) -> Response:
    """`published`: the people are in Kafka; `/api/ledger?fetch_id=` tells how far they are. After a restart of this
    server only what the pipeline has stored of it is known."""
    name = request.path_params["ingest_id"]
    if not _NAME.fullmatch(name):
        raise Refusal(400, "ingest_id is not what an order is answered with", parameter="ingest_id")
    parameters.query(request, ())
    found = _ingests(request).find(name) or await run_in_threadpool(_stored, request, name)
    if found is None:
        raise Refusal(404, f"there is no order {name}", parameter="ingest_id")
    return answer(found)


def _stored(request: Request, name: str) -> Ingest | None:
    with pool_of(request).cursor() as cursor:
        cursor.execute(query("fetches_of_run"), {"fetch_ids": [f"{source}-{name}-p1" for source in (REAL, STAND_IN)]})
        found = cursor.fetchone()
    if found is None:
        return None
    fetch_id, requested, received = found
    return Ingest(name, requested, fetch_id, f"/api/ingest/{name}", "published", received)
