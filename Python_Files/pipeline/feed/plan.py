"""What the feed asks for and when: seeds, fetch-ids, pages, missed minutes, the rate window. No I/O, no clock.

A scheduled fetch is named by its source and the minute it was due. A run that is repeated, doubled or caught up so asks
for the very same people, and a repeat is seen as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from pipeline.errors import UsageError
from pipeline.randomuser import MOST_PAGES, MOST_RESULTS
from pipeline.records import Incoming

REAL = "randomuser.me"
STAND_IN = "stand-in"
FILE = "file"

WINDOW_PEOPLE = 20_000
WINDOW = timedelta(minutes=5)
PAGE_PEOPLE = 1_000  # asked for in one request: about a megabyte, answered well within a second
MINUTE = timedelta(minutes=1)

Kind = Literal["scheduled", "catch-up", "by hand", "file", "again", "replay"]


class Fetch(Struct, kw_only=True):
    """A record of pipeline.fetches: what one request asked for and what it got."""

    fetch_id: str
    source: str
    kind: Kind
    seed: str | None
    page: int | None
    due: str | None  # the minute, ISO 8601 in UTC; None for a run by hand
    requested: int
    received: int
    rejected: int
    uuids: list[str]  # those sent to users.fetched, in order
    arrived_at: str  # ISO 8601 in UTC with milliseconds
    nationalities: list[str]  # empty: all
    failure: str | UnsetType = UNSET  # the reason, when nothing was got


class Order(NamedTuple):
    """One request to make."""

    results: int
    page: int
    kind: Kind
    due: datetime | None = None
    seed: str | None = None  # None: derived from the source and the minute
    run: str = ""  # names a run by hand

    def seed_of(self, source: str) -> str:
        return self.seed if self.seed is not None else seed(source, self.due)

    def fetch_id(self, source: str) -> str:
        stem = f"{self.due:%Y%m%dT%H%MZ}" if self.due is not None else self.run
        return f"{source}-{stem}-p{self.page}"


def iso(milliseconds: int) -> str:
    """The moment as ISO 8601 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_minute(minute: datetime) -> str:
    return f"{minute:%Y-%m-%dT%H:%M:00Z}"


def minute_of(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds // 60 * 60, UTC)


def seed(source: str, due: datetime | None) -> str:
    """The seed of a minute. It ends in a letter, since the API adds the page to it, and never has 18 characters."""
    assert due is not None  # noqa: S101 - an order without a seed has a minute
    return f"{source}-{due:%Y%m%dT%H%M}Z"


def check_seed(text: str) -> None:
    """Raise UsageError for a seed by hand that the API would misread."""
    hint = "Choose another seed, for example one that ends in a letter."
    if not 1 <= len(text) <= 200 or not text.isprintable() or text != text.strip():
        raise UsageError("the seed must have 1 to 200 printable characters and no space around it", hint=hint)
    if text[-1].isdecimal():
        detail = "the API joins seed and page, so that seed x1 with page 2 gives the people of seed x with page 12"
        raise UsageError(f"the seed {text!r} ends in a digit", detail=detail, hint=hint)
    if len(text) == 18:
        detail = "the API reads the last two of exactly 18 characters as a nationality and can fail over them"
        raise UsageError(f"the seed {text!r} has 18 characters", detail=detail, hint=hint)


def pages(results: int) -> list[tuple[int, int]]:
    """``(page, people)`` of each request that together ask for ``results`` people."""
    whole, rest = divmod(results, PAGE_PEOPLE)
    return [(page, PAGE_PEOPLE) for page in range(1, whole + 1)] + ([(whole + 1, rest)] if rest else [])


def scheduled(due: datetime, results: int, kind: Kind = "scheduled") -> list[Order]:
    return [Order(count, page, kind, due) for page, count in pages(results)]


def by_hand(results: int, seed: str, page: int | None, run: str) -> list[Order]:
    """The requests of a run by hand. Raises UsageError for a number that the API does not take."""
    if not 1 <= results <= WINDOW_PEOPLE:
        detail = f"the API gives at most {WINDOW_PEOPLE:,} people in five minutes"
        raise UsageError(f"--results is {results}; allowed: 1 to {WINDOW_PEOPLE}", detail=detail)
    check_seed(seed)
    if page is None:
        return [Order(count, number, "by hand", None, seed, run) for number, count in pages(results)]
    if not 1 <= page <= MOST_PAGES:
        raise UsageError(f"--page is {page}; allowed: 1 to {MOST_PAGES} (the API answers any other as page 1)")
    if results > MOST_RESULTS:
        raise UsageError(f"--results is {results}; allowed: 1 to {MOST_RESULTS} in one page, which --page asks for")
    return [Order(results, page, "by hand", None, seed, run)]


_decoder = msgspec.json.Decoder(Fetch)


def read_fetches(records: Iterable[Incoming]) -> Iterator[Fetch]:
    """The fetches that the records tell of; what is none is passed over, because it cannot have been a run."""
    for record in records:
        try:
            yield _decoder.decode(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue


class Past:
    """What the last fetches were."""

    def __init__(self, fetches: Iterable[Fetch]) -> None:
        self._done: set[tuple[str, int | None]] = set()
        self._arrived: list[tuple[str, int]] = []
        dues = []
        for fetch in fetches:
            if fetch.due is not None:
                dues.append(fetch.due)
            if fetch.failure is UNSET:
                self._done.add((fetch.due or "", fetch.page))
                if fetch.source == REAL:
                    self._arrived.append((fetch.arrived_at, fetch.requested))
        self._first = min(dues, default=None)

    def left_of(self, orders: Sequence[Order]) -> list[Order]:
        """The orders that are not done yet, whoever did the others."""
        return [order for order in orders if order.due is None or (iso_minute(order.due), order.page) not in self._done]

    def missed(self, due: datetime, minutes: int) -> list[datetime]:
        """The minutes before ``due``, at most ``minutes`` of them, oldest first, since the first run ever."""
        if self._first is None:
            return []
        earlier = (due - MINUTE * back for back in range(minutes, 0, -1))
        return [minute for minute in earlier if iso_minute(minute) >= self._first]

    def window_left(self, now_ms: int) -> int:
        """How many people the real API would still give: 20,000 less those of the last five minutes."""
        since = iso(now_ms - int(WINDOW.total_seconds() * 1000))
        return WINDOW_PEOPLE - sum(people for arrived, people in self._arrived if arrived > since)

    def add(self, fetch: Fetch) -> None:
        if fetch.source == REAL and fetch.failure is UNSET:
            self._arrived.append((fetch.arrived_at, fetch.requested))
