"""What both sinks have in common: whose turn it is, where it goes on, what was a repeat, what was refused.

A sink's offsets stand in PostgreSQL, in the transaction of what it stored. They move only from the value that this
process read, so that a process that lost its partitions without noticing changes nothing and ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import psycopg2
from psycopg2.extras import execute_values

from pipeline import topics
from pipeline.broker import Partition, TopicIdentity
from pipeline.database import rejected
from pipeline.database.connection import Connection, Cursor, connect, passing
from pipeline.database.queries import query
from pipeline.database.rejected import Arrival
from pipeline.database.values import word
from pipeline.errors import Fenced, Rejected
from pipeline.records import Incoming, Place
from pipeline.settings import Settings


class Repeat(NamedTuple):
    record: Incoming
    uuid: UUID


class Outcome(NamedTuple):
    """What became of a batch: every record of it is in exactly one of these, or simply stored."""

    repeats: Sequence[Repeat] = ()
    rejected: Sequence[tuple[Incoming, Rejected]] = ()


class Offsets:
    """The offsets of one sink, and the connection whose transactions they are part of."""

    def __init__(self, settings: Settings, sink: str, identities: Mapping[str, TopicIdentity]) -> None:
        self.sink = sink
        self.connection: Connection = connect(settings, name=sink)
        self._expected: dict[Partition, int] = {}
        with passing(), self.connection, self.connection.cursor() as cursor:
            self.topics: dict[str, int] = {}
            for name, identity in identities.items():
                cursor.execute(
                    query("know_topic"),
                    {"cluster_id": identity.cluster_id, "topic_id": identity.topic_id, "name": name},
                )
                self.topics[name] = cursor.fetchone()[0]

    def position_of(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Where the database says that these partitions go on; a partition it does not know is left out."""
        names = {number: name for name, number in self.topics.items()}
        wanted = set(partitions)
        with passing(), self.connection, self.connection.cursor() as cursor:
            cursor.execute(query("read_offsets"), {"sink": self.sink, "topics": list(self.topics.values())})
            found = {(names[topic], partition): offset for topic, partition, offset in cursor}
        self._expected = {one: offset for one, offset in self._expected.items() if one not in wanted}
        self._expected.update({one: found[one] for one in wanted if one in found})
        return {one: found[one] for one in wanted if one in found}

    def advance(self, cursor: Cursor, batch: Sequence[Incoming], outcome: Outcome) -> dict[Partition, int]:
        """Note the outcome of a batch and the next offsets, within the caller's transaction; those offsets.

        Raises Fenced when another process has moved one of them: the caller's transaction must roll back.
        """
        if outcome.repeats:
            execute_values(
                cursor,
                query("note_repeats"),
                [
                    (self.sink, self.topics[r.record.place.topic], r.record.place.partition, r.record.place.offset,
                     r.uuid, word(r.record.fetch_id))
                    for r in outcome.repeats
                ],
            )  # fmt: skip
        rows = {
            record.place: rejected.store(cursor, self._own_rejected(record, fault))
            for record, fault in outcome.rejected
        }
        rejected.note(cursor, self.sink, list(_arrivals(batch, outcome, rows)))

        taken: dict[Partition, list[int]] = defaultdict(lambda: [0, 0, 0])
        last: dict[Partition, int] = {}
        first: dict[Partition, int] = {}
        for record in batch:
            one = (record.place.topic, record.place.partition)
            taken[one][0] += 1
            last[one] = record.place.offset
            first.setdefault(one, record.place.offset)
        for repeat in outcome.repeats:
            taken[(repeat.record.place.topic, repeat.record.place.partition)][1] += 1
        for record, _ in outcome.rejected:
            taken[(record.place.topic, record.place.partition)][2] += 1
        for one, offset in last.items():
            processed, repeats, refused = taken[one]
            values = {
                "sink": self.sink, "topic": self.topics[one[0]], "partition": one[1], "next_offset": offset + 1,
                "processed": processed, "repeats": repeats, "rejected": refused,
                "stored": processed - repeats - refused,
            }  # fmt: skip
            if one not in self._expected:
                begin = {"sink": self.sink, "topic": values["topic"], "partition": one[1], "next_offset": first[one]}
                cursor.execute(query("begin_offset"), begin)
                self._expected[one] = first[one]
            cursor.execute(query("advance_offset"), {**values, "expected": self._expected[one]})
            if cursor.rowcount != 1:
                raise Fenced(
                    f"another process reads {one[0]}-{one[1]} for {self.sink} now",
                    detail=f"the database is not at offset {self._expected[one]} any more",
                )
        return {one: offset + 1 for one, offset in last.items()}

    def committed(self, positions: Mapping[Partition, int]) -> None:
        """The transaction with these next offsets is committed."""
        self._expected.update(positions)

    def _own_rejected(self, record: Incoming, fault: Rejected) -> dict[str, object]:
        """A record that this sink itself refuses."""
        return rejected.rejected_row(
            record,
            stage=self.sink,
            reason=fault.reason,
            message=fault.message,
            origin=record,
            rejected_at=datetime.now(UTC),
            source_topic=self.topics[record.place.topic],
        )

    def close(self) -> None:
        """Close the connection; what was not committed is rolled back."""
        try:
            self.connection.close()
        except psycopg2.Error:
            return


def _arrivals(batch: Sequence[Incoming], outcome: Outcome, rows: Mapping[Place, int | None]) -> Iterator[Arrival]:
    """What became of those records of the batch that were sent again."""
    repeats: dict[Place, UUID] | None = None
    for record in batch:
        row = rejected.replay_of(record)
        if row is None or record.place.topic == topics.REJECTED:
            continue
        if repeats is None:
            repeats = {repeat.record.place: repeat.uuid for repeat in outcome.repeats}
        if record.place in rows:
            again = rows[record.place]
            if again is not None:
                yield Arrival(row, rejected.again_as(again), None)
        elif record.place in repeats:
            yield Arrival(row, rejected.REPEAT, repeats[record.place])
        else:
            yield Arrival(row, rejected.STORED, None)


def uuids_of(cursor: Cursor, name: str, uuids: Iterable[UUID]) -> set[UUID]:
    """The answer of a query that takes uuids and gives those it knows."""
    cursor.execute(query(name), {"uuids": list(uuids)})
    return {row[0] for row in cursor}
