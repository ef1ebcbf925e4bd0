"""Refused records over HTTP, one by one: a look at a row, and sending the record again."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from pipeline import broker, replay
from pipeline.api import authorization, bodies, models, parameters
from pipeline.api.answers import Refusal, answer
from pipeline.api.bound import Bound
from pipeline.api.ingest import Token
from pipeline.api.routing import pool_of, refusals, settings_of
from pipeline.database import kinds
from pipeline.errors import PassingFault, PipelineError
from pipeline.settings import Settings

router = APIRouter(tags=["the account"])

STAGE = "Rejected"
_bound = Bound(60, 60)
_ID = parameters.whole("id", "The number of its row.", 1, 2**63 - 1, place="path")


@router.get(
    "/api/rejected/{id}",
    summary="One refused record",
    response_model=models.Rejected,
    responses=refusals(400, 404),
    openapi_extra=parameters.described(_ID),
)
def read_rejected(request: Request) -> Response:
    number = parameters.path(request, _ID)
    parameters.query(request, ())
    return answer(_row(request, number))


@router.post(
    "/api/rejected/{id}/replay",
    status_code=202,
    tags=["orders"],
    summary="Send a refused record again",
    response_model=models.Replay,
    responses=refusals(400, 401, 404, 409, 413, 429),
    openapi_extra=parameters.described(_ID),
)
async def replay_rejected(request: Request, _: Token) -> Response:
    """As it was, into the stage that refused it; `Administrator_scripts/Rejected.sh` sends corrected ones. 409 when it
    was settled already, or when the stage would refuse it again: then nothing is sent."""
    authorization.check(request)
    number = parameters.path(request, _ID)
    parameters.query(request, ())
    await bodies.refuse_any(request)
    await run_in_threadpool(_row, request, number)
    _bound.take("replays")
    topic = await run_in_threadpool(_replay, settings_of(request), number)
    told = {"id": number, "state": "sent", "topic": topic, "follow": f"/api/rejected/{number}"}
    return answer(told, 202, {"Location": f"/api/rejected/{number}"})


def _row(request: Request, number: int) -> dict[str, Any]:
    with pool_of(request).cursor() as cursor:
        cursor.execute(
            f"SELECT {kinds.REJECTED.columns} FROM {kinds.REJECTED.table} AS its WHERE its.id = %(id)s",  # noqa: S608
            {"id": number},
        )
        found = cursor.fetchone()
        if found is None:
            raise Refusal(404, f"there is no rejected record {number}", parameter="id")
        return dict(zip((column.name for column in cursor.description), found, strict=True))


def _replay(settings: Settings, number: int) -> str:
    try:
        (ready,) = replay.replay(settings, [number], lambda: broker.publisher(settings, stage=STAGE))
    except PassingFault:
        raise
    except PipelineError as error:
        raise Refusal(409, error.message, detail=error.detail, hint=error.hint) from None
    return ready.records[-1].topic
