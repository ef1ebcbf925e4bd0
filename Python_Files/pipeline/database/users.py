"""The PostgreSQL sink: people, runs of the feed, and refused records; rows and offsets in one transaction."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg2.extras import execute_values

from pipeline import person, topics
from pipeline.broker import Partition, TopicIdentity
from pipeline.database import rejected
from pipeline.database.connection import Cursor, RefusedForGood, passing
from pipeline.database.queries import query
from pipeline.database.sinks import Offsets, Outcome, Repeat
from pipeline.database.values import moment, word
from pipeline.errors import Rejected
from pipeline.log import event
from pipeline.person import LabelledPerson
from pipeline.records import Incoming
from pipeline.settings import Settings

logger = logging.getLogger(__name__)

COLUMNS = (
    "uuid", "gender", "title", "first_name", "last_name", "street_number", "street_name", "city", "state", "country",
    "postcode", "latitude", "longitude", "timezone_offset", "timezone_description", "email", "username",
    "date_of_birth", "registered_at", "phone", "cell", "id_name", "id_value", "picture_large", "picture_medium",
    "picture_thumbnail", "nationality", "company", "fetched_at", "fetch_id", "source", "further",
    "source_topic", "source_partition", "source_offset",
)  # fmt: skip
# created_at is the table's own default: the one value that a replay does not repeat.

_COPY = f"COPY staging ({', '.join(COLUMNS)}) FROM STDIN"
_STORE_NEW = query("store_new").format(columns=", ".join(COLUMNS))
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class FetchRecord(msgspec.Struct):
    """A run of the feed as ``pipeline.fetches`` tells it."""

    fetch_id: str
    kind: str
    source: str
    requested: int
    received: int
    seed: str | None = None
    page: int | None = None
    due: datetime | None = None
    rejected: int = 0
    nationalities: list[str] = []
    failure: str | None = None
    arrived_at: datetime | None = None
    uuids: list[UUID] = []


def row(record: Incoming, one: LabelledPerson, further: dict[str, msgspec.Raw], topic: int) -> tuple[Any, ...]:
    """The values of COLUMNS for one person."""
    where = one.location
    return (
        one.login.uuid, one.gender, one.name.title, one.name.first, one.name.last,
        where.street.number, where.street.name, where.city, where.state, where.country, where.postcode,
        where.coordinates.latitude, where.coordinates.longitude, where.timezone.offset, where.timezone.description,
        one.email, one.login.username, one.dob.date.isoformat(), one.registered.date.isoformat(),
        one.phone, one.cell, one.id.name, one.id.value,
        one.picture.large, one.picture.medium, one.picture.thumbnail, one.nat, one.company,
        one.fetched_at.isoformat(), word(record.fetch_id), word(record.source),
        msgspec.json.encode(further).decode() if further else None,
        topic, record.place.partition, record.place.offset,
    )  # fmt: skip


def person_of(values: Mapping[str, Any]) -> LabelledPerson:
    """The person of a row, by the names of its columns: what ``row`` made of them, the other way round."""
    return LabelledPerson(
        gender=values["gender"],
        name=person.Name(values["title"], values["first_name"], values["last_name"]),
        location=person.Location(
            person.Street(values["street_number"], values["street_name"]),
            values["city"], values["state"], values["country"], values["postcode"],
            person.Coordinates(repr(values["latitude"]), repr(values["longitude"])),
            person.Timezone(values["timezone_offset"], values["timezone_description"]),
        ),
        email=values["email"],
        login=person.Login(values["uuid"], values["username"]),
        dob=person.Occasion(values["date_of_birth"]),
        registered=person.Occasion(values["registered_at"]),
        phone=values["phone"],
        cell=values["cell"],
        id=person.NationalId(values["id_name"], values["id_value"]),
        picture=person.Picture(values["picture_large"], values["picture_medium"], values["picture_thumbnail"]),
        nat=values["nationality"],
        fetched_at=values["fetched_at"],
        company=values["company"],
    )  # fmt: skip


def copy_line(values: Iterable[Any]) -> str:
    """A row in the text format of COPY (PostgreSQL's documentation, "COPY", File Formats)."""
    return "\t".join("\\N" if value is None else str(value).translate(_ESCAPES) for value in values) + "\n"


class PostgresqlSink:
    """Stores batches. ``write`` returns when rows and offsets are committed, or raises and nothing is.

    Raises PassingFault (try the same records again from the stored offsets) or Fenced (end).
    """

    most: int | None = None

    def __init__(self, settings: Settings, identities: dict[str, TopicIdentity]) -> None:
        self.offsets = Offsets(settings, topics.TO_POSTGRESQL, identities)
        with passing(), self.offsets.connection as connection, connection.cursor() as cursor:
            cursor.execute(query("make_staging"))

    def position_of(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        return self.offsets.position_of(partitions)

    def write(self, batch: Sequence[Incoming]) -> Outcome:
        """Store one batch of records of any of the three topics."""
        connection = self.offsets.connection
        with passing(), connection, connection.cursor() as cursor:
            people = [record for record in batch if record.place.topic == topics.STORED]
            outcome = self._store_people(cursor, people)
            refused = list(outcome.rejected)
            for record in batch:
                if record.place.topic == topics.REJECTED:
                    self._store_rejected(cursor, record)
                elif record.place.topic == topics.FETCHES:
                    fault = self._store_fetch(cursor, record)
                    if fault:
                        refused.append((record, fault))
            outcome = Outcome(outcome.repeats, refused)
            positions = self.offsets.advance(cursor, batch, outcome)
        self.offsets.committed(positions)
        return outcome

    def _store_people(self, cursor: Cursor, records: Sequence[Incoming]) -> Outcome:
        topic = self.offsets.topics[topics.STORED]
        bad: list[tuple[Incoming, Rejected]] = []
        good: list[tuple[Incoming, tuple[Any, ...]]] = []
        for record in records:
            try:
                one = person.decode(record.value, LabelledPerson)
                good.append((record, row(record, one, person.unknown_fields(record.value or b""), topic)))
            except Rejected as fault:
                bad.append((record, fault))
        refused = self._copy(cursor, good)
        bad += refused
        if refused:
            places = {record.place for record, _ in refused}
            good = [pair for pair in good if pair[0].place not in places]
        if not good:
            return Outcome((), bad)
        cursor.execute(_STORE_NEW)
        new = set(cursor.fetchall())
        repeats = [
            Repeat(record, values[0])
            for record, values in good
            if (record.place.partition, record.place.offset) not in new
        ]
        return Outcome(repeats, bad)

    def _copy(
        self, cursor: Cursor, pairs: Sequence[tuple[Incoming, tuple[Any, ...]]]
    ) -> list[tuple[Incoming, Rejected]]:
        """Copy rows into the staging table, whose checks are those of the table; the ones it refuses for good.

        They are found by halving, so one bad row in a batch costs some ten tries, not five hundred.
        """
        if not pairs:
            return []
        cursor.execute("SAVEPOINT copying")
        try:
            cursor.copy_expert(_COPY, io.StringIO("".join(copy_line(values) for _, values in pairs)))
        except RefusedForGood as error:
            cursor.execute("ROLLBACK TO SAVEPOINT copying")
            if len(pairs) == 1:
                what = error.diag.constraint_name or error.diag.message_primary or type(error).__name__
                return [(pairs[0][0], Rejected("refused_by_database", what))]
            half = len(pairs) // 2
            return self._copy(cursor, pairs[:half]) + self._copy(cursor, pairs[half:])
        cursor.execute("RELEASE SAVEPOINT copying")
        return []

    def _store_rejected(self, cursor: Cursor, record: Incoming) -> None:
        row = rejected.store(
            cursor,
            rejected.rejected_row(
                record,
                stage=record.header(topics.STAGE),
                reason=record.header(topics.REASON),
                message=record.header(topics.MESSAGE),
                origin=None,
                rejected_at=moment(record.timestamp_ms) or datetime.now(UTC),
                source_topic=self.offsets.topics[topics.REJECTED],
            ),
        )
        rejected.note_again(cursor, record, row)

    def _store_fetch(self, cursor: Cursor, record: Incoming) -> Rejected | None:
        """Store a run of the feed; what refuses it for good, or None."""
        cursor.execute("SAVEPOINT storing")
        try:
            fetch = msgspec.json.decode(record.value or b"", type=FetchRecord)
            place = {
                "source_topic": self.offsets.topics[topics.FETCHES],
                "source_partition": record.place.partition,
                "source_offset": record.place.offset,
            }
            values = msgspec.structs.asdict(fetch)
            values["due_at"] = values.pop("due")
            values["nationalities"] = ",".join(fetch.nationalities)
            del values["uuids"]
            cursor.execute(query("store_fetch"), {**place, **values})
            if fetch.uuids:
                execute_values(
                    cursor,
                    query("store_fetched_users"),
                    [(*place.values(), ordinal, uuid) for ordinal, uuid in enumerate(fetch.uuids)],
                    page_size=1000,
                )
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Rejected("not_a_fetch", str(error))
        except (*RefusedForGood, ValueError) as error:  # psycopg2 refuses U+0000 with a ValueError
            cursor.execute("ROLLBACK TO SAVEPOINT storing")
            return Rejected("refused_by_database", " ".join(str(error).split()))
        event(
            logger, logging.INFO, "fetch stored", fetch_id=fetch.fetch_id, received=fetch.received,
            source=fetch.source, failure=fetch.failure,
        )  # fmt: skip
        return None

    def close(self) -> None:
        self.offsets.close()
