"""A replay is the same, byte for byte: users.fetched read again from its begin, into an empty database."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from conftest import DATA, Instance, end, new_instance, until
from pipeline import broker, topics
from pipeline.database.connection import connect
from pipeline.records import Incoming, Outgoing
from torture.disk import SmallDisk
from torture.feeder import people_of

# What they wait for may take longer than a test may by default.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

PARTS = f"postgresql,kafka,{topics.ADD_TIMESTAMP},{topics.ADD_LABEL},{topics.TO_POSTGRESQL}"

# Not of the record: when the row was made, and where in Kafka the record stood.
_NOT_COMPARED = ("created_at", "source_topic", "source_partition", "source_offset")


class Empty(NamedTuple):
    """Kafka, PostgreSQL and the stages between them, with nobody in them; ``disk`` is under PostgreSQL, if by root."""

    instance: Instance
    disk: SmallDisk | None


@pytest.fixture(scope="module")
def started() -> Iterator[Empty]:
    instance = new_instance()
    disk = SmallDisk(instance)
    small = disk.possible() and disk.make()
    instance.run("Project_Start.sh", "--offline", "--only", PARTS)
    yield Empty(instance, disk if small else None)
    end(instance, before_removal=disk.remove)


@pytest.fixture
def empty(started: Empty) -> Instance:
    return started.instance


def columns(instance: Instance) -> list[str]:
    rows = instance.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'pipeline' AND table_name = 'users' "
        "ORDER BY ordinal_position"
    )
    return [name for (name,) in rows if name not in _NOT_COMPARED]


def copied(instance: Instance, uuids: Collection[str]) -> bytes:
    """The rows of these people as COPY writes them, in the order of the uuids."""
    listed = ", ".join(f'"{name}"' for name in columns(instance))
    connection = connect(instance.settings, name="tests")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE chosen (uuid uuid PRIMARY KEY) ON COMMIT DROP")
            cursor.copy_expert("COPY chosen FROM STDIN", io.StringIO("".join(f"{uuid}\n" for uuid in uuids)))
            told = io.BytesIO()
            cursor.copy_expert(
                f"COPY (SELECT {listed} FROM pipeline.users JOIN chosen USING (uuid) ORDER BY uuid) TO STDOUT",  # noqa: S608
                told,
            )
            return told.getvalue()
    finally:
        connection.close()


def rejected(instance: Instance, marks: Collection[str]) -> list[tuple[Any, ...]]:
    """What was refused of these fetches, without where it stood and when it was refused."""
    return instance.rows(
        "SELECT stage, reason, message, topic, fetch_id, source, uuid, value_text, value::text, key::text, fetched_at "
        "FROM pipeline.rejected WHERE fetch_id = ANY (%s) AND topic = %s ORDER BY fetch_id, message, value::text",
        (list(marks), topics.FETCHED),
    )


def replay(records: Collection[Incoming], instance: Instance) -> None:
    """The very same records - key, value, headers, moment - in the order of each partition."""
    ordered = sorted(records, key=lambda record: (record.place.partition, record.place.offset))
    with broker.publisher(instance.settings_of_tests, "tests") as publisher:
        for begin in range(0, len(ordered), 2000):
            publisher.publish(
                [
                    Outgoing(topics.FETCHED, record.key, record.value, record.timestamp_ms, record.headers)
                    for record in ordered[begin : begin + 2000]
                ]
            )


def test_users_fetched_read_again_into_an_empty_database_gives_the_same_rows(stack: Instance, empty: Instance) -> None:
    seed = f"replay-{random.randrange(10**9):09}-seed"
    mark = f"bad-{seed}"
    for page in (1, 2, 1):  # repeats among them
        stack.feed("--offline", "--seed", seed, "--page", str(page), "--results", "700")
    for _ in range(2):
        stack.feed("--file", str(DATA / "randomuser_200.json"))
    people = {*people_of(seed, 1, 700), *people_of(seed, 2, 700)}
    person = json.loads((DATA / "randomuser_200.json").read_text(encoding="utf-8"))["results"][0]
    bad = [b"\xff", b"{", None, b"[]", json.dumps({**person, "gender": 5}).encode()]
    with broker.publisher(stack.settings_of_tests, "tests") as publisher:
        headers = (("fetch-id", mark.encode()), ("source", b"tests"))
        key = str(UUID(int=random.getrandbits(128), version=4)).encode()
        publisher.publish([Outgoing(topics.FETCHED, key, value, 1_700_000_000_000, headers) for value in bad])
    until(lambda: people <= stack.in_postgresql(), "everybody is in PostgreSQL", 180)
    until(lambda: len(rejected(stack, [mark])) == len(bad), "the bad records were set aside")

    records = broker.tail(stack.settings, topics.FETCHED, 10**9, 120)
    times = Counter(str(UUID((record.key or b"").decode())) for record in records if is_uuid(record.key))
    # Other tests take people out of this database and have them fetched again: that leaves the later record's row.
    uuids = people | {uuid for uuid, count in times.items() if count == 1}
    until(lambda: status_behind(stack) == 0, "nothing of it is on the way", 120)
    uuids &= stack.in_postgresql()
    assert people <= uuids
    replay(records, empty)
    until(lambda: uuids <= empty.in_postgresql(), "all of them are in the empty database", 180)
    until(lambda: len(rejected(empty, [mark])) == len(bad), "the bad records were set aside there, too")

    first, second = copied(stack, uuids), copied(empty, uuids)
    print(f"{len(uuids)} people, {len(first)} bytes, sha256 {hashlib.sha256(first).hexdigest()}")
    assert first.count(b"\n") == len(uuids)
    other = [pair for pair in zip(first.splitlines(), second.splitlines(), strict=True) if pair[0] != pair[1]]
    assert not other, f"{len(other)} rows differ, the first: {other[0]}"
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    assert rejected(stack, [mark]) == rejected(empty, [mark])


def is_uuid(key: bytes | None) -> bool:
    try:
        UUID((key or b"").decode("ascii"))
    except ValueError:
        return False
    return True


def status_behind(instance: Instance) -> int | None:
    """How many records the three stages up to PostgreSQL still have before them; None when that cannot be told."""
    stages = {one["name"]: one["lag"] for one in instance.status()["stages"]}
    lags = [stages.get(name) for name in (topics.ADD_TIMESTAMP, topics.ADD_LABEL, topics.TO_POSTGRESQL)]
    return None if None in lags else sum(lags)


def test_a_full_disk_under_postgresql_pauses_the_sink_and_loses_nobody(started: Empty) -> None:
    empty, disk = started
    if disk is None:
        pytest.skip("NO DISK IS FILLED: only root can mount a small file system")
    seed = f"disk-{random.randrange(10**9):09}-seed"
    before = disk.complaints()
    disk.fill()
    try:
        page = 0
        while disk.complaints() == before:
            page += 1
            assert page < 30, "PostgreSQL does not notice that its disk is full"
            empty.feed("--offline", "--seed", seed, "--page", str(page), "--results", "1000")
    finally:
        disk.empty()
    everybody = {uuid for one in range(1, page + 1) for uuid in people_of(seed, one, 1000)}
    until(lambda: everybody <= empty.in_postgresql(), "everybody is in PostgreSQL", 240)
    told = [uuid for (uuid,) in empty.rows("SELECT uuid::text FROM pipeline.rejected")]
    assert not everybody & set(told), "a full disk is no reason to set a record aside"
    assert empty.rows("SELECT count(*) FROM pipeline.repeats WHERE uuid = ANY (%s::uuid[])", (list(everybody),)) == [
        (0,)
    ], "nobody was stored twice"
