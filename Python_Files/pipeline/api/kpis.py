"""The key figures over HTTP."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from pipeline.api import models, parameters
from pipeline.api.answers import Refusal, answer
from pipeline.api.routing import pool_of, refusals
from pipeline.database import figures

router = APIRouter(tags=["key figures"])

_NAMES = tuple(figures.ALL)
_NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "Which figure: " + " ".join(f"`{name}`: {one.about}" for name, one in figures.ALL.items()),
    "schema": {"type": "string", "enum": list(_NAMES)},
}
_DECLARED = (
    parameters.moment("since", "Only people fetched, or records refused, at this moment or later."),
    parameters.moment("until", "Only those before this moment; now unless it is given."),
    parameters.whole("limit", "At most so many rows, the first ones in the order.", 1, figures.MOST_ROWS, 1000),
)


@router.get(
    "/api/kpis",
    summary="The names of the key figures",
    response_model=dict[str, str],
    responses=refusals(400),
)
def list_kpis(request: Request) -> Response:
    parameters.query(request, ())
    return answer({name: figure.about for name, figure in figures.ALL.items()})


@router.get(
    "/api/kpis/{name}",
    summary="A key figure over a window",
    response_model=models.Figures,
    responses=refusals(400, 404),
    openapi_extra={"parameters": [_NAME, *(one.described() for one in _DECLARED)]},
)
def read_kpi(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in figures.ALL:
        raise Refusal(
            404, f"there is no key figure {name[:60]!r}", hint=f"There are: {', '.join(_NAMES)}.", parameter="name"
        )
    asked = parameters.query(request, _DECLARED)
    found = figures.read(pool_of(request), name, asked["since"], asked["until"], asked["limit"])
    return answer({"name": name, **found._asdict()})
