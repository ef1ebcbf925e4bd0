"""Refused records as the sinks store them, and what became of those that were sent again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pipeline import topics
from pipeline.database.connection import Cursor, RefusedForGood
from pipeline.database.queries import query
from pipeline.database.values import headers_as_json, moment, text, word
from pipeline.records import Incoming

SHOWN_CHARACTERS = 10_000

STORED, REPEAT = "stored", "repeat"


def again_as(row: int) -> str:
    """What became of a record that was sent again and refused again: its new row."""
    return f"refused again as {row}"


class Arrival(NamedTuple):
    """A record that was sent again has arrived at a store: ``row`` is the one that it was refused as."""

    row: int
    outcome: str
    uuid: UUID | None


def replay_of(record: Incoming) -> int | None:
    """The row that this record was sent again from, if it was."""
    told = record.header(topics.REPLAY_OF)
    return _number(told, 2**63 - 1) if told else None


def store(cursor: Cursor, values: dict[str, object]) -> int | None:
    """Store a row of ``rejected_row``; its id, or None when the same place was stored before.

    What PostgreSQL refuses of it for good is left out: such a row has the bytes, the place and that fault alone.
    """
    cursor.execute("SAVEPOINT setting_aside")
    try:
        cursor.execute(query("store_rejected"), values)
    except (*RefusedForGood, ValueError) as error:  # psycopg2 refuses U+0000 with a ValueError
        cursor.execute("ROLLBACK TO SAVEPOINT setting_aside")
        why = f"PostgreSQL does not take what else was told of it: {' '.join(str(error).split())}"
        poor = {
            "reason": "refused_by_database", "message": text(why, 2000), "topic": "", "partition": None, "offset": None,
            "fetch_id": "", "source": "", "value_text": None, "headers": "[]", "fetched_at": None, "replay_of": None,
        }  # fmt: skip
        cursor.execute(query("store_rejected"), {**values, **poor})
    found = cursor.fetchone()
    cursor.execute("RELEASE SAVEPOINT setting_aside")
    return int(found[0]) if found else None


def note(cursor: Cursor, sink: str, arrivals: Sequence[Arrival]) -> None:
    """Note on their rows what became of records that were sent again, within the transaction of what was stored.

    Whoever was stored once stays so, however many repeats follow. A row that was never sent again is left alone: then
    the header was forged.
    """
    # In one order, so that two sinks never wait for each other.
    for one in sorted(arrivals, key=lambda arrival: arrival[:2]):
        cursor.execute(
            query("note_arrival"),
            {
                "sink": sink,
                "store": topics.STORES[sink],
                "id": one.row,
                "outcome": one.outcome,
                "uuid": one.uuid,
                "postgresql": topics.TO_POSTGRESQL,
                "nocodb": topics.TO_NOCODB,
            },
        )


def note_again(cursor: Cursor, record: Incoming, row: int | None) -> None:
    """Note that a record was sent again and refused again as ``row`` before any store saw it."""
    before = replay_of(record)
    if before is not None and row is not None:
        cursor.execute(query("note_refused_again"), {"id": before, "outcome": again_as(row)})


def _uuid(key: bytes | None) -> UUID | None:
    try:
        return UUID((key or b"").decode("ascii"))
    except ValueError:
        return None


def _shown(value: bytes) -> str:
    return text(value[: SHOWN_CHARACTERS * 4].decode("utf-8", "backslashreplace"))[:SHOWN_CHARACTERS]


def rejected_row(
    record: Incoming,
    *,
    stage: str,
    reason: str,
    message: str,
    origin: Incoming | None,
    rejected_at: datetime,
    source_topic: int,
) -> dict[str, object]:
    """The values of a row of ``pipeline.rejected``; ``origin`` is None when the place is told by the headers."""
    place = origin.place if origin else None
    number = _number(record.header(topics.ORIGIN_TIMESTAMP))
    value = record.value
    return {
        "stage": word(stage) or "unknown",
        "reason": word(reason) or "unknown",
        "message": text(message),
        "topic": place.topic if place else text(record.header(topics.ORIGIN_TOPIC)),
        "partition": place.partition if place else _number(record.header(topics.ORIGIN_PARTITION), 2**31 - 1),
        "offset": place.offset if place else _number(record.header(topics.ORIGIN_OFFSET)),
        "fetch_id": word(record.fetch_id),
        "source": word(record.source),
        "uuid": _uuid(record.key),
        "value_text": None if value is None else _shown(value),
        "value": value,
        "key": record.key,
        "headers": headers_as_json(record.headers),
        "fetched_at": moment(record.timestamp_ms if place else number),
        "rejected_at": rejected_at,
        "replay_of": replay_of(record),
        "source_topic": source_topic,
        "source_partition": record.place.partition,
        "source_offset": record.place.offset,
    }  # fmt: skip


def _number(digits: str, most: int = 2**53) -> int | None:
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        return None
    number = int(digits)
    return number if number <= most else None
