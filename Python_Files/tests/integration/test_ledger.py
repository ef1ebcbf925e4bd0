"""The ledger and the reconciliation with real servers: what is missing is named, what was removed is known, what is on
the way is not taken for lost, and NocoDB is mended without touching what people did there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from conftest import Instance, free_ports, standing_still, until
from pipeline import ledger, topics
from pipeline.database.connection import connect
from pipeline.database.users import COLUMNS, person_of
from pipeline.nocodb import UserRow
from pipeline.nocodb.client import Client
from pipeline.nocodb.tables import find_base, find_table

pytestmark = pytest.mark.integration

LEDGER, RECONCILE = "Administrator_scripts/Ledger.sh", "Administrator_scripts/Reconcile.sh"
PLACES = ("stored", "repeats", "removed", "rejected", "on_the_way", "missing")


def read(stack: Instance, *arguments: str, code: int | None = None) -> dict[str, Any]:
    """The ledger; with ``code`` that exit code is demanded. The account of every fetch and store must add up."""
    done = stack.run(LEDGER, "--json", *arguments, ok=False)
    told: dict[str, Any] = json.loads(done.stdout)
    assert code is None or done.returncode == code, done.stdout[:3000]
    assert told["ok"] is (done.returncode == 0)
    for one in (told["totals"], *told["fetches"]):
        for store in ("postgresql", "nocodb"):
            assert sum(one[store][place] for place in PLACES) == one["fetched"]
    return told


def reconcile(stack: Instance, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = stack.run(RECONCILE, "--json", *arguments, ok=False)
    assert done.returncode == code, done.stdout
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def settled(stack: Instance) -> bool:
    totals = read(stack)["totals"]
    return not any(totals[store][place] for store in ("postgresql", "nocodb") for place in ("on_the_way", "missing"))


@pytest.fixture(scope="module")
def clean(stack: Instance) -> Instance:
    """The instance without those whom other tests put into the middle of the chain, and whom nobody fetched."""
    until(lambda: settled(stack), "everybody has arrived", 240)
    strangers = [UUID(one["uuid"]) for one in read(stack)["extra"]]
    users = stack.users()
    try:
        users.delete(strangers)
    finally:
        users.close()
    stack.rows("DELETE FROM pipeline.users WHERE uuid = ANY (%s)", (strangers,))
    stack.rows("DELETE FROM pipeline.nocodb_users WHERE uuid = ANY (%s)", (strangers,))
    return stack


def somebody(stack: Instance, count: int = 1) -> list[dict[str, Any]]:
    """Rows of people who are in both stores and were not touched by a test before."""
    names = (*COLUMNS, "created_at")
    found = stack.rows(
        f"SELECT {', '.join(names)} FROM pipeline.users u WHERE source = 'stand-in' "  # noqa: S608 - our own names
        "AND EXISTS (SELECT FROM pipeline.nocodb_users w WHERE w.uuid = u.uuid) "
        "AND NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = u.uuid) "
        "AND NOT EXISTS (SELECT FROM pipeline.repeats r WHERE r.uuid = u.uuid) ORDER BY random() LIMIT %s",
        (count,),
    )
    return [dict(zip(names, row, strict=True)) for row in found]


def table_of(stack: Instance) -> dict[str, Any]:
    client = Client(stack.settings)
    try:
        base = find_base(client)
        assert base
        table = find_table(client, base)
        assert table
        return {**table, "base": base["id"]}
    finally:
        client.close()


def lose_in_nocodb(stack: Instance, uuids: list[UUID] | None) -> None:
    """Delete rows behind NocoDB's back, as the loss of a disk would; None: all of them."""
    table = table_of(stack)
    connection = connect(stack.settings, role="nocodb", database="nocodb", name="tests")
    try:
        with connection, connection.cursor() as cursor:
            name = f'"{table["base"]}"."{table["table_name"]}"'
            if uuids is None:
                cursor.execute(f"DELETE FROM {name} WHERE uuid IS NOT NULL")  # noqa: S608
            else:
                cursor.execute(f"DELETE FROM {name} WHERE uuid = ANY (%s)", ([str(one) for one in uuids],))  # noqa: S608
                assert cursor.rowcount == len(uuids)
    finally:
        connection.close()


