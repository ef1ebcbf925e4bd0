"""The account that a look gives: totals, runs, and by name who is missing and who was never fetched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pipeline import topics
from pipeline.account import STORES, StoreAccount
from pipeline.database.ledger import Book, book
from pipeline.errors import PassingFault, UsageError
from pipeline.ledger import places
from pipeline.ledger.look import Choice, Look, Nocodb
from pipeline.records import Place
from pipeline.settings import Settings

SINKS = dict(zip(STORES, (topics.TO_POSTGRESQL, topics.TO_NOCODB), strict=True))


def _values(store: str, blind: bool) -> dict[str, Any]:
    """The parameters of ``ledger_classified``; ``blind``: nobody could look into the topics."""
    other = next(sink for name, sink in SINKS.items() if name != store)
    return {"store": store, "sink": SINKS[store], "other": other, "feed": topics.GET_DATA, "blind": blind}


class Totals(NamedTuple):
    """In records: each of ``fetched`` is in exactly one place of each store's account."""

    fetched: int
    postgresql: StoreAccount
    nocodb: StoreAccount

    def of(self, store: str) -> StoreAccount:
        return self.postgresql if store == "postgresql" else self.nocodb


class Entry(NamedTuple):
    """A run of the feed, and its account."""

    fetch_id: str
    kind: str
    source: str
    arrived_at: datetime | None
    requested: int
    received: int
    refused: int
    failure: str | None
    fetched: int
    postgresql: StoreAccount
    nocodb: StoreAccount


class Missing(NamedTuple):
    """Somebody who is nowhere; ``place`` is the last one in Kafka, None when Kafka has no record of them any more."""

    uuid: UUID
    store: str
    fetch_id: str
    place: Place | None


class Ledger:
    """The account of one look. It holds nobody in memory but, with their last places, the first of the missing."""

    def __init__(self, settings: Settings, kept: Book, look: Look) -> None:
        self._settings, self._book = settings, kept
        self.unreachable = {name: fault.detail or fault.message for name, fault in look.unreachable.items()}
        self.notes: Nocodb = look.nocodb
        with kept.moment():
            for store in STORES:
                kept.keep("ledger_counts", "ledger_counts", **_values(store, "kafka" in self.unreachable))
            told = {store: kept.one("ledger_totals", store=store) for store in STORES}
            self._anybody = [store for store in STORES if told[store]["missing"]]
            for store in self._anybody:
                kept.keep("ledger_missing", "ledger_missing", **_values(store, "kafka" in self.unreachable))
        fetched = told["postgresql"].pop("fetched")
        del told["nocodb"]["fetched"]
        self.totals = Totals(fetched, StoreAccount(**told["postgresql"]), StoreAccount(**told["nocodb"]))
        self.strangers = int(kept.rows("ledger_count_strangers")[0][0])

    @property
    def ok(self) -> bool:
        """Everybody is accounted for, nobody is there who was never fetched, and everything could be asked."""
        return not (self._anybody or self.strangers or self.unreachable)

    def runs(self, newest: int | None = None) -> Iterator[Entry]:
        """The runs, newest first: all of them, or so many and those where somebody is missing or on the way."""
        for row in self._book.stream("ledger_read_runs", newest=newest):
            yield Entry._make((*row[:9], StoreAccount(*row[9:15]), StoreAccount(*row[15:21])))

    def missing_people(self) -> Iterator[tuple[UUID, str, str]]:
        """Who is missing: uuid, store, fetch-id."""
        if self._anybody:
            yield from self._book.stream("ledger_read_missing")

    def missing(self) -> Iterator[Missing]:
        """The same with their last places, which takes reading the topics from their beginnings."""
        if not self._anybody:
            return
        wanted = {uuid for _, (uuid, _, _) in zip(range(places.NAMED), self.missing_people(), strict=False)}
        last = {} if "kafka" in self.unreachable else places.last_places(self._settings, wanted)
        for uuid, store, fetch_id in self.missing_people():
            yield Missing(uuid, store, fetch_id, last.get(uuid))

    def extra(self) -> Iterator[tuple[UUID, str]]:
        """Who is in a store and was never fetched: uuid, store."""
        yield from self._book.stream("ledger_read_strangers")


@contextmanager
def opened(settings: Settings, choice: Choice | None = None) -> Iterator[Ledger]:
    """The ledger as of now, until the end of the block.

    It records who was removed in NocoDB by a person. Raises PassingFault when PostgreSQL does not answer, UsageError
    when there is no fetch of the id that was chosen.
    """
    with book(settings) as kept:
        look = Look(settings, kept, choice)
        look.take()
        if choice and choice.fetch is not None and not kept.rows("ledger_any_run")[0][0]:
            raise UsageError(
                f"there is no fetch {choice.fetch!r}",
                hint="Ledger.sh --json lists all of them, and so does the view pipeline.ledger in NocoDB.",
            )
        yield Ledger(settings, kept, look)


def missing_of(settings: Settings, fetch_id: str) -> list[UUID]:
    """Who of one fetch is missing in either store, by uuid. Raises as ``opened`` does, and PassingFault when a server
    does not answer, for then nobody can say it."""
    with opened(settings, Choice(fetch=fetch_id)) as ledger:
        for name, detail in ledger.unreachable.items():
            raise PassingFault(f"who is missing cannot be said while {name} does not answer", detail=detail)
        return sorted({uuid for uuid, _, _ in ledger.missing_people()})
