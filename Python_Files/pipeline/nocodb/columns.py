"""The columns of NocoDB's table Users: what a person sees, in which order, and where each value comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from pipeline.person import LabelledPerson
from pipeline.settings import NATIONALITIES

UUID, PORTRAIT, FETCHED_AT, GENDER, NAME = "UUID", "Portrait", "Fetched at", "Gender", "Name"

_COLOURS = ("#cfdffe", "#d0f1fd", "#c2f5e8", "#ffdaf6", "#ffdce5", "#fee2d5", "#ffeab6", "#d1f7c4", "#ede2fe")
_DAY = {"date_format": "YYYY-MM-DD"}
_DEGREES = {"precision": 4}
_CLOCK = {"date_format": "YYYY-MM-DD", "time_format": "HH:mm:ss", "is12hrFormat": False}


_CHOICE = "SingleSelect"
_SAMPLES: dict[str, Any] = {
    "Attachment": None,
    "Date": "2000-01-31",
    "DateTime": "2000-01-31 12:00:00+00:00",
    "Decimal": 1.5,
    "Email": "sample@example.org",
    "PhoneNumber": "123",
}


class UserRow(NamedTuple):
    """A person on the way to NocoDB."""

    person: LabelledPerson
    fetch_id: str
    source: str


class Column(NamedTuple):
    """``width`` in pixels in the grid, or None for a column that the grid hides at first."""

    title: str
    kind: str
    value: Callable[[UserRow], Any]
    width: int | None = None
    more: Mapping[str, Any] = MappingProxyType({})


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(sep=" ", timespec="seconds")


def _options(*titles: str) -> dict[str, Any]:
    return {
        "colOptions": {
            "options": [
                {"title": title, "color": _COLOURS[number % len(_COLOURS)]} for number, title in enumerate(titles)
            ]
        }
    }


COLUMNS = (
    Column(NAME, "SingleLineText", lambda r: f"{r.person.name.first} {r.person.name.last}", 190, {"pv": True}),
    Column(PORTRAIT, "Attachment", lambda r: None, 110),
    Column("Company", "SingleLineText", lambda r: r.person.company, 230),
    Column("Nationality", "SingleSelect", lambda r: r.person.nat, 130, _options(*NATIONALITIES)),
    Column("City", "SingleLineText", lambda r: r.person.location.city, 160),
    Column("Country", "SingleLineText", lambda r: r.person.location.country, 150),
    Column("E-mail", "Email", lambda r: r.person.email, 260),
    Column(FETCHED_AT, "DateTime", lambda r: moment(r.person.fetched_at), 180, {"meta": _CLOCK}),
    Column("Source", "SingleLineText", lambda r: r.source, 130),
    Column(GENDER, "SingleSelect", lambda r: r.person.gender, 100, _options("female", "male")),
    Column("Title", "SingleLineText", lambda r: r.person.name.title),
    Column("First name", "SingleLineText", lambda r: r.person.name.first),
    Column("Last name", "SingleLineText", lambda r: r.person.name.last),
    Column("Phone", "PhoneNumber", lambda r: r.person.phone, 150),
    Column("Cell", "PhoneNumber", lambda r: r.person.cell),
    Column("Born", "Date", lambda r: r.person.dob.date.date().isoformat(), 120, {"meta": _DAY}),
    Column("Street", "SingleLineText", lambda r: f"{r.person.location.street.number} {r.person.location.street.name}"),
    Column("Postcode", "SingleLineText", lambda r: str(r.person.location.postcode)),
    Column("State", "SingleLineText", lambda r: r.person.location.state),
    Column("Latitude", "Decimal", lambda r: float(r.person.location.coordinates.latitude), None, {"meta": _DEGREES}),
    Column("Longitude", "Decimal", lambda r: float(r.person.location.coordinates.longitude), None, {"meta": _DEGREES}),
    Column("Timezone", "SingleLineText", lambda r: " ".join(
        (r.person.location.timezone.offset, r.person.location.timezone.description)).strip()),
    Column("User name", "SingleLineText", lambda r: r.person.login.username),
    Column("Registered", "DateTime", lambda r: moment(r.person.registered.date), None, {"meta": _CLOCK}),
    Column("National id", "SingleLineText", lambda r: " ".join(filter(None, (r.person.id.name, r.person.id.value)))),
    Column("Fetch", "SingleLineText", lambda r: r.fetch_id),
    Column(UUID, "SingleLineText", lambda r: str(r.person.login.uuid), None, {"unique": True}),
)  # fmt: skip


def name_of(title: str) -> str:
    """The column's name in the database. It stays when people give the column another title."""
    return "".join(letter if letter.isalnum() else "_" for letter in title.lower())


def definition(column: Column) -> dict[str, Any]:
    """The column as NocoDB makes it."""
    return {"title": column.title, "column_name": name_of(column.title), "uidt": column.kind, **column.more}


def record(row: UserRow, portrait: dict[str, Any] | None) -> dict[str, Any]:
    """A person as NocoDB's API takes one: by the names in the database, for an unknown title is silently ignored."""
    values = {name_of(column.title): column.value(row) for column in COLUMNS}
    values[name_of(PORTRAIT)] = [portrait] if portrait else None
    return values


def sample() -> dict[str, Any]:
    """A person whom a table takes that has the columns as they are made, less the uuid; nobody real."""
    values: dict[str, Any] = {name_of(column.title): _SAMPLES.get(column.kind, "sample") for column in COLUMNS}
    chosen = {
        column.title: column.more["colOptions"]["options"][0]["title"] for column in COLUMNS if column.kind == _CHOICE
    }
    return values | {name_of(column): title for column, title in chosen.items()}
