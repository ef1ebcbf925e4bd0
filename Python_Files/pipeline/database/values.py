"""Odd values as PostgreSQL can hold them: text without U+0000, words for an index, moments, headers."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from pipeline.records import Headers


def text(value: str, most: int | None = None) -> str:
    """Text as PostgreSQL can hold it, without U+0000, which only a forged header has; cut to ``most`` letters."""
    return value.replace("\0", "\\u0000")[:most]


def word(value: str) -> str:
    """A header that is stored in an indexed column: an index takes some 2,700 bytes, a true one has far fewer."""
    return text(value, 200)


def moment(timestamp_ms: int | None) -> datetime | None:
    """Milliseconds since 1970 as a moment, or None when no calendar has it."""
    if timestamp_ms is None:
        return None
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def headers_as_json(headers: Headers) -> str:
    """Names and values in their order, to read; a value that is no text without U+0000 as ``{"base64": ...}``."""
    return json.dumps([[text(name), _told(value)] for name, value in headers])


def _told(value: bytes) -> str | dict[str, str]:
    try:
        told = value.decode("utf-8")
    except UnicodeDecodeError:
        told = "\0"
    return {"base64": base64.b64encode(value).decode()} if "\0" in told else told


def headers_from_json(told: list[list[Any]]) -> Headers:
    """The headers that ``headers_as_json`` told of."""
    return tuple(
        (name, base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode("utf-8"))
        for name, value in told
    )
