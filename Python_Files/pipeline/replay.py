"""Refused records: looked at, sent again into the stage that refused them, or discarded.

A record is checked as its stage would before it is sent, so that nothing is sent in vain. It carries the number of its
row, by which the stores note there what became of it. So it does no harm to send one twice, or to be killed between
sending a record and noting that it was sent: whoever arrives twice is a repeat.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from pipeline import person, response, steps, topics
from pipeline.database.connection import Cursor, session
from pipeline.database.queries import query
from pipeline.database.users import FetchRecord
from pipeline.database.values import headers_from_json
from pipeline.errors import PipelineError, Rejected, UsageError
from pipeline.feed.plan import Fetch, iso
from pipeline.person import LabelledPerson, Person
from pipeline.records import Headers, Outgoing, Publisher, is_fingerprint
from pipeline.settings import Settings

SESSION = "rejected"
MOST_AT_ONCE = 1000
"""Rows that one command sends again; their values are held in memory."""


class Row(NamedTuple):
    """A row of pipeline.rejected, less its bytes."""

    id: int
    stage: str
    reason: str
    message: str
    topic: str
    partition: int | None
    offset: int | None
    fetch_id: str
    source: str
    uuid: UUID | None
    fetched_at: datetime | None
    rejected_at: datetime
    state: str
    state_note: str
    state_at: datetime | None
    replay_of: int | None
    tries: int
    tried_at: datetime | None
    in_postgresql: str | None
    in_nocodb: str | None


class Whole(NamedTuple):
    """A refused record: its row, and its bytes and headers as they stood in the topic."""

    row: Row
    value: bytes | None
    key: bytes | None
    headers: Headers
    corrected: bytes | None
    again: list[int]


class Ready(NamedTuple):
    """A record that its stage will take: what is to be sent."""

    row: Row
    records: list[Outgoing]
    corrected: bytes | None


def listed(
    settings: Settings, *, every: bool = False, stage: str | None = None, reason: str | None = None, limit: int = 100
) -> tuple[list[Row], int]:
    """Refused records, newest first, at most ``limit`` of them, and how many there are. Raises PassingFault.

    Those that are settled (replayed or discarded) only with ``every``.
    """
    asked = {"every": every, "stage": stage, "reason": reason, "limit": limit}
    with session(settings, name=SESSION) as cursor:
        cursor.execute(query("list_rejected"), asked)
        rows = [Row(*values) for values in cursor]
        cursor.execute(query("count_rejected"), asked)
        return rows, cursor.fetchone()[0]


def read(settings: Settings, ids: Sequence[int]) -> list[Whole]:
    """These refused records, in this order. Raises UsageError when there is no such row, PassingFault."""
    with session(settings, name=SESSION) as cursor:
        return _read(cursor, ids)


def _read(cursor: Cursor, ids: Sequence[int]) -> list[Whole]:
    # Beyond these no row can be.
    cursor.execute(query("read_rejected"), {"ids": [one for one in ids if 0 < one < 2**63]})
    found: dict[int, Whole] = {}
    for *values, value, key, headers, corrected in cursor.fetchall():
        row = Row(*values)
        cursor.execute(query("newer_rejected"), {"id": row.id})
        again = [one for (one,) in cursor]
        found[row.id] = Whole(row, _bytes(value), _bytes(key), headers_from_json(headers), _bytes(corrected), again)
    missing = [str(one) for one in ids if one not in found]
    if missing:
        raise UsageError(
            f"there is no rejected record {', '.join(missing)}",
            hint="Administrator_scripts/Rejected.sh list --all lists them.",
        )
    return [found[one] for one in ids]


def _bytes(told: memoryview | None) -> bytes | None:
    return None if told is None else bytes(told)


def replay(
    settings: Settings,
    ids: Sequence[int],
    publisher: Callable[[], Any],
    corrected: bytes | None = None,
    moment_ms: int | None = None,
) -> list[Ready]:
    """Send these records again, all of them or none: as they were, or one of them with ``corrected`` as its value.

    ``moment_ms``: when it was fetched, where its own timestamp is what was refused. ``publisher`` makes a context with
    a Publisher. Raises UsageError for an id that is unknown or settled, PipelineError that says what the stage would
    refuse (nothing was sent in both cases), PassingFault when PostgreSQL or Kafka is away (it may be called again).
    """
    if len(ids) > MOST_AT_ONCE:
        raise UsageError(f"{len(ids)} records are too many at once", hint=f"Send at most {MOST_AT_ONCE} at a time.")
    with session(settings, name=SESSION) as cursor:
        ready = [_ready(cursor, one, corrected, moment_ms) for one in _read(cursor, ids)]
        sent = [one.row.id for one in ready]
    # Kafka first: with it away not even a try is noted.
    with publisher() as kafka:
        _send(settings, ready, kafka)
    _note_sent(settings, sent)
    return ready


def _send(settings: Settings, ready: Sequence[Ready], kafka: Publisher) -> None:
    with session(settings, name=SESSION) as cursor:
        for one in ready:
            cursor.execute(query("try_replay"), {"id": one.row.id, "corrected": one.corrected})
            if cursor.rowcount != 1:
                raise UsageError(f"{one.row.id} was settled by somebody else just now", hint="Nothing was sent.")
    kafka.publish([record for one in ready for record in one.records])


def _note_sent(settings: Settings, ids: Sequence[int]) -> None:
    with session(settings, name=SESSION) as cursor:
        cursor.execute(query("note_sent"), {"ids": list(ids)})


def discard(settings: Settings, ids: Sequence[int], why: str) -> None:
    """Note that these records are not to be sent again. Raises UsageError for an id that is unknown or settled."""
    with session(settings, name=SESSION) as cursor:
        for one in _read(cursor, ids):
            _check_open(one.row)
        cursor.execute(query("discard_rejected"), {"ids": list(ids), "why": why})


def _check_open(row: Row) -> None:
    if row.state == "replayed":
        told = f"PostgreSQL: {row.in_postgresql or 'not asked'}; NocoDB: {row.in_nocodb or 'not asked'}"
        raise UsageError(f"{row.id} was replayed already", detail=told, hint="Nothing was done.")
    if row.state == "discarded":
        raise UsageError(f"{row.id} was discarded", detail=row.state_note, hint="Nothing was done.")


def _ready(cursor: Cursor, one: Whole, corrected: bytes | None, moment_ms: int | None) -> Ready:
    row = one.row
    _check_open(row)
    if row.topic == topics.FETCHES and row.stage == topics.TO_POSTGRESQL:
        return _ready_fetch(one, corrected, moment_ms)
    target, check = _target(row)
    value = one.value if corrected is None else corrected
    moment = _moment(row) if moment_ms is None else moment_ms
    if corrected is None and is_fingerprint(value):
        raise PipelineError(
            f"of record {row.id} only the length and the hash were kept; nothing was sent",
            detail=f"{row.reason}: {row.message}",
            hint=f"Give the record itself: Rejected.sh replay {row.id} --with FILE.",
        )
    try:
        if corrected is not None or row.stage == topics.GET_DATA:
            # What comes from a file may hold what the API gives: credentials go, as 0-Get_Data does it.
            read = response.read_person(value or b"")
            if read.refused is not None:
                raise read.refused
            value = read.value
        uuid = check(value, moment).login.uuid
    except Rejected as fault:
        raise _still_wrong(row, fault) from None
    fetch_id, records = row.fetch_id, []
    cursor.execute(query("is_fetched"), {"uuid": uuid, "fetch_id": row.fetch_id})
    if not cursor.fetchone()[0]:
        # No run of the feed has told of this person, so that nobody would look for them: this is their run.
        fetch_id = f"replay-{row.id}"
        cursor.execute(query("is_fetched"), {"uuid": uuid, "fetch_id": fetch_id})
        if not cursor.fetchone()[0]:
            records.append(_fetch(row, fetch_id, uuid, moment))
    headers = _headers(one, {topics.FETCH_ID: fetch_id, topics.SOURCE: _source(row)})
    records.append(Outgoing(target, str(uuid).encode(), value, moment, headers))
    return Ready(row, records, None if value == one.value else value)


def _ready_fetch(one: Whole, corrected: bytes | None, moment_ms: int | None) -> Ready:
    """A record of a run, which PostgreSQL's sink reads itself."""
    value = one.value if corrected is None else corrected
    try:
        msgspec.json.decode(value or b"", type=FetchRecord)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _still_wrong(one.row, Rejected("not_a_fetch", str(error))) from None
    moment = max(_moment(one.row), 0) if moment_ms is None else moment_ms
    record = Outgoing(topics.FETCHES, one.key, value, moment, _headers(one, {}))
    return Ready(one.row, [record], None if value == one.value else value)


