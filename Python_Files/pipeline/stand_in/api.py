"""The contract of the API, version 1.4: what is asked, what is answered, without HTTP."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from pipeline.stand_in.people import FIELDS, NATIONALITIES, some_people

VERSION = "1.4"
MOST_RESULTS = 5_000
MOST_PAGES = 10_000
WINDOW_RECORDS = 20_000
WINDOW_SECONDS = 300

ERROR = {"error": "Uh oh, something has gone wrong. Please try again later. (This is the stand-in of the API.)"}

_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\s*")


class Query(NamedTuple):
    """What is asked for, after the API's own forgiving reading of it."""

    results: int
    page: int
    seed: str
    nationalities: tuple[str, ...]
    gender: str | None
    fields: tuple[str, ...]
    info: bool
    pretty: bool


class SeedError(Exception):
    """The seed makes the service crash."""


def _within(text: str, most: int) -> int:
    """The whole number in 1..most that the text is; anything else is 1, without an error."""
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number.is_integer() and 1 <= number <= most:
            return int(number)
    return 1


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def read(asked: Mapping[str, str]) -> Query:
    """The query of a request. Raises SeedError for a seed of 18 characters whose end is no nationality."""
    seed = asked.get("seed", "")
    nationalities = tuple(part.upper() for part in _list(asked.get("nat", "")))
    if not nationalities or not set(nationalities) <= set(NATIONALITIES):
        nationalities = NATIONALITIES
    if len(seed) == 18:
        if seed[-2:].upper() not in NATIONALITIES:
            raise SeedError
        nationalities = (seed[-2:].upper(),)
    gender = asked.get("gender", "").lower()
    kept = [part.lower() for part in _list(asked.get("inc", ""))]
    left_out = [part.lower() for part in _list(asked.get("exc", ""))]
    return Query(
        results=_within(asked.get("results", ""), MOST_RESULTS),
        page=_within(asked.get("page", ""), MOST_PAGES),
        seed=seed or secrets.token_hex(8),
        nationalities=nationalities,
        gender=gender if gender in ("male", "female") and not seed else None,
        fields=tuple(field for field in FIELDS if (not kept or field in kept) and field not in left_out),
        info="noinfo" not in asked,
        pretty=asked.get("format", "").lower() in ("pretty", "prettyjson") or "pretty" in asked,
    )


def answer(query: Query) -> dict[str, Any]:
    people = some_people(query.results, query.seed, query.page, nationalities=query.nationalities, gender=query.gender)
    if len(query.fields) < len(FIELDS):
        people = [{field: person[field] for field in query.fields} for person in people]
    response: dict[str, Any] = {"results": people}
    if query.info:
        response["info"] = {"seed": query.seed, "results": query.results, "page": query.page, "version": VERSION}
    return response


def encode(response: Mapping[str, Any], *, pretty: bool = False) -> bytes:
    body = msgspec.json.encode(response)
    return msgspec.json.format(body, indent=2) if pretty else body


class RateLimit:
    """Counts the records of each client in fixed windows, before they are served."""

    def __init__(self, records: int = WINDOW_RECORDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._records = records
        self._clock = clock
        self._used: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def take(self, client: str, records: int) -> int | None:
        """Count ``records`` for the client; None, or, when they are too many, how many it has asked for."""
        with self._lock:
            window = int(self._clock() // WINDOW_SECONDS)
            counted, used = self._used.get(client, (window, 0))
            asked = records + (used if counted == window else 0)
            if asked > self._records:
                return asked
            self._used[client] = (window, asked)
            return None
