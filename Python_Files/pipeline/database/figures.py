"""The key figures (KPIs): each is a function of the database (``Database-Init/11_kpis.sql``) over a window of time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pipeline.database.pool import Pool

MOST_ROWS = 10_000


class Figure(NamedTuple):
    """``source`` and ``order`` are SQL of this program; ``window`` is what is shown when nobody says since when."""

    about: str
    source: str
    order: str
    window: timedelta | None = None


class Reading(NamedTuple):
    """``complete`` is false when there are more rows than were asked for: the first ones in their order are here."""

    since: datetime | None
    until: datetime
    rows: list[dict[str, Any]]
    complete: bool


_WINDOW = "(%(since)s, %(until)s)"
_UNIT = "('{}', %(since)s, %(until)s)"

ALL: Mapping[str, Figure] = {
    "people_per_minute": Figure(
        "People each minute brought, newest first; of the last hour unless a window is given.",
        f"people_per{_UNIT.format('minute')}", "at DESC", timedelta(hours=1),
    ),
    "people_per_hour": Figure(
        "People each hour brought, newest first; of the last 7 days unless a window is given.",
        f"people_per{_UNIT.format('hour')}", "at DESC", timedelta(days=7),
    ),
    "people_per_day": Figure("People each day brought, newest first.", f"people_per{_UNIT.format('day')}", "at DESC"),
    "people_per_nationality": Figure(
        "People by nationality, most first.", f"people_per_nationality{_WINDOW}", "users DESC, nationality"
    ),
    "people_per_company": Figure(
        "People by company, most first.", f"people_per_company{_WINDOW}", "users DESC, company"
    ),
    "age_pyramid": Figure(
        "People by age today, in bands of five years, and gender; oldest first.",
        f"age_pyramid{_WINDOW}", "age_from DESC",
    ),
    "latency": Figure(
        "Seconds from the arrival of the response to the row in PostgreSQL, of the people fetched in the last 24 hours "
        "unless a window is given: half of them, 95 and 99 of a hundred took no longer.",
        f"latency{_WINDOW}", "users", timedelta(days=1),
    ),
    "latency_per_minute": Figure(
        "The same by minute of the fetch, newest first; of the last hour unless a window is given.",
        f"latency_per{_UNIT.format('minute')}", "at DESC", timedelta(hours=1),
    ),
    "latency_per_hour": Figure(
        "The same by hour of the fetch, newest first; of the last 7 days unless a window is given.",
        f"latency_per{_UNIT.format('hour')}", "at DESC", timedelta(days=7),
    ),
    "share_rejected": Figure("How many records were received and refused.", f"share_rejected{_WINDOW}", "received"),
    "rejected_per_reason": Figure(
        "Refused records by who refused them and why, most first.",
        f"rejected_per_reason{_WINDOW}", "rejected DESC, stage, reason",
    ),
}  # fmt: skip


def read(pool: Pool, name: str, since: datetime | None, until: datetime | None, limit: int) -> Reading:
    """The figure ``name`` over the window, ``since`` within and ``until`` without. Raises KeyError, PassingFault."""
    figure = ALL[name]
    end = until or datetime.now(UTC)
    if since is None and figure.window is not None:
        since = max(end, datetime.min.replace(tzinfo=UTC) + figure.window) - figure.window
    values = {"since": since or "-infinity", "until": end, "limit": limit + 1}
    with pool.cursor() as cursor:
        cursor.execute(
            f"SELECT * FROM pipeline.{figure.source} ORDER BY {figure.order} LIMIT %(limit)s",  # noqa: S608 - own words
            values,
        )
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchmany(limit)]
        return Reading(since, end, rows, cursor.fetchone() is None)