def _still_wrong(row: Row, fault: Rejected) -> PipelineError:
    correct = (
        f"Correct it: Rejected.sh show {row.id} --value > corrected.json, edit, Rejected.sh replay {row.id} --with"
    )
    return PipelineError(
        f"{row.stage} would refuse record {row.id} again; nothing was sent",
        detail=f"{fault.reason}: {fault.message}",
        hint=f"{correct} corrected.json. What nobody needs: Rejected.sh discard {row.id} --why TEXT.",
    )


Check = Callable[[bytes | None, int], Person]


def _as_step(stage: str) -> Check:
    step = steps.STEPS[stage]
    return lambda value, timestamp_ms: person.decode(step(value, timestamp_ms), Person)


def _as_sink(value: bytes | None, timestamp_ms: int) -> Person:
    return person.decode(value, LabelledPerson)


_CHECKS: Mapping[str, tuple[str, Check]] = {
    topics.GET_DATA: (topics.FETCHED, _as_step(topics.ADD_TIMESTAMP)),
    **{stage: (topics.READS[stage][0], _as_step(stage)) for stage in topics.WRITES},
    **dict.fromkeys(topics.STORES, (topics.STORED, _as_sink)),
}


def _target(row: Row) -> tuple[str, Check]:
    """The topic that the refusing stage reads, and what the stage asks of a record there."""
    target, check = _CHECKS.get(row.stage, ("", None))
    if check is None or (row.stage != topics.GET_DATA and row.topic != target):
        raise UsageError(
            f"{row.id} cannot be sent again: no stage of this pipeline has refused it",
            detail=f"its headers say that stage {row.stage!r} has, in topic {row.topic!r}",
            hint=f"Rejected.sh discard {row.id} --why TEXT settles it.",
        )
    return target, check


