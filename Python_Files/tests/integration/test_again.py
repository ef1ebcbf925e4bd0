"""Whoever a fetch lost is asked for again, for real: the ledger names them, --again brings them back, once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from conftest import Instance, standing_still, until
from pipeline import broker, topics
from pipeline.feed.run import Feed
from pipeline.records import Outgoing, Publisher

pytestmark = pytest.mark.integration

# All of a row but when it was fetched and written, and where its record stood.
SAME = "to_jsonb(u) - 'fetched_at' - 'created_at' - 'source_topic' - 'source_partition' - 'source_offset'"


def ledger(stack: Instance, fetch_id: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the account of one fetch."""
    done = stack.run("Administrator_scripts/Ledger.sh", "--fetch", fetch_id, "--json", ok=False)
    told: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, told


def adds_up(stack: Instance, fetch_id: str) -> bool:
    code, told = ledger(stack, fetch_id)
    stores = (told["totals"]["postgresql"], told["totals"]["nocodb"])
    return code == 0 and all(one["stored"] == told["totals"]["fetched"] for one in stores)


def newest(stack: Instance, kind: str, like: str = "%") -> str | None:
    rows = stack.rows(
        "SELECT fetch_id FROM pipeline.fetches WHERE kind = %s AND fetch_id LIKE %s "
        "ORDER BY source_offset DESC LIMIT 1",
        (kind, like),
    )
    return str(rows[0][0]) if rows else None


def people_of(stack: Instance, fetch_id: str) -> list[UUID]:
    return [
        uuid
        for (uuid,) in stack.rows(
            "SELECT u.uuid FROM pipeline.fetched_users u JOIN pipeline.fetches f "
            "USING (source_topic, source_partition, source_offset) WHERE f.fetch_id = %s ORDER BY u.ordinal",
            (fetch_id,),
        )
    ]


def rows_of(stack: Instance, uuids: Sequence[UUID]) -> dict[UUID, tuple[Any, Any]]:
    """Everybody's row and when it was fetched."""
    sql = f"SELECT uuid, {SAME}, fetched_at FROM pipeline.users u WHERE uuid = ANY (%s)"  # noqa: S608 - a constant
    return {uuid: (row, fetched_at) for uuid, row, fetched_at in stack.rows(sql, (list(uuids),))}


def lose(stack: Instance, uuids: Sequence[UUID]) -> None:
    """Make it so that they never arrived: neither a row nor a note of one, in either store."""
    for table in ("users", "nocodb_users"):
        stack.rows(f"DELETE FROM pipeline.{table} WHERE uuid = ANY (%s)", (list(uuids),))  # noqa: S608 - two constants
    users = stack.users()
    try:
        users.delete(list(uuids))
    finally:
        users.close()


@pytest.fixture
def fetch_id(stack: Instance) -> str:
    """A fetch of ten of the stand-in's people, all of them in both stores."""
    before = newest(stack, "by hand")
    stack.feed("--offline", "--results", "10")
    made: str = until(
        lambda: one if (one := newest(stack, "by hand")) != before else None, "the fetch is in the database"
    )
    until(lambda: adds_up(stack, made), "all its people are in both stores", 180)
    return made


def test_the_lost_are_named_and_come_back_under_the_fetch_that_lost_them(stack: Instance, fetch_id: str) -> None:
    everybody = people_of(stack, fetch_id)
    lost = everybody[::2]
    before = rows_of(stack, everybody)
    lose(stack, lost)
    code, told = ledger(stack, fetch_id)
    assert code == 1
    assert {(one["uuid"], one["store"]) for one in told["missing"]} == {
        (str(uuid), store) for uuid in lost for store in ("postgresql", "nocodb")
    }
    assert "5 missing people sent again" in stack.feed("--again", fetch_id).stdout
    until(lambda: adds_up(stack, fetch_id), "the fetch adds up again", 120)
    after = rows_of(stack, everybody)
    for uuid in everybody:
        assert after[uuid][0] == before[uuid][0]
        assert (after[uuid][1] > before[uuid][1]) == (uuid in lost), "fetched_at is when they were really fetched"
    assert stack.rows("SELECT count(*) FROM pipeline.repeats WHERE uuid = ANY (%s)", (everybody,)) == [(0,)]
    until(lambda: (totals := stack.status()["totals"]) and totals["missing"] == 0, "the status misses nobody")
    again_id = until(lambda: newest(stack, "again", f"{fetch_id}-again-%"), "the asking again is noted")
    assert ledger(stack, again_id)[0] == 0, "the asking itself owes nobody"
    assert f"nobody of {fetch_id} is missing" in stack.feed("--again", fetch_id).stdout


def test_asked_for_twice_nobody_is_sent_twice(stack: Instance, fetch_id: str) -> None:
    lost = people_of(stack, fetch_id)[:3]
    lose(stack, lost)
    with standing_still(stack, topics.ADD_LABEL):
        assert "3 missing people sent again" in stack.feed("--again", fetch_id).stdout
        second = stack.feed("--again", fetch_id)
        assert "nothing was sent" in second.stdout, "they are on the way"
        _, told = ledger(stack, fetch_id)
        assert (told["totals"]["postgresql"]["on_the_way"], told["missing"]) == (3, [])
    until(lambda: adds_up(stack, fetch_id), "the fetch adds up again", 120)
    asked = stack.rows("SELECT count(*) FROM pipeline.fetches WHERE fetch_id LIKE %s", (f"{fetch_id}-again-%",))
    assert asked == [(1,)]
    assert stack.rows("SELECT count(*) FROM pipeline.repeats WHERE uuid = ANY (%s)", (lost,)) == [(0,)]


class Losing:
    """A publisher that loses every person: only the fetch's own record reaches Kafka."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def publish(self, records: Sequence[Outgoing]) -> None:
        self._publisher.publish([record for record in records if record.topic == topics.FETCHES])


def test_people_who_never_reached_kafka_are_brought_too(stack: Instance) -> None:
    settings = stack.settings_of_tests
    with (
        broker.publisher(settings, "tests") as publisher,
        Feed(settings, Losing(publisher), lambda: [], offline=True) as run,
    ):
        assert run.run_by_hand(7, None, None) == 7
    (told,) = [
        record
        for record in broker.tail(settings, topics.FETCHES, 20)
        if (record.key or b"").startswith(b"stand-in-hand")
    ][-1:]
    lost = told.fetch_id
    until(lambda: len(people_of(stack, lost)) == 7, "the fetch is in the database")
    code, account = ledger(stack, lost)
    assert code == 1
    assert {one["topic"] for one in account["missing"]} == {None}, "no topic ever held them"
    assert "7 missing people sent again" in stack.feed("--again", lost).stdout
    until(lambda: adds_up(stack, lost), "the fetch adds up", 120)


def test_an_unknown_fetch_is_told_without_a_traceback(stack: Instance) -> None:
    done = stack.feed("--again", "no-such-fetch", ok=False)
    assert done.returncode == 2
    assert "error: there is no fetch 'no-such-fetch'" in done.stdout
    assert "Traceback" not in done.stdout
