"""The account: runs of the feed, the ledger, what was refused, and the backups."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from pipeline.api import lists, models, parameters
from pipeline.api.answers import answer
from pipeline.api.routing import pool_of, refusals, settings_of
from pipeline.backup import state as backup_state
from pipeline.database.queries import query

router = APIRouter(tags=["the account"])

_SINCE = parameters.moment("since", "Only from this moment on.")
_UNTIL = parameters.moment("until", "Only before this moment.")
_RUNS = (
    *lists.COMMON,
    _SINCE,
    _UNTIL,
    parameters.words("fetch_id", "Only the fetch of this id."),
    parameters.words("kind", "Only runs of this kind, such as scheduled."),
    parameters.words("source", "Only from this source, such as randomuser.me."),
)
_REJECTED = (
    *lists.COMMON,
    _SINCE,
    _UNTIL,
    parameters.words("stage", "Only those that this stage refused, such as 1-Add_Timestamp."),
    parameters.words("reason", "Only those of this reason, such as wrong_shape."),
    parameters.choice("state", "Only those in this state.", ("open", "sent", "replayed", "discarded")),
    parameters.words("fetch_id", "Only those of this fetch."),
)
_BACKUPS = (*lists.COMMON, _SINCE, _UNTIL)


@router.get(
    "/api/fetches",
    summary="Runs of the feed, newest first",
    response_model=models.Page[models.Fetch],
    responses=refusals(400),
    openapi_extra=parameters.described(*_RUNS),
)
def list_fetches(request: Request) -> Response:
    """What each run asked for and what it got. `since` and `until` are those of `stored_at`."""
    return answer(lists.listed(request, "fetches", _RUNS, "-stored_at"))


@router.get(
    "/api/ledger",
    summary="What became of the people of each run, newest run first",
    response_model=models.Page[models.Account],
    responses=refusals(400),
    openapi_extra=parameters.described(*_RUNS),
)
def list_ledger(request: Request) -> Response:
    """Of each run and each store: fetched = stored + known + removed + rejected + open. Known are people whom another
    run had brought; open are those on the way, or missing, which `Administrator_scripts/Ledger.sh` tells apart."""
    found = lists.listed(request, "fetches", _RUNS, "-stored_at")
    places = {(row["fetch_id"], row["arrived_at"]): place for place, row in enumerate(found["data"])}
    with pool_of(request).cursor() as cursor:
        cursor.execute(query("ledger_of"), {"fetch_ids": [fetch_id for fetch_id, _ in places]})
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    # A run that was doubled has two rows of one name, of which the page may show one.
    shown = {places[its]: row for row in rows if (its := (row["fetch_id"], row["arrived_at"])) in places}
    return answer({**found, "data": [shown[place] for place in sorted(shown)]})


@router.get(
    "/api/rejected",
    summary="Refused records, newest first",
    response_model=models.Page[models.Rejected],
    responses=refusals(400),
    openapi_extra=parameters.described(*_REJECTED),
)
def list_rejected(request: Request) -> Response:
    """Who refused them, why, where they stood, and what became of those that were sent again. `since` and `until` are
    those of `rejected_at`."""
    return answer(lists.listed(request, "rejected", _REJECTED, "-id"))


@router.get(
    "/api/backups",
    summary="The moments that can be restored, newest first, and what they are worth",
    response_model=models.Backups,
    responses=refusals(400),
    openapi_extra=parameters.described(*_BACKUPS),
)
def list_backups(request: Request) -> Response:
    """`protection` is of now: the last backup, its proof, and what a disaster would cost."""
    found = lists.listed(request, "backups", _BACKUPS, "-taken_at")
    return answer({**found, "protection": backup_state.read(settings_of(request))._asdict()})
