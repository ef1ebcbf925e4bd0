"""A look at everything: the database, the topics and NocoDB, in an order in which nobody can slip past.

Nothing is stopped for it. Whoever is on the way moves downstream only, so the topics are read in the order of the
chain and the database last: who has left a topic before it was read is found further down. What is found is kept in
temporary tables of its session (database/sql/ledger.sql), so a million people need no more memory than a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from pipeline import account, broker, topics
from pipeline.broker import Partition
from pipeline.database.ledger import Book, chosen
from pipeline.database.users import FetchRecord
from pipeline.errors import PassingFault
from pipeline.ledger.places import uuid_of
from pipeline.nocodb import Users
from pipeline.records import Incoming
from pipeline.settings import Settings

REMOVED_IN_NOCODB = "removed in NocoDB"
"""Why somebody is recorded as removed whose row a person deleted in NocoDB."""

TOO_MANY = 100
"""More absent people than this, and more than half of all: that looks like a lost table, not like a person's choice."""

NAMED = 1_000
"""Of how many people a look that changes something keeps the names in memory."""

_ASKED = 1_000
_fetch = msgspec.json.Decoder(FetchRecord)


class Choice(NamedTuple):
    """Which fetches a look is about: all of them, or one, or those since a moment."""

    fetch: str | None = None
    since: datetime | None = None

    @property
    def all(self) -> bool:
        return self.fetch is None and self.since is None


class Nocodb(NamedTuple):
    """What a look changed in the notes about NocoDB, in people, and the first of those who were removed and returned.

    ``unexplained`` are absent there, and too many for it to be taken for a person's choice.
    """

    removed: int = 0
    returned: int = 0
    noted: int = 0
    unexplained: int = 0
    removed_names: Sequence[UUID] = ()
    returned_names: Sequence[UUID] = ()