def _moment(row: Row) -> int:
    """The record's own timestamp in ms; -1, which is no moment, where it had none that a calendar has."""
    if row.fetched_at is None:
        return -1
    since = row.fetched_at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _headers(one: Whole, named: Mapping[str, str]) -> Headers:
    """The headers as they were, less those of the refusal, with these values, and the number of the row."""
    own = {**named, topics.REPLAY_OF: str(one.row.id)}
    kept = [(name, told) for name, told in one.headers if name not in own and name not in topics.OF_A_REFUSAL]
    return (*((name, told.encode()) for name, told in own.items()), *kept)


def _source(row: Row) -> str:
    """Where the person came from; who came from nowhere that is told, came from here."""
    return row.source or "replay"


def _fetch(row: Row, fetch_id: str, uuid: UUID, moment: int) -> Outgoing:
    at = moment if 0 <= moment <= steps.LATEST_MS else int(time.time() * 1000)
    fetch = Fetch(
        fetch_id=fetch_id, source=_source(row), kind="replay", seed=None, page=None, due=None, requested=1, received=1,
        rejected=0, uuids=[str(uuid)], arrived_at=iso(at), nationalities=[],
    )  # fmt: skip
    headers = ((topics.FETCH_ID, fetch_id.encode()), (topics.SOURCE, _source(row).encode()))
    return Outgoing(topics.FETCHES, fetch_id.encode(), msgspec.json.encode(fetch), at, headers)
