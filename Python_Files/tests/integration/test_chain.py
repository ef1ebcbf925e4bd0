"""The whole chain with real servers: real people, repeats, bad records, stages killed in the middle of their work."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from conftest import DATA, Instance, until
from pipeline import broker, topics
from pipeline.operations.supervision import Process, Supervisor
from pipeline.records import Outgoing

pytestmark = pytest.mark.integration

SAMPLE = DATA / "randomuser_200.json"
PEOPLE: list[dict[str, Any]] = json.loads(SAMPLE.read_text(encoding="utf-8"))["results"]
UUIDS = {person["login"]["uuid"] for person in PEOPLE}

COLUMNS = (
    "gender, title, first_name, last_name, street_number, street_name, city, state, country, postcode, latitude, "
    "longitude, timezone_offset, timezone_description, email, username, date_of_birth, registered_at, phone, cell, "
    "id_name, id_value, picture_large, picture_medium, picture_thumbnail, nationality"
)


def expected(person: dict[str, Any]) -> tuple[Any, ...]:
    where = person["location"]
    return (
        person["gender"], *person["name"].values(), where["street"]["number"], where["street"]["name"], where["city"],
        where["state"], where["country"], str(where["postcode"]), float(where["coordinates"]["latitude"]),
        float(where["coordinates"]["longitude"]), where["timezone"]["offset"], where["timezone"]["description"],
        person["email"], person["login"]["username"], datetime.fromisoformat(person["dob"]["date"]),
        datetime.fromisoformat(person["registered"]["date"]), person["phone"], person["cell"], person["id"]["name"],
        person["id"]["value"], *person["picture"].values(), person["nat"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def fed(stack: Instance) -> Instance:
    """The instance after the 200 real people were fed and arrived in both stores."""
    stack.feed("--file", str(SAMPLE))
    until(lambda: stack.in_postgresql() >= UUIDS, "the 200 real people are in PostgreSQL")
    until(lambda: stack.in_nocodb() >= UUIDS, "the 200 real people are in NocoDB")
    stack.settled()  # another test may have fed them before, and these are repeats then
    return stack


def repeats(stack: Instance) -> dict[str, int]:
    uuids = [UUID(one) for one in UUIDS]
    return dict(stack.rows("SELECT sink, count(*) FROM pipeline.repeats WHERE uuid = ANY (%s) GROUP BY sink", (uuids,)))


def fingerprint(stack: Instance) -> list[tuple[Any, ...]]:
    uuids = [UUID(one) for one in UUIDS]
    return stack.rows("SELECT u.* FROM pipeline.users u WHERE uuid = ANY (%s) ORDER BY uuid", (uuids,))


def test_real_people_are_stored_field_by_field_as_the_api_sent_them(fed: Instance) -> None:
    stored = {str(row[0]): row[1:] for row in fed.rows(f"SELECT uuid, {COLUMNS} FROM pipeline.users")}  # noqa: S608
    for person in PEOPLE:
        assert stored[person["login"]["uuid"]] == expected(person)


def test_no_credential_of_the_api_is_anywhere_in_the_database(fed: Instance) -> None:
    columns = fed.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'pipeline' AND table_name = 'users'"
    )
    assert not {name for (name,) in columns} & {"password", "salt", "md5", "sha1", "sha256"}
    hashes = {person["login"]["sha256"] for person in PEOPLE}
    for (row,) in fed.rows("SELECT u::text FROM pipeline.users u"):
        assert not any(one in row for one in hashes)


def test_nocodb_shows_the_same_people(fed: Instance) -> None:
    users = fed.users()
    try:
        rows = {row["UUID"]: row for row in users.rows([UUID(one) for one in UUIDS])}
    finally:
        users.close()
    companies = {
        str(uuid): company
        for uuid, company in fed.rows("SELECT uuid, company FROM pipeline.users WHERE source = 'file'")
    }
    assert rows.keys() == UUIDS
    for person in PEOPLE:
        row = rows[person["login"]["uuid"]]
        assert row["First name"] == person["name"]["first"]
        assert row["Last name"] == person["name"]["last"]
        assert row["City"] == person["location"]["city"]
        assert row["Postcode"] == str(person["location"]["postcode"])
        assert row["E-mail"] == person["email"]
        assert row["Company"] == companies[person["login"]["uuid"]]
        assert row["Portrait"], "everybody has a face"


def test_people_fed_again_are_repeats_and_change_no_row(fed: Instance) -> None:
    before, counted = fingerprint(fed), repeats(fed)
    for _ in range(2):
        fed.feed("--file", str(SAMPLE))
    for sink in (topics.TO_POSTGRESQL, topics.TO_NOCODB):
        until(
            lambda sink=sink: repeats(fed).get(sink, 0) - counted.get(sink, 0) >= 400, f"{sink} has counted 400 repeats"
        )
    assert {sink: count - counted.get(sink, 0) for sink, count in repeats(fed).items()} == {
        topics.TO_POSTGRESQL: 400,
        topics.TO_NOCODB: 400,
    }
    assert fingerprint(fed) == before


def test_a_file_that_is_no_response_is_told_and_nothing_is_sent(stack: Instance) -> None:
    wrong = stack.directory / "wrong.json"
    for content in ("", "nonsense", "[]", '{"results": []}', '{"results": 5}'):
        wrong.write_text(content, encoding="utf-8")
        before = stack.rows("SELECT count(*) FROM pipeline.fetches WHERE kind = 'file'")
        done = stack.feed("--file", str(wrong), ok=False)
        assert done.returncode == 2, done.stdout
        assert "error:" in done.stdout
        assert "Traceback" not in done.stdout
        assert stack.rows("SELECT count(*) FROM pipeline.fetches WHERE kind = 'file'") == before


BAD = {
    "not_utf8": b"\xff\xfe",
    "not_json": b"{",
    "empty": None,
    "wrong_shape": b"[]",
    "nul_character": json.dumps(
        {**PEOPLE[0], "phone": "a\0b", "fetched_at": "2026-01-01T00:00:00.000Z", "company": "C"}
    ).encode(),
    "too_deep": b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
}


@pytest.mark.parametrize("topic", [topics.FETCHED, topics.TIMESTAMPED, topics.LABELLED])
def test_bad_records_are_set_aside_with_their_reason_and_block_nobody(stack: Instance, topic: str) -> None:
    mark = f"bad-{topic}-{random.randrange(10**9)}"
    good = str(UUID(int=random.getrandbits(128), version=4))
    person = json.loads(json.dumps(PEOPLE[0]))
    person["login"]["uuid"] = good
    person |= {"fetched_at": "2026-01-01T00:00:00.000Z", "company": "<b>O'Brien</b>; DROP TABLE users"}
    values = [*BAD.values(), json.dumps(person).encode()]
    with broker.publisher(stack.settings_of_tests, "tests") as publisher:
        headers = (("fetch-id", mark.encode()), ("source", b"tests"))
        publisher.publish([Outgoing(topic, good.encode(), value, 1_700_000_000_000, headers) for value in values])
    rows = until(
        lambda: (
            found
            if len(
                found := stack.rows(
                    "SELECT reason, value, topic, stage FROM pipeline.rejected WHERE fetch_id = %s AND stage <> %s",
                    (mark, topics.TO_NOCODB),
                )
            )
            >= len(BAD)
            else None
        ),
        "all bad records are in pipeline.rejected",
    )
    assert {reason: None if value is None else bytes(value) for reason, value, _, _ in rows} == BAD
    assert {where for _, _, where, _ in rows} == {topic}
    # All of them have the same key, so the good one came after them through the same partition.
    until(lambda: good in stack.in_postgresql(), "the good record behind the bad ones is in PostgreSQL")
    until(lambda: good in stack.in_nocodb(), "the good record behind the bad ones is in NocoDB")


def test_every_stage_killed_in_the_middle_of_its_work_loses_nothing_and_doubles_nothing(stack: Instance) -> None:
    seed = random.randrange(10**6)
    print(f"the seed of the moments: {seed}")
    chance = random.Random(seed)
    ((begin,),) = stack.rows("SELECT clock_timestamp()")
    stack.feed("--offline", "--results", "3000")
    killed: list[str] = []
    supervisor = Supervisor(stack.settings)
    for name in topics.STAGES * 2:

        def living(name: str = name) -> int:
            mine = (one for one in supervisor.processes() if one.part == name)
            return next((one.pid for one in mine if one.state in ("RUNNING", "STARTING")), 0)

        pid = until(living, f"{name} lives")
        # Not the condition of anything: the moment of the blow is to be any.
        time.sleep(chance.uniform(0, 0.5))
        os.kill(pid, signal.SIGKILL)
        killed.append(name)

    def brought() -> set[str]:
        return {
            str(uuid)
            for (uuid,) in stack.rows(
                "SELECT u.uuid FROM pipeline.fetched_users u JOIN pipeline.fetches f "
                "USING (source_topic, source_partition, source_offset) WHERE f.kind = 'by hand' AND f.stored_at > %s",
                (begin,),
            )
        }

    fetched = until(lambda: they if len(they := brought()) >= 3000 else None, "the fetch is noted", 180)
    assert len(fetched) == 3000
    until(lambda: fetched <= stack.in_postgresql(), "everybody is in PostgreSQL", 180)
    until(lambda: fetched <= stack.in_nocodb(), "everybody is in NocoDB", 180)
    assert len(killed) == 8
    users = stack.users()
    try:
        everybody = [str(uuid) for uuid in users.uuids()]
    finally:
        users.close()
    assert len(everybody) == len(set(everybody)), "nobody is twice in NocoDB"
    # The primary key forbids it in PostgreSQL; a record processed twice would show as a repeat.
    twice = stack.rows("SELECT count(*) FROM pipeline.repeats WHERE uuid = ANY (%s)", ([UUID(one) for one in fetched],))
    assert twice == [(0,)]


@pytest.mark.timeout(1200)
def test_kafka_gone_for_longer_than_a_transaction_may_last_loses_nothing(stack: Instance) -> None:
    """The broker then rolls the batch at hand back by itself, and the client must notice."""
    supervisor = Supervisor(stack.settings)

    def process(part: str) -> Process | None:
        mine = (one for one in supervisor.processes() if one.part == part and one.state == "RUNNING")
        return next(mine, None)

    first = until(lambda: process(topics.ADD_TIMESTAMP), "the first stage runs")
    supervisor.stop(first.part, first.name)
    until(lambda: process(topics.ADD_TIMESTAMP) is None, "the first stage has ended")

    def taken() -> int:
        return sum(one.taken.processed for one in broker.group_positions(stack.settings, topics.ADD_TIMESTAMP).values())

    before = taken()
    known = stack.in_postgresql()
    stack.feed("--offline", "--results", "6000")
    supervisor.start(first.part, first.name)
    until(lambda: taken() > before, "the first stage is in the middle of its work")
    kafka = until(lambda: process("kafka"), "Kafka runs")
    os.kill(kafka.pid, signal.SIGKILL)
    supervisor.stop("kafka", "kafka")
    # The condition is time itself: the transaction's time-out passes while nobody is there to be told.
    time.sleep(broker.TRANSACTION_TIMEOUT_MS / 1000 + 3)
    supervisor.start("kafka", "kafka")
    until(lambda: broker.ready(stack.settings) is None, "Kafka answers again", 120)
    until(lambda: len(stack.in_postgresql() - known) >= 6000, "all 6,000 people are in PostgreSQL", 240)
    until(lambda: stack.in_nocodb() >= stack.in_postgresql(), "and in NocoDB", 240)
    until(lambda: stack.status()["ready"], "everything is ready again")
    assert stack.settled()["missing"] == 0


def test_status_tells_equal_counts(stack: Instance) -> None:
    def equal() -> dict[str, Any] | None:
        told = stack.status()
        totals = told["totals"]
        equal = totals and totals["postgresql"] == totals["nocodb"] and not totals["on_the_way"]
        return told if equal and told["ready"] else None

    told = until(equal, "the totals of both stores are equal, and it is ready")
    assert told["totals"]["missing"] == 0
    assert {stage["name"] for stage in told["stages"]} == set(topics.STAGES)
    assert told["urls"]["nocodb"].startswith("http")
    assert {"postgresql", "kafka", "nocodb", "scheduler"} <= {service["name"] for service in told["services"]}
