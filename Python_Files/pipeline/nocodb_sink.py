"""The NocoDB sink: people into NocoDB's table, and the account of that into PostgreSQL.

NocoDB knows no transactions over its API, so its rows come first and are idempotent by uuid, and the offsets follow in
PostgreSQL. A process that dies in between reads the batch again and finds its people there.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg2.extras import execute_values

from pipeline import person, topics
from pipeline.broker import Partition, TopicIdentity
from pipeline.database.connection import passing
from pipeline.database.queries import query
from pipeline.database.sinks import Offsets, Outcome, Repeat, uuids_of
from pipeline.database.values import word
from pipeline.errors import Rejected
from pipeline.nocodb import UserRow, Users
from pipeline.person import LabelledPerson
from pipeline.records import Incoming
from pipeline.settings import Settings


class NocodbSink:
    """Writes batches. ``write`` returns when the rows are in NocoDB and the offsets are committed.

    A person who was written before is a repeat, and is not written again even when somebody has deleted the row.
    Raises PassingFault (try the same records again) or Fenced (end).
    """

    # In its first minutes each person may need a portrait that is to be drawn or fetched, uploaded and made small.
    most: int | None = 100

    def __init__(self, settings: Settings, identities: dict[str, TopicIdentity]) -> None:
        self.offsets = Offsets(settings, topics.TO_NOCODB, identities)
        self._users = Users(settings)

    def position_of(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        return self.offsets.position_of(partitions)

    def write(self, batch: Sequence[Incoming]) -> Outcome:
        """Write one batch of people."""
        rejected: list[tuple[Incoming, Rejected]] = []
        people: list[tuple[Incoming, LabelledPerson]] = []
        for record in batch:
            try:
                people.append((record, person.decode(record.value, LabelledPerson)))
            except Rejected as fault:
                rejected.append((record, fault))

        known = self._known({one.login.uuid for _, one in people})
        new: dict[UUID, tuple[Incoming, UserRow]] = {}
        repeats: list[Repeat] = []
        for record, one in people:
            uuid = one.login.uuid
            if uuid in known or uuid in new:
                repeats.append(Repeat(record, uuid))
            else:
                new[uuid] = (record, UserRow(one, word(record.fetch_id), word(record.source)))
        for refused, why in self._users.insert([row for _, row in new.values()]):
            record, _ = new.pop(refused.person.login.uuid)
            rejected.append((record, why))

        outcome = Outcome(repeats, rejected)
        connection = self.offsets.connection
        with passing(), connection, connection.cursor() as cursor:
            if new:
                rows = [(uuid, row.fetch_id, row.source) for uuid, (_, row) in new.items()]
                execute_values(cursor, query("note_written"), rows, page_size=1000)
            positions = self.offsets.advance(cursor, batch, outcome)
        self.offsets.committed(positions)
        return outcome

    def _known(self, uuids: set[UUID]) -> set[UUID]:
        """Who was written before, or removed on purpose before ever being written."""
        connection = self.offsets.connection
        with passing(), connection, connection.cursor() as cursor:
            return uuids_of(cursor, "written_to_nocodb", uuids) | uuids_of(cursor, "removed_from_nocodb", uuids)

    def close(self) -> None:
        self._users.close()
        self.offsets.close()