def delete_in_nocodb(stack: Instance, uuids: list[UUID]) -> None:
    """As a person does it: over NocoDB's own interface."""
    users = stack.users()
    try:
        users.delete(uuids)
    finally:
        users.close()


@contextmanager
def without(stack: Instance, row: dict[str, Any]) -> Iterator[None]:
    """The person's row is gone from PostgreSQL for a while."""
    stack.rows("DELETE FROM pipeline.users WHERE uuid = %s", (row["uuid"],))
    try:
        yield
    finally:
        insert(stack, row)


def insert(stack: Instance, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    stack.rows(f"INSERT INTO pipeline.users ({names}) VALUES ({marks})", tuple(row.values()))  # noqa: S608


def test_an_ordinary_run_is_accounted_for(clean: Instance) -> None:
    told = read(clean, code=0)
    assert told["totals"]["fetched"] >= 10
    assert (told["missing"], told["extra"], told["unreachable"]) == ([], [], [])
    assert sum(one["fetched"] for one in told["fetches"]) == told["totals"]["fetched"]
    shown = clean.run(LEDGER).stdout
    assert "Everybody is accounted for" in shown
    assert shown.count(" fetched = ") == 2
    assert clean.run(RECONCILE).stdout.strip() == "both stores agree; there was nothing to do"


def test_people_fetched_twice_are_repeats_of_their_second_fetch(clean: Instance) -> None:
    seed = f"ledger-{uuid4().hex[:6]}-x"
    for _ in range(2):
        clean.feed("--offline", "--results", "20", "--seed", seed)

    def both() -> list[dict[str, Any]] | None:
        found = [one for one in read(clean, code=0)["fetches"] if one["kind"] == "by hand"][:2]
        arrived = all(one[store]["on_the_way"] == 0 for one in found for store in ("postgresql", "nocodb"))
        return found if len(found) == 2 and arrived else None

    second, first = until(both, "both fetches have arrived")
    for store in ("postgresql", "nocodb"):
        assert [first[store][place] for place in PLACES] == [20, 0, 0, 0, 0, 0]
        assert [second[store][place] for place in PLACES] == [0, 20, 0, 0, 0, 0]


def test_who_was_deleted_by_hand_is_missing_and_named_with_the_last_place(clean: Instance) -> None:
    (row,) = somebody(clean)
    with without(clean, row):
        told = read(clean, code=1)
        assert told["missing"] == [
            {
                "uuid": str(row["uuid"]),
                "store": "postgresql",
                "fetch_id": row["fetch_id"],
                "topic": topics.LABELLED,
                "partition": row["source_partition"],
                "offset": row["source_offset"],
            }
        ]
        assert read(clean, "--fetch", row["fetch_id"], code=1)["missing"] == told["missing"]
        assert ledger.missing_of(clean.settings, row["fetch_id"]) == [row["uuid"]]
        assert f"at {row['source_offset']}, of {row['fetch_id']}" in clean.run(LEDGER, ok=False).stdout
    assert read(clean, code=0)["missing"] == []
    assert ledger.missing_of(clean.settings, row["fetch_id"]) == []


def test_only_a_refusal_of_the_same_fetch_explains_who_is_not_stored(clean: Instance) -> None:
    (row,) = somebody(clean)

    def told(fetch_id: str, outcome: str | None) -> tuple[int, int]:
        """Rejected and missing of the row's fetch, with a refused record about the person."""
        clean.rows("DELETE FROM pipeline.rejected WHERE reason = 'ledger_test'")
        clean.rows(
            "INSERT INTO pipeline.rejected (stage, reason, message, topic, fetch_id, source, uuid, rejected_at, "
            "source_topic, source_partition, source_offset, in_postgresql) VALUES "
            "(%s, 'ledger_test', '', 'users.timestamped', %s, '', %s, now(), 1, 0, %s, %s)",
            (topics.ADD_LABEL, fetch_id, row["uuid"], 10**12, outcome),
        )
        (entry,) = read(clean, "--fetch", row["fetch_id"])["fetches"]
        return entry["postgresql"]["rejected"], entry["postgresql"]["missing"]

    try:
        with without(clean, row):
            assert told(row["fetch_id"], None) == (1, 0)
            assert told("another-fetch", None) == (0, 1)
            assert told(row["fetch_id"], "stored") == (0, 1), "it was sent again and stored, and is gone nevertheless"
    finally:
        clean.rows("DELETE FROM pipeline.rejected WHERE reason = 'ledger_test'")
    read(clean, code=0)


def test_who_was_never_fetched_is_named_and_left_alone(clean: Instance) -> None:
    (row,) = somebody(clean)
    stranger = {**row, "uuid": uuid4(), "source_offset": 10**12}
    insert(clean, stranger)
    try:
        told = read(clean, code=1)
        assert told["extra"] == [{"uuid": str(stranger["uuid"]), "store": "postgresql"}]
        assert told["missing"] == []
        report = reconcile(clean, code=1)
        assert report["extra"]["names"] == [f"{stranger['uuid']} in PostgreSQL"]
        assert report["written"]["people"] == 0
        assert str(stranger["uuid"]) not in clean.in_nocodb()
    finally:
        clean.rows("DELETE FROM pipeline.users WHERE uuid = %s", (stranger["uuid"],))
    read(clean, code=0)


def test_who_was_never_fetched_is_found_in_nocodb_too(clean: Instance) -> None:
    (row,) = somebody(clean)
    stranger = uuid4()
    users = clean.users()
    try:
        person = person_of({**row, "uuid": stranger})
        assert users.insert([UserRow(person, "nobody's", "tests")]) == []
        assert read(clean, code=1)["extra"] == [{"uuid": str(stranger), "store": "nocodb"}]
        reconcile(clean, code=1)
        assert users.present([stranger]) == {stranger}, "rows of people's own making stay"
    finally:
        users.delete([stranger])
        users.close()
    read(clean, code=0)


def test_who_was_deleted_in_nocodb_is_removed_and_stays_so_until_brought_back(clean: Instance) -> None:
    one, two = somebody(clean, 2)
    gone = [one["uuid"], two["uuid"]]
    before = read(clean, code=0)["totals"]["nocodb"]["removed"]
    delete_in_nocodb(clean, gone)
    assert clean.status()["stores"]["nocodb"]["removed"] == before + 2, "the status says so at once"
    told = read(clean, code=0)
    assert told["totals"]["nocodb"]["removed"] == before + 2
    assert (
        clean.rows("SELECT store, why FROM pipeline.removed WHERE uuid = ANY (%s)", (gone,))
        == [("nocodb", "removed in NocoDB")] * 2
    )
    assert clean.status()["stores"]["nocodb"]["removed"] == before + 2, "and the same once it is on record"
    assert reconcile(clean)["written"]["people"] == 0
    # One comes back by a person's hand, the other by the project's.
    users = clean.users()
    try:
        users.insert([UserRow(person_of(one), one["fetch_id"], one["source"])])
        assert read(clean, code=0)["totals"]["nocodb"]["removed"] == before + 1
        report = reconcile(clean, "--bring-back")
        assert [name.split()[0] for name in report["written"]["names"]] == [str(two["uuid"])]
        assert users.present(gone) == set(gone)
    finally:
        users.close()
    assert read(clean, code=0)["totals"]["nocodb"]["removed"] == before
    assert clean.rows("SELECT 1 FROM pipeline.removed WHERE uuid = ANY (%s)", (gone,)) == []


@pytest.fixture
def unscheduled(clean: Instance) -> Iterator[None]:
    """Without the schedule, whose hourly reconciliation would mend what the test has yet to look at."""
    with standing_still(clean, "scheduler"):
        yield


@pytest.mark.usefixtures("unscheduled")
def test_rows_that_nocodb_lost_are_written_again_and_nobody_elses_row_is_touched(clean: Instance) -> None:
    *lost, kept = somebody(clean, 6)
    uuids = [row["uuid"] for row in lost]
    users, client = clean.users(), Client(clean.settings)
    try:
        as_it_was = {row["UUID"]: row for row in users.rows(uuids)}
        (edited,) = users.rows([kept["uuid"]])
        path = f"/api/v2/tables/{table_of(clean)['id']}/records"
        client.call("PATCH", path, json=[{"Id": edited["Id"], "Company": "edited by a person"}])
        lose_in_nocodb(clean, uuids)
        clean.rows("DELETE FROM pipeline.nocodb_users WHERE uuid = ANY (%s)", (uuids,))
        told = read(clean, code=1)
        assert {(one["uuid"], one["store"]) for one in told["missing"]} == {(str(one), "nocodb") for one in uuids}
        report = reconcile(clean)
        assert {name.split()[0] for name in report["written"]["names"]} == {str(one) for one in uuids}
        assert f"{lost[0]['first_name']} {lost[0]['last_name']}" in " ".join(report["written"]["names"])
        own = ("Id", "CreatedAt", "UpdatedAt", "Portrait", "nc_order")
        for row in users.rows(uuids):
            was = as_it_was[row["UUID"]]
            assert {k: v for k, v in row.items() if k not in own} == {k: v for k, v in was.items() if k not in own}
            assert row["Portrait"][0]["path"] == was["Portrait"][0]["path"]
        assert users.rows([kept["uuid"]])[0]["Company"] == "edited by a person"
        client.call("PATCH", path, json=[{"Id": edited["Id"], "Company": kept["company"]}])
    finally:
        users.close()
        client.close()
    read(clean, code=0)


@pytest.mark.usefixtures("unscheduled")
def test_a_note_that_was_lost_is_made_again_and_nobody_is_written_twice(clean: Instance) -> None:
    (row,) = somebody(clean)
    clean.rows("DELETE FROM pipeline.nocodb_users WHERE uuid = %s", (row["uuid"],))
    assert reconcile(clean)["noted"]["people"] == 1
    users = clean.users()
    try:
        assert len(users.rows([row["uuid"]])) == 1
    finally:
        users.close()
    read(clean, code=0)


@pytest.mark.usefixtures("unscheduled")
def test_who_was_removed_from_postgresql_on_purpose_is_deleted_in_nocodb(clean: Instance) -> None:
    """As Reset.sh --source leaves it when it is killed half-way."""
    (row,) = somebody(clean)
    for store in ("postgresql", "nocodb"):
        clean.rows(
            "INSERT INTO pipeline.removed (uuid, store, fetch_id, source, why) VALUES (%s, %s, %s, %s, %s)",
            (row["uuid"], store, row["fetch_id"], row["source"], "removed by Reset.sh"),
        )
    clean.rows("DELETE FROM pipeline.users WHERE uuid = %s", (row["uuid"],))
    assert reconcile(clean)["deleted"]["names"] == [str(row["uuid"])]
    assert str(row["uuid"]) not in clean.in_nocodb()
    assert reconcile(clean, "--bring-back")["written"]["people"] == 0, "nobody brings back whom Reset.sh removed"
    entry = next(one for one in read(clean, code=0)["fetches"] if one["fetch_id"] == row["fetch_id"])
    assert entry["postgresql"]["removed"] >= 1
    assert entry["nocodb"]["removed"] >= 1


@pytest.mark.parametrize("stage", [topics.ADD_LABEL, topics.TO_POSTGRESQL, topics.TO_NOCODB])
def test_who_waits_for_a_stage_is_on_the_way_and_not_missing(clean: Instance, stage: str) -> None:
    until(lambda: settled(clean), "everybody has arrived")
    clean.run("Administrator_scripts/Scale.sh", stage, "0")
    try:
        clean.feed("--offline", "--results", "30")
        waits = {
            topics.ADD_LABEL: ("postgresql", "nocodb"),
            topics.TO_POSTGRESQL: ("postgresql",),
            topics.TO_NOCODB: ("nocodb",),
        }[stage]

        def told() -> dict[str, Any] | None:
            entry = next(one for one in read(clean, code=0)["fetches"] if one["kind"] == "by hand")
            ways = {store: entry[store]["on_the_way"] for store in ("postgresql", "nocodb")}
            return entry if ways == {store: 30 if store in waits else 0 for store in ways} else None

        until(told, "30 people are on the way to the stores that the stage serves")
        report = reconcile(clean)
        assert report["written"]["people"] == 0, "whoever is on the way is left to the sink"
    finally:
        clean.run("Administrator_scripts/Scale.sh", stage, "1")
    until(lambda: settled(clean), "everybody has arrived")
    read(clean, code=0)


def test_the_ledger_says_nothing_wrong_while_thousands_are_under_way(clean: Instance) -> None:
    def feed() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(clean.root / "Administrator_scripts/Get_Data.sh"), "--offline", "--results", "2000"],
            env={**os.environ, **clean.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    looks, moving, fed, feeding = 0, 0, 1, feed()
    while looks < 2 or moving < 1 or feeding.poll() is None or not settled(clean):
        if feeding.poll() == 0 and (looks < 2 or moving < 1) and fed < 10:
            # A look at everybody of all the tests may take longer than two thousand people do.
            fed, feeding = fed + 1, feed()
        told = read(clean, code=0)
        reconcile(clean)
        looks += 1
        moving += bool(told["totals"]["nocodb"]["on_the_way"])
        assert feeding.poll() in (None, 0)
        assert looks < 100, "no look saw people under way"
    # Whoever the reconciliation had written before the sink would be a repeat there.
    newest = [one for one in read(clean, code=0)["fetches"] if one["kind"] == "by hand"][: 2 * fed]
    assert [one["nocodb"]["stored"] for one in newest] == [1000] * 2 * fed
    assert clean.rows(
        "SELECT count(*) FROM pipeline.repeats WHERE fetch_id = ANY (%s)", ([one["fetch_id"] for one in newest],)
    ) == [(0,)]


def test_a_table_that_lost_nearly_everybody_is_no_persons_choice(clean: Instance) -> None:
    everybody = clean.in_nocodb()
    assert len(everybody) > 100
    lose_in_nocodb(clean, None)
    told = read(clean, code=1)
    assert told["totals"]["nocodb"]["missing"] >= len(everybody)
    assert reconcile(clean, code=1)["unexplained"]["people"] >= len(everybody)
    assert "--bring-back" in clean.run(LEDGER, ok=False).stdout
    reconcile(clean, "--bring-back")
    assert clean.in_nocodb() >= everybody
    read(clean, code=0)


@pytest.mark.parametrize("server", ["nocodb", "kafka", "postgresql"])
def test_a_server_that_does_not_answer_is_named_and_nobody_is_called_missing(clean: Instance, server: str) -> None:
    port = {"nocodb": "NOCODB_PORT", "kafka": "KAFKA_PORT", "postgresql": "POSTGRES_PORT"}[server]
    elsewhere = Instance(clean.directory, {**clean.environment, port: str(free_ports(1)[0])})
    done = elsewhere.run(LEDGER, "--json", ok=False)
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["unreachable"] == [server]
    assert (told["missing"], told["extra"]) == ([], [])
    assert (told["totals"] is None) is (server == "postgresql")
    shown = elsewhere.run(RECONCILE, ok=False)
    assert shown.returncode == 1
    assert "Traceback" not in shown.stdout
    assert shown.stdout.startswith("error:")


def test_an_unknown_fetch_and_wrong_arguments_are_told(clean: Instance) -> None:
    for arguments in (("--fetch", "no-such-fetch"), ("--since", "yesterday"), ("--nonsense",)):
        done = clean.run(LEDGER, *arguments, ok=False)
        assert done.returncode == 2, done.stdout
        assert "Traceback" not in done.stdout


def test_the_view_for_nocodb_agrees_with_the_ledger(clean: Instance) -> None:
    told = {one["fetch_id"]: one for one in read(clean, code=0)["fetches"]}
    rows = clean.rows(
        "SELECT fetch_id, sum(fetched), sum(postgresql_stored + postgresql_known), sum(postgresql_open), "
        "sum(nocodb_stored + nocodb_known), sum(nocodb_removed), sum(nocodb_open) FROM pipeline.ledger GROUP BY 1"
    )
    for fetch_id, fetched, stored, still_open, in_nocodb, removed, nocodb_open in rows:
        if fetch_id in told:  # the newest may have come since
            one = told[fetch_id]
            assert fetched == one["fetched"]
            if one["postgresql"]["on_the_way"] or one["nocodb"]["on_the_way"]:
                continue  # it was the newest then, and has arrived since
            assert stored == one["postgresql"]["stored"] + one["postgresql"]["repeats"]
            assert in_nocodb == one["nocodb"]["stored"] + one["nocodb"]["repeats"]
            assert removed == one["nocodb"]["removed"]
            assert (still_open, nocodb_open) == (0, 0)
