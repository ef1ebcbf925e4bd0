"""The record: a person as randomuser.me describes one, less every credential.

The shape is checked by compiled decoders (msgspec). The text itself is passed on untouched: a stage splits a record
into its top-level fields as raw JSON, adds its own, and joins them again, so that no number or letter of another
field can change on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct

from pipeline.errors import Rejected

# What the API gives beside the uuid and the user name, and what this project never stores.
CREDENTIALS = frozenset({"password", "salt", "md5", "sha1", "sha256"})

Coordinate = Annotated[str, Meta(pattern=r"^-?[0-9]{1,3}(\.[0-9]{1,15})?$")]
Moment = Annotated[datetime, Meta(tz=True)]


class Name(Struct):
    title: str
    first: str
    last: str


class Street(Struct):
    number: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
    name: str


class Coordinates(Struct):
    latitude: Coordinate
    longitude: Coordinate


class Timezone(Struct):
    offset: str
    description: str


class Location(Struct):
    street: Street
    city: str
    state: str
    country: str
    # A number in most countries, text in CA, GB and NO (there with leading zeros): kept as text.
    postcode: Annotated[int, Meta(ge=0, le=10**15)] | str
    coordinates: Coordinates
    timezone: Timezone


class Login(Struct):
    uuid: UUID
    username: str


class Occasion(Struct):
    """A date that the API gives with an age beside it. The age drifts with the clock, so it is not read."""

    date: Moment


class NationalId(Struct):
    name: str
    value: str | None


class Picture(Struct):
    large: str
    medium: str
    thumbnail: str


class Person(Struct):
    """A person as fetched."""

    gender: Literal["female", "male"]
    name: Name
    location: Location
    email: str
    login: Login
    dob: Occasion
    registered: Occasion
    phone: str
    cell: str
    id: NationalId
    picture: Picture
    nat: Annotated[str, Meta(pattern=r"^[A-Z]{2}$")]


class TimestampedPerson(Person, kw_only=True):
    """A person after 1-Add_Timestamp."""

    fetched_at: Moment


class LabelledPerson(TimestampedPerson, kw_only=True):
    """A person after 2-Add_Label: what both stores take."""

    company: Annotated[str, Meta(min_length=1)]


P = TypeVar("P", bound=Person)

_any = msgspec.json.Decoder()
_fields = msgspec.json.Decoder(dict[str, Raw])
_encoder = msgspec.json.Encoder()
_typed: dict[type[Person], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Person, TimestampedPerson, LabelledPerson)
}


def _holds_nul(thing: Any) -> bool:
    if isinstance(thing, str):
        return "\0" in thing
    if isinstance(thing, dict):
        return any("\0" in key or _holds_nul(value) for key, value in thing.items())
    if isinstance(thing, list):
        return any(map(_holds_nul, thing))
    return False


def decode(value: bytes | None, kind: type[P]) -> P:
    """The record as a ``kind``.

    Raises Rejected: ``empty`` (no value), ``not_utf8``, ``not_json``, ``too_deep``, ``nul_character`` (PostgreSQL's
    text has none), ``wrong_shape`` (a field is missing, of a wrong type or out of range; the message names it).
    """
    if not value:
        raise Rejected("empty", "the record has no value")
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("not_utf8", f"byte {error.start} is not UTF-8") from None
    try:
        person: P = _typed[kind].decode(value)
        # The escape is rare, so the whole record is looked at only when it is there.
        if b"\\u0000" in value and _holds_nul(_any.decode(value)):
            raise Rejected("nul_character", "a text has the character U+0000, which PostgreSQL cannot store")
    except msgspec.ValidationError as error:
        raise Rejected("wrong_shape", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected("not_json", str(error)) from None
    except RecursionError:
        raise Rejected("too_deep", "the record is nested too deeply to be read") from None
    for name in ("dob", "registered", "fetched_at"):
        told = getattr(person, name, None)
        _check_moment(name, told.date if isinstance(told, Occasion) else told)
    where = person.location.coordinates
    if abs(float(where.latitude)) > 90 or abs(float(where.longitude)) > 180:
        # PostgreSQL checks it too, NocoDB does not: so that both stores hold the same people, it is said here.
        raise Rejected("wrong_shape", f"there is no place at {where.latitude}, {where.longitude} degrees")
    return person


def _check_moment(name: str, told: datetime | None) -> None:
    """A moment at either end of the calendar can be told in its own time zone, and yet be none in UTC."""
    if told is not None and not 2 <= told.year <= 9998:
        raise Rejected("wrong_shape", f"{name} is in the year {told.year}; the stores hold the years 2 to 9998")


def with_field(value: bytes, name: str, content: str) -> bytes:
    """The record with one more top-level text field at its end (or replaced); all else byte for byte as it was."""
    fields = _fields.decode(value)
    fields[name] = Raw(_encoder.encode(content))
    return _encoder.encode(fields)


def without_credentials(person: Mapping[str, Any]) -> dict[str, Any]:
    """A person of an API response less password, salt and hashes, wherever ``login`` holds them."""
    kept = dict(person)
    login = kept.get("login")
    if isinstance(login, Mapping):
        kept["login"] = {key: value for key, value in login.items() if key not in CREDENTIALS}
    return kept


def unknown_fields(value: bytes) -> dict[str, Raw]:
    """Top-level fields that this project has no column for, as they stand there. Normally there are none."""
    known = LabelledPerson.__struct_fields__
    return {name: raw for name, raw in _fields.decode(value).items() if name not in known}
