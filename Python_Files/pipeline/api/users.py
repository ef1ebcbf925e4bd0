"""The people: page by page, filtered and sorted, and one by one."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from pipeline.api import lists, models, parameters
from pipeline.api.answers import Refusal, answer
from pipeline.api.routing import pool_of, refusals
from pipeline.database import kinds

router = APIRouter(tags=["people"])

SORTS = ("-fetched_at", "fetched_at", "last_name", "-last_name", "company", "-company")
_DECLARED = (
    *lists.COMMON,
    parameters.choice("sort", "The order; with a minus backwards.", SORTS, "-fetched_at"),
    parameters.nationality(),
    parameters.words("company", "Only people of this company, written exactly so."),
    parameters.choice("gender", "Only people of this gender.", ("female", "male")),
    parameters.words("fetch_id", "Only people that this fetch brought."),
    parameters.moment("fetched_since", "Only people fetched at this moment or later."),
    parameters.moment("fetched_until", "Only people fetched before this moment."),
    parameters.words(
        "search",
        "Only people in whose first and last name, e-mail address, user name, city or company this stands, in whatever "
        "case. Three letters or digits in a row make it quick.",
        most=100,
        least=3,
    ),
)
_UUID = parameters.identifier("uuid", "The person's login.uuid.")


@router.get(
    "/api/users",
    summary="People, page by page",
    response_model=models.Page[models.User],
    responses=refusals(400),
    openapi_extra=parameters.described(*_DECLARED),
)
def list_users(request: Request) -> Response:
    """Newest first unless another order is asked for. `page` counts from 1; `limit` is 100 at most."""
    return answer(lists.listed(request, "users", _DECLARED, "-fetched_at"))


@router.get(
    "/api/users/{uuid}",
    summary="One person",
    response_model=models.User,
    responses=refusals(400, 404),
    openapi_extra=parameters.described(_UUID),
)
def read_user(request: Request) -> Response:
    uuid = parameters.path(request, _UUID)
    parameters.query(request, ())
    with pool_of(request).cursor() as cursor:
        cursor.execute(
            f"SELECT {kinds.USERS.columns} FROM {kinds.USERS.table} AS its WHERE its.uuid = %(uuid)s",  # noqa: S608
            {"uuid": uuid},
        )
        found = cursor.fetchone()
        if found is None:
            raise Refusal(404, f"there is no person {uuid}", parameter="uuid")
        names = [column.name for column in cursor.description]
    return answer(dict(zip(names, found, strict=True)))