class Look:
    """One look. ``unreachable`` names the servers that did not answer; PostgreSQL's silence is a PassingFault.

    ``accept`` takes any number of people who are not in NocoDB any more for removed by a person.
    """

    def __init__(
        self,
        settings: Settings,
        book: Book,
        choice: Choice | None = None,
        *,
        accept: bool = False,
        users: Users | None = None,
    ) -> None:
        self._settings = settings
        self.book = book
        self.choice = choice or Choice()
        self._accept = accept
        self._users = users
        self.unreachable: dict[str, PassingFault] = {}
        self.nocodb = Nocodb()

    def take(self) -> None:
        """Look at everything, and bring the notes about NocoDB up to date. May be called once."""
        own = self._users or Users(self._settings)
        try:
            values = chosen(*self.choice)
            self.book.do("ledger_note_strangers", **values)
            if self.choice.all:
                # All of it before the topics are read: who is there by now was fetched before now.
                self._asked("nocodb", lambda: self.book.copy("ledger_present", ((one,) for one in own.uuids())))
            self._asked("kafka", self._note_waiting_fetches)
            self.book.do("ledger_note_fetches", **values)
            self.book.do("ledger_people")
            if not self.choice.all:
                self._asked("nocodb", lambda: self.book.copy("ledger_present", self._present_of_chosen(own)))
            if "kafka" not in self.unreachable:
                self._asked("kafka", lambda: self.book.copy("ledger_waiting", self._waiting()))
            self.book.do("ledger_analyze")
            if "nocodb" not in self.unreachable:
                self._asked("nocodb", lambda: self._bring_notes_up_to_date(own))
            # Without the topics nobody knows who of them was fetched a moment ago.
            if "kafka" in self.unreachable:
                self.book.do("ledger_no_strangers")
            else:
                self.book.do("ledger_strangers_left", all=self.choice.all)
                self._asked("nocodb", lambda: self._look_again_for_strangers(own))
        finally:
            if self._users is None:
                own.close()

    def _asked(self, server: str, question: Callable[[], None]) -> None:
        """Note that a server does not answer. Whose fault it was is told by asking PostgreSQL again."""
        try:
            question()
        except PassingFault as fault:
            self.book.rows("ledger_answers")
            self.unreachable[server] = fault

    def _note_waiting_fetches(self) -> None:
        """The fetches that PostgreSQL's sink has not stored yet, with their people."""
        with self.book.cursor as cursor:
            positions, _, _ = account.positions_of(self._settings, cursor, topics.TO_POSTGRESQL)
        identity = broker.identities(self._settings, (topics.FETCHES,))[topics.FETCHES]
        known = self.book.rows("ledger_topic", cluster_id=identity.cluster_id, topic_id=identity.topic_id)
        number = known[0][0] if known else -1
        waits = {one: offset for one, offset in positions.items() if one[0] == topics.FETCHES}
        for record in broker.waiting(self._settings, waits):
            try:
                fetch = _fetch.decode(record.value or b"")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # the sink will refuse it, and nobody is fetched by it
            place = (number, record.place.partition, record.place.offset)
            self.book.copy("ledger_fetched", ((*place, uuid) for uuid in fetch.uuids))
            since = self.choice.since
            if self.choice.fetch not in (None, fetch.fetch_id) or (
                since and fetch.arrived_at and fetch.arrived_at < since
            ):
                continue
            row = (
                *place, "true", fetch.fetch_id.replace("\0", ""), fetch.kind, fetch.source, fetch.requested,
                fetch.received, fetch.rejected, fetch.failure, fetch.arrived_at,
            )  # fmt: skip
            self.book.copy("ledger_fetches", [row])

    def _present_of_chosen(self, users: Users) -> Iterator[tuple[UUID]]:
        for piece in self.book.pieces("ledger_chosen", _ASKED):
            yield from ((uuid,) for uuid in users.present([uuid for (uuid,) in piece]))

    def _waiting(self) -> Iterator[tuple[Any, ...]]:
        """Who stands in a topic, and for which stores: topic by topic down the chain, the refused ones last."""
        for stage in topics.WRITES:
            for record in broker.waiting(self._settings, self._positions(stage)):
                yield from _line(record, True, True)
        postgresql, nocodb = self._positions(topics.TO_POSTGRESQL), self._positions(topics.TO_NOCODB)
        for record in broker.waiting(self._settings, {one: min(postgresql[one], nocodb[one]) for one in nocodb}):
            one, offset = (record.place.topic, record.place.partition), record.place.offset
            yield from _line(record, offset >= postgresql[one], offset >= nocodb[one])
        refused = {one: offset for one, offset in postgresql.items() if one[0] == topics.REJECTED}
        for record in broker.waiting(self._settings, refused):
            # What the feed refuses was not among the people of its fetch.
            if record.header(topics.STAGE) != topics.GET_DATA:
                yield from _line(record, True, True)

    def _positions(self, stage: str) -> dict[Partition, int]:
        with self.book.cursor as cursor:
            return account.positions_of(self._settings, cursor, stage)[0]

    def _bring_notes_up_to_date(self, users: Users) -> None:
        """Record who was removed in NocoDB, let go of that for who is back, note who is there without a note."""
        noted = self.book.do("ledger_note_written") if "kafka" not in self.unreachable else 0
        self.book.do("ledger_note_absent" if self.choice.all else "ledger_note_absent_of_chosen")
        # They may have been written since the rows were listed: asked again by name, for the note comes after the row.
        for piece in self.book.pieces("ledger_absent"):
            self.book.do("ledger_met", uuids=list(users.present([uuid for (uuid,) in piece])))
        ((absent, written),) = self.book.rows("ledger_absences", many=TOO_MANY)
        removed, names = 0, _uuids(self.book.rows("ledger_absent", after=UUID(int=0), limit=NAMED))
        if self._accept or absent <= TOO_MANY or absent * 2 <= written:
            removed = self.book.do("ledger_record_removed", why=REMOVED_IN_NOCODB)
            self.book.do("ledger_none_absent")
        returned: list[UUID] = []
        back = 0
        for piece in self.book.pieces("ledger_returned", why=REMOVED_IN_NOCODB):
            there = list(users.present([uuid for (uuid,) in piece]))
            back += self.book.do("ledger_forget_removed", why=REMOVED_IN_NOCODB, uuids=there)
            returned += there[: NAMED - len(returned)]
        self.nocodb = Nocodb(removed, back, noted, 0 if removed else absent, names if removed else [], returned)

    def _look_again_for_strangers(self, users: Users) -> None:
        """Who was listed and never fetched may have been deleted since."""
        if "nocodb" in self.unreachable:
            return
        for piece in self.book.pieces("ledger_strangers_of"):
            found = set(_uuids(piece))
            self.book.do("ledger_strangers_gone", uuids=list(found - users.present(found)))


def _line(record: Incoming, postgresql: bool, nocodb: bool) -> Iterator[tuple[Any, ...]]:
    uuid = uuid_of(record.key)
    if uuid is not None:
        yield uuid, postgresql, nocodb


def _uuids(rows: Collection[tuple[Any, ...]]) -> list[UUID]:
    return [uuid for (uuid,) in rows]
