"""Parameters of requests: declared once, read strictly, and described from the same declaration.

Whatever is wrong is a Refusal with 400 that names the parameter: unknown, repeated, empty, too long, not UTF-8, or not
what it is declared to be. Nothing is guessed, cut off or passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

from fastapi import Request

from pipeline.api.answers import Refusal

QUERY_BYTES = 4096
_TEXT_CHARACTERS = 200
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)


@dataclass(frozen=True)
class Parameter:
    """``read`` makes a value of the text, or raises ValueError; ``allowed`` says what it takes."""

    name: str
    about: str
    allowed: str
    schema: dict[str, Any]
    read: Callable[[str], Any] = field(repr=False)
    default: Any = None
    place: str = "query"

    def described(self) -> dict[str, Any]:
        """The parameter as OpenAPI describes it."""
        schema = self.schema if self.default is None else {**self.schema, "default": self.default}
        return {
            "name": self.name,
            "in": self.place,
            "required": self.place == "path",
            "description": self.about,
            "schema": schema,
        }

    def value_of(self, text: str) -> Any:
        """Raises Refusal."""
        try:
            return self.read(text)
        except (ValueError, OverflowError):
            shown = text if len(text) <= 60 else f"{text[:60]}..."
            raise Refusal(400, f"{self.name} is {shown!r}; allowed: {self.allowed}", parameter=self.name) from None


def whole(name: str, about: str, least: int, most: int, default: int | None = None, place: str = "query") -> Parameter:
    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,19}", text) or not least <= int(text) <= most:
            raise ValueError
        return int(text)

    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Parameter(name, about, f"a whole number from {least} to {most}", schema, read, default, place)


def choice(name: str, about: str, words: Sequence[str], default: str | None = None) -> Parameter:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return Parameter(name, about, f"one of {', '.join(words)}", {"type": "string", "enum": list(words)}, read, default)


def moment(name: str, about: str) -> Parameter:
    """A moment with its time zone, as RFC 3339 has it."""

    def read(text: str) -> datetime:
        # In a query a plus sign is a space, and many a caller forgets to write %2B.
        text = re.sub(r" (\d\d:\d\d)$", r"+\1", text)
        if not _MOMENT.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text.upper()).astimezone(UTC)

    return Parameter(
        name,
        about,
        "a moment with its time zone, such as 2026-11-21T08:00:00Z",
        {"type": "string", "format": "date-time"},
        read,
    )


def words(name: str, about: str, most: int = _TEXT_CHARACTERS, least: int = 1) -> Parameter:
    """Any text, compared as it is; PostgreSQL's text has no U+0000."""

    def read(text: str) -> str:
        if not least <= len(text) <= most or "\0" in text:
            raise ValueError
        return text

    schema = {"type": "string", "minLength": least, "maxLength": most, "pattern": r"^[^\u0000]*$"}
    return Parameter(name, about, f"{least} to {most} characters", schema, read)


def nationality() -> Parameter:
    def read(text: str) -> str:
        if not re.fullmatch(r"[A-Z]{2}", text):
            raise ValueError
        return text

    return Parameter(
        "nationality",
        "Only people of this nationality.",
        "two capital letters, such as DE",
        {"type": "string", "pattern": "^[A-Z]{2}$"},
        read,
    )


def identifier(name: str, about: str) -> Parameter:
    """A uuid in the path."""

    def read(text: str) -> UUID:
        if not _UUID.fullmatch(text):
            raise ValueError
        return UUID(text)

    return Parameter(
        name,
        about,
        "a uuid, such as 6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        {"type": "string", "format": "uuid"},
        read,
        place="path",
    )


def page() -> Parameter:
    return whole("page", "Which page, from 1.", 1, 1_000_000_000, 1)


def limit() -> Parameter:
    return whole("limit", "How many on a page.", 1, 100, 10)


def as_of() -> Parameter:
    return moment(
        "as_of",
        "Only what was stored by this moment: give the one that an answer told, and the pages and their total stay the "
        "same, whoever arrives meanwhile. Without it, or with a later one: now.",
    )


def path(request: Request, parameter: Parameter) -> Any:
    """The value of a parameter of the path. Raises Refusal."""
    return parameter.value_of(request.path_params[parameter.name])


def query(request: Request, declared: Sequence[Parameter]) -> dict[str, Any]:
    """The values of all declared parameters, defaults included. Raises Refusal."""
    return read(request.scope["query_string"], declared)


def read(raw: bytes, declared: Sequence[Parameter]) -> dict[str, Any]:
    """As ``query``, of the bytes behind the question mark."""
    if len(raw) > QUERY_BYTES:
        raise Refusal(400, f"the query has {len(raw)} bytes; allowed: at most {QUERY_BYTES}", parameter="query")
    by_name = {one.name: one for one in declared}
    values = {one.name: one.default for one in declared}
    seen: set[str] = set()
    for piece in raw.split(b"&"):
        if not piece:
            continue
        raw_name, _, raw_value = piece.partition(b"=")
        name = _decoded(raw_name, "the name of a parameter", "query")
        if name not in by_name:
            known = ", ".join(by_name) or "none"
            told = name if len(name) <= 60 else f"{name[:60]}..."
            raise Refusal(
                400, f"there is no parameter {told!r}", hint=f"The parameters: {known}.", parameter=told or "query"
            )
        if name in seen:
            raise Refusal(400, f"{name} is given more than once", parameter=name)
        seen.add(name)
        values[name] = by_name[name].value_of(_decoded(raw_value, name, name))
    return values


def _decoded(raw: bytes, what: str, parameter: str) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(400, f"{what} is not UTF-8", parameter=parameter) from None


def described(*declared: Parameter) -> dict[str, Any]:
    """For ``openapi_extra`` of a route."""
    return {"parameters": [one.described() for one in declared]}
