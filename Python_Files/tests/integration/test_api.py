"""The read API against the running pipeline: what it tells is what is stored; what is wrong is told by its name."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil
import pytest

from bad_input import somebody
from conftest import Instance, until
from pipeline import topics
from pipeline.database.connection import connect
from pipeline.operations.supervision import Supervisor

pytestmark = pytest.mark.integration

TEXT = "concat_ws(' ', first_name, last_name, email, username, city, company)"


@pytest.fixture(scope="module")
def api(stack: Instance) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.settings.read_api_url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def token(stack: Instance) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.settings.api_token}"}


def get(api: httpx.Client, address: str, **query: Any) -> dict[str, Any]:
    """The object of an answer that is to be 200."""
    answer = api.get(address, params=query or None)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def all_pages(api: httpx.Client, address: str) -> list[dict[str, Any]]:
    """Everything, by following the addresses of the next pages."""
    rows: list[dict[str, Any]] = []
    following: str | None = address
    while following:
        page = get(api, following)
        rows += page["data"]
        following = page["next"]
    return rows


def test_health_asks_every_server(api: httpx.Client) -> None:
    told = until(
        lambda: (answer := api.get("/api/health")).status_code == 200 and answer.json(), "every server answers in time"
    )
    assert told["status"] == "ok"
    assert set(told["checks"]) == {"postgresql", "kafka", "nocodb"}


def test_a_page_has_data_total_page_and_limit_and_ten_newest_people_unless_asked_otherwise(
    stack: Instance, api: httpx.Client
) -> None:
    page = get(api, "/api/users")
    assert (page["page"], page["limit"], len(page["data"])) == (1, 10, 10)
    as_of = page["as_of"]
    [(total,)] = stack.rows("SELECT count(*) FROM pipeline.users WHERE created_at <= %s", (as_of,))
    assert page["total"] == total
    newest = stack.rows(
        "SELECT uuid FROM pipeline.users WHERE created_at <= %s ORDER BY fetched_at DESC, uuid DESC LIMIT 10", (as_of,)
    )
    assert [row["uuid"] for row in page["data"]] == [str(uuid) for (uuid,) in newest]


def test_a_person_is_told_as_stored_and_a_stranger_is_404(stack: Instance, api: httpx.Client) -> None:
    one = get(api, "/api/users", limit=1)["data"][0]
    assert get(api, f"/api/users/{one['uuid']}") == one
    [(email,)] = stack.rows("SELECT email FROM pipeline.users WHERE uuid = %s", (one["uuid"],))
    assert one["email"] == email
    assert api.get(f"/api/users/{uuid4()}").status_code == 404
    wrong = api.get("/api/users/not-a-uuid")
    assert (wrong.status_code, wrong.json()["parameter"]) == (400, "uuid")


@pytest.mark.parametrize("sort", ["fetched_at", "-fetched_at", "last_name", "-last_name", "company", "-company"])
def test_page_after_page_brings_everybody_once_in_order(stack: Instance, api: httpx.Client, sort: str) -> None:
    stack.feed("--results", "150")
    until(lambda: get(api, "/api/users")["total"] >= 150, "150 people are stored")
    first = get(api, "/api/users", sort=sort, limit=40)
    rows = all_pages(api, f"/api/users?sort={sort}&limit=40&as_of={first['as_of']}")
    assert len(rows) == first["total"]
    assert len({row["uuid"] for row in rows}) == len(rows)
    column = sort.removeprefix("-")
    values = [row[column] for row in rows]
    assert values == sorted(values, reverse=sort.startswith("-"))


def test_pages_read_backwards_are_the_pages_read_forwards(api: httpx.Client) -> None:
    """From the last page on none is known from the one before it: they are come to from both ends of the list."""
    first = get(api, "/api/users", limit=7)
    last = -(-first["total"] // 7)
    backwards = [
        get(api, "/api/users", limit=7, page=page, as_of=first["as_of"])["data"] for page in range(last, 0, -1)
    ]
    one_by_one = all_pages(api, f"/api/users?limit=7&as_of={first['as_of']}")
    assert [row["uuid"] for page in reversed(backwards) for row in page] == [row["uuid"] for row in one_by_one]
    assert get(api, "/api/users", limit=7, page=last + 1, as_of=first["as_of"])["data"] == []


def test_nobody_who_arrives_while_a_reader_goes_from_page_to_page_shifts_the_pages(
    stack: Instance, api: httpx.Client
) -> None:
    before = get(api, "/api/users", limit=25)
    arriving = threading.Thread(target=stack.feed, args=("--results", "300"))
    arriving.start()
    rows, following = list(before["data"]), before["next"]
    until(lambda: get(api, "/api/users")["total"] > before["total"], "people arrive meanwhile")
    while following:
        page = get(api, following)
        assert page["total"] == before["total"]
        rows += page["data"]
        following = page["next"]
    arriving.join()
    assert len({row["uuid"] for row in rows}) == len(rows) == before["total"]
    assert max(row["created_at"] for row in rows) <= before["as_of"]


def test_who_is_removed_is_not_counted_any_more(stack: Instance, api: httpx.Client) -> None:
    """The totals are remembered; a removal is noticed all the same, by whoever asks a second later."""
    page = get(api, "/api/rejected", reason="a removal")
    assert page["total"] == 0
    stack.rows(
        """INSERT INTO pipeline.rejected (stage, reason, message, topic, fetch_id, source, rejected_at, source_topic,
            source_partition, source_offset)
        SELECT 'test', 'a removal', '', '', '', '', now(), min(id), 9999, 1 FROM pipeline.topics"""
    )
    # What a sink's open transaction may still come before is told when that has ended.
    until(lambda: get(api, "/api/rejected", reason="a removal")["total"] == 1, "it is counted", 60)
    stack.rows("DELETE FROM pipeline.rejected WHERE reason = 'a removal'")
    until(lambda: get(api, "/api/rejected", reason="a removal")["total"] == 0, "it is not counted", 20)


def test_a_row_that_commits_late_is_not_told_as_of_an_earlier_moment(stack: Instance, api: httpx.Client) -> None:
    """A sink's transaction bears the time at which it began: what is still open then is waited for, not overlooked."""
    stack.rows("SELECT 1")
    connection = connect(stack.settings, name="3-Add_Database-postgresql")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT now()")
            begun = cursor.fetchone()[0]
            moment = get(api, "/api/rejected")["as_of"]
        assert moment < begun.isoformat()
    finally:
        connection.rollback()
        connection.close()


def otherwise_written(name: str) -> str:
    """The name with large and small letters exchanged, but for those that cannot be changed back, as the German ß."""
    return "".join(one.swapcase() if one.swapcase().lower() == one.lower() else one for one in name)


def test_filters_and_search_find_exactly_whom_the_database_finds(stack: Instance, api: httpx.Client) -> None:
    page = get(api, "/api/users", limit=100)
    one = page["data"][0]
    as_of = page["as_of"]
    for query, where, values in (
        ({"nationality": one["nationality"]}, "nationality = %s", (one["nationality"],)),
        ({"company": one["company"]}, "company = %s", (one["company"],)),
        ({"gender": "female"}, "gender = %s", ("female",)),
        ({"fetch_id": one["fetch_id"]}, "fetch_id = %s", (one["fetch_id"],)),
        ({"fetched_since": one["fetched_at"]}, "fetched_at >= %s", (one["fetched_at"],)),
        ({"fetched_until": one["fetched_at"]}, "fetched_at < %s", (one["fetched_at"],)),
        ({"search": otherwise_written(one["last_name"])}, f"{TEXT} ILIKE %s", (f"%{one['last_name']}%",)),
        ({"gender": "male", "nationality": one["nationality"]}, "gender = 'male' AND nationality = %s",
         (one["nationality"],)),
    ):  # fmt: skip
        if len(query.get("search", "long enough")) < 3:
            continue
        rows = all_pages(api, f"/api/users?{httpx.QueryParams({**query, 'limit': 100, 'as_of': as_of})}")
        found = stack.rows(f"SELECT uuid FROM pipeline.users WHERE {where} AND created_at <= %s", (*values, as_of))  # noqa: S608
        assert {row["uuid"] for row in rows} == {str(uuid) for (uuid,) in found}, query
        assert rows or "fetched_until" in query


@pytest.mark.parametrize("text", ["100%", "a_b", "back\\slash", "' OR 'a' = 'a", "%(uuid)s", "<b>bold</b>", "%%%"])
def test_what_is_searched_for_stands_for_itself(stack: Instance, api: httpx.Client, text: str) -> None:
    """No sign of SQL, LIKE or HTML means anything."""
    assert get(api, "/api/users", search=text)["total"] == 0
    assert get(api, "/api/users", company=text)["data"] == []
    assert stack.rows("SELECT EXISTS (SELECT FROM pipeline.users)") == [(True,)]


@pytest.mark.parametrize(
    ("address", "parameter"),
    [
        ("/api/users?limit=101", "limit"),
        ("/api/users?page=0", "page"),
        ("/api/users?page=1&page=2", "page"),
        ("/api/users?offset=3", "offset"),
        ("/api/users?company=%ff", "company"),
        ("/api/fetches?since=now", "since"),
        ("/api/ledger?limit=1000", "limit"),
        ("/api/rejected?state=gone", "state"),
        ("/api/backups?page=-1", "page"),
        ("/api/kpis/latency?until=2026", "until"),
        ("/api/health?deep=1", "deep"),
        (f"/api/users?company={'x' * 5000}", "query"),
    ],
)
def test_a_wrong_parameter_is_400_and_named(api: httpx.Client, address: str, parameter: str) -> None:
    answer = api.get(address)
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)


def test_every_answer_bears_the_headers_of_security(api: httpx.Client) -> None:
    for address in ("/api/users", "/api/users?page=x", "/nothing", "/docs", "/openapi.json"):
        headers = api.get(address).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_the_documentation_loads_nothing_from_elsewhere(api: httpx.Client) -> None:
    page = api.get("/docs").text
    assert "//" not in page.replace("<!doctype html>", "")
    for part in page.split('"'):
        if part.startswith("/docs/assets/"):
            assert api.get(part).status_code == 200, part


def test_the_account_of_a_run_is_that_of_the_database(stack: Instance, api: httpx.Client) -> None:
    one = get(api, "/api/ledger", limit=100)["data"]
    settled = [row for row in one if row["received"] and not row["postgresql_open"] and not row["nocodb_open"]]
    for row in settled:
        for store in ("postgresql", "nocodb"):
            assert row["fetched"] == sum(row[f"{store}_{what}"] for what in ("stored", "known", "removed", "rejected"))
    fetches = all_pages(api, "/api/fetches?limit=100")
    assert {row["fetch_id"] for row in fetches} >= {row["fetch_id"] for row in one}
    assert len(fetches) <= stack.rows("SELECT count(*) FROM pipeline.fetches")[0][0]


def test_backups_are_told_with_what_they_are_worth(stack: Instance, api: httpx.Client) -> None:
    stack.run("Database/Backup.sh")  # the schedule's own may be minutes away
    until(lambda: get(api, "/api/backups")["total"], "the first backup")
    told = get(api, "/api/backups")
    assert told["data"][0]["name"].startswith("backup-")
    assert set(told["protection"]) >= {"last_backup", "last_proof", "rpo_seconds", "rto_seconds", "ok", "warnings"}


def test_the_key_figures_add_up(stack: Instance, api: httpx.Client) -> None:
    names = get(api, "/api/kpis")
    # Whoever comes from now on was fetched later.
    stack.settled()
    [(moment,)] = stack.rows(
        "SELECT to_char(max(fetched_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM pipeline.users"
    )
    window = {"since": "2020-01-01T00:00:00Z", "until": moment, "limit": 10_000}
    [(people,)] = stack.rows("SELECT count(*) FROM pipeline.users WHERE fetched_at < %s", (moment,))
    for name in names:
        told = get(api, f"/api/kpis/{name}", **window)
        assert told["complete"], name
        if name.startswith("people_per"):
            assert sum(row["users"] for row in told["rows"]) == people, name
    pyramid = get(api, "/api/kpis/age_pyramid", **window)["rows"]
    assert sum(row["female"] + row["male"] for row in pyramid) == people
    [latency] = get(api, "/api/kpis/latency", **window)["rows"]
    assert 0 < latency["p50_seconds"] <= latency["p95_seconds"] <= latency["p99_seconds"] <= latency["max_seconds"]
    assert api.get("/api/kpis/nonsense").status_code == 404


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer wrong", "Basic {token}", "{token}", "Bearer {token}x", "Bearer {half}"]
)
def test_without_the_token_nothing_is_ordered(stack: Instance, api: httpx.Client, header: str | None) -> None:
    secret = stack.settings.api_token
    headers = {"Authorization": header.format(token=secret, half=secret[:16])} if header else {}
    for address in ("/api/ingest", "/api/rejected/1/replay"):
        answer = api.post(address, json={"results": 1}, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert secret not in answer.text


def test_an_ordered_fetch_can_be_followed_until_its_people_are_stored(api: httpx.Client, token: dict[str, str]) -> None:
    ordered = api.post("/api/ingest", json={"results": 7}, headers=token)
    assert ordered.status_code == 202, ordered.text
    follow = ordered.json()["follow"]
    until(lambda: get(api, follow)["state"] == "published", "it is published")
    told = get(api, follow)
    assert (told["people"], told["error"]) == (7, None)
    until(lambda: get(api, "/api/users", fetch_id=told["fetch_id"])["total"] == 7, "its people are stored")
    until(lambda: get(api, "/api/ledger", fetch_id=told["fetch_id"])["total"] == 1, "it is in the ledger")
    [account] = get(api, "/api/ledger", fetch_id=told["fetch_id"])["data"]
    assert account["requested"] == 7


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"results": 0}', "application/json", 400),
        (b'{"results": 1001}', "application/json", 400),
        (b'{"results": "7"}', "application/json", 400),
        (b'{"results": 1.5}', "application/json", 400),
        (b'{"results": 7, "seed": "x"}', "application/json", 400),
        (b"{}", "application/json", 400),
        (b"[" * 4000, "application/json", 400),
        (b'{"results": 7', "application/json", 400),
        (b'\xff{"results": 7}', "application/json", 400),
        (b'{"results": 7}', "text/plain", 415),
        (b" " * 5000, "application/json", 413),
    ],
)
def test_a_wrong_body_orders_nothing(
    api: httpx.Client, token: dict[str, str], content: bytes, kind: str, status: int
) -> None:
    answer = api.post("/api/ingest", content=content, headers={**token, "Content-Type": kind})
    assert answer.status_code == status, answer.text


@pytest.fixture
def set_aside(stack: Instance) -> Iterator[dict[UUID, int]]:
    """Two records that PostgreSQL's sink is said to have refused, one in vain: people and rows. Gone later."""
    good, bad = uuid4(), uuid4()
    values = {good: json.dumps(somebody(good)).encode(), bad: b'{"no": "person"}'}
    rows = {}
    for number, (uuid, value) in enumerate(values.items()):
        [(rows[uuid],)] = stack.rows(
            """INSERT INTO pipeline.rejected (stage, reason, message, topic, partition, "offset", fetch_id, source,
                uuid, value, value_text, key, fetched_at, rejected_at, source_topic, source_partition, source_offset)
            SELECT %(stage)s, 'test', '<b>by a test</b>', %(topic)s, 0, 0, 'test', 'test', %(uuid)s, %(value)s, '',
                %(key)s, now(), now(), min(id), 9999, %(number)s
            FROM pipeline.topics RETURNING id""",
            {
                "stage": topics.TO_POSTGRESQL, "topic": topics.LABELLED, "uuid": uuid, "value": value,
                "key": str(uuid).encode(), "number": number,
            },
        )  # fmt: skip
    yield rows
    stack.rows("DELETE FROM pipeline.rejected WHERE reason = 'test'")
    users = stack.users()
    try:
        users.delete([good])
    finally:
        users.close()
    for table in ("fetched_users", "users", "nocodb_users", "repeats"):
        stack.rows(f"DELETE FROM pipeline.{table} WHERE uuid = %s", (good,))  # noqa: S608
    stack.rows("DELETE FROM pipeline.fetches WHERE fetch_id = ANY (%s)", ([f"replay-{row}" for row in rows.values()],))


def test_a_refused_record_is_sent_again_and_what_cannot_be_is_told(
    stack: Instance, api: httpx.Client, token: dict[str, str], set_aside: dict[UUID, int]
) -> None:
    """A record that was put aside in vain is stored; one that is wrong would be refused again, and nothing is sent."""
    (good, right), (_, wrong) = set_aside.items()
    assert get(api, f"/api/rejected/{right}")["message"] == "<b>by a test</b>"
    sent = api.post(f"/api/rejected/{right}/replay", headers=token)
    assert (sent.status_code, sent.json()["topic"]) == (202, topics.LABELLED), sent.text
    until(lambda: api.get(f"/api/users/{good}").status_code == 200, "the person is stored")
    until(lambda: get(api, sent.json()["follow"])["state"] == "replayed", "its row is settled")
    until(lambda: str(good) in stack.in_nocodb(), "the person is in NocoDB")
    again = api.post(f"/api/rejected/{right}/replay", headers=token)
    refused = api.post(f"/api/rejected/{wrong}/replay", headers=token)
    assert (again.status_code, refused.status_code) == (409, 409)
    assert "nothing was sent" in refused.json()["error"]
    assert get(api, f"/api/rejected/{wrong}")["state"] == "open"
    assert api.post("/api/rejected/999999999/replay", headers=token).status_code == 404


@pytest.mark.timeout(1200)
def test_the_description_is_true(stack: Instance, token: dict[str, str]) -> None:
    """Schemathesis makes up requests, right and wrong ones, from the description alone, and compares every answer."""
    done = stack.run(
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{stack.settings.read_api_url}/openapi.json",
        "--header", f"Authorization: {token['Authorization']}", "--max-examples", "25",
        "--seed", "1", "--no-color", "--request-timeout", "30",
        seconds=900, ok=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]


def state_of(stack: Instance, name: str) -> str:
    return next(one.state for one in Supervisor(stack.settings).processes() if one.name == name)


def test_with_the_database_away_it_says_when_to_ask_again_and_recovers_by_itself(
    stack: Instance, api: httpx.Client, token: dict[str, str]
) -> None:
    served = next(one.pid for one in Supervisor(stack.settings).processes() if one.name == "api")
    supervisor = Supervisor(stack.settings)
    get(api, "/api/users")
    log = stack.settings.logs / "api.log"
    before = len(log.read_text(encoding="utf-8"))
    supervisor.stop("postgresql", "postgresql")
    try:
        until(lambda: state_of(stack, "postgresql") == "STOPPED", "PostgreSQL is away")
        for address in ("/api/users", f"/api/users/{uuid4()}", "/api/ledger", "/api/kpis/latency", "/api/health"):
            answer = api.get(address)
            assert answer.status_code == 503, address
            assert int(answer.headers["retry-after"]) > 0
            assert "Traceback" not in answer.text
        assert api.get("/api/users?page=0").status_code == 400
        until(lambda: "answers 503" in log.read_text(encoding="utf-8")[before:], "the log says so")
        assert api.get("/api/health").json()["checks"]["postgresql"]["ok"] is False
    finally:
        supervisor.start("postgresql", "postgresql")
    until(lambda: api.get("/api/users").status_code == 200, "it answers again")
    assert next(one.pid for one in Supervisor(stack.settings).processes() if one.name == "api") == served
    until(lambda: "answers again" in log.read_text(encoding="utf-8")[before:], "the log says so")
    told = log.read_text(encoding="utf-8")[before:]
    assert told.count("answers 503") == told.count("answers again") == 1
    assert "Traceback" not in told


def test_a_server_that_is_silent_costs_health_three_seconds_and_no_more(stack: Instance, api: httpx.Client) -> None:
    part = next(one for one in Supervisor(stack.settings).processes() if one.name == "nocodb")
    os.kill(part.pid, signal.SIGSTOP)
    try:
        until(lambda: not api.get("/api/health").json()["checks"]["nocodb"]["ok"], "NocoDB's silence shows", 30)
        answer = api.get("/api/health")
        assert answer.status_code == 503
        assert answer.elapsed.total_seconds() < 15, "a person waits, and the client would wait for a minute"
        assert not answer.json()["checks"]["nocodb"]["ok"]
    finally:
        os.kill(part.pid, signal.SIGCONT)
    until(lambda: api.get("/api/health").status_code == 200, "it is well again")


def test_the_role_of_the_api_can_change_nothing(stack: Instance) -> None:
    connection = connect(stack.settings, role="pipeline_api", name="tests")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
        connection.commit()
        for change in (
            "DELETE FROM pipeline.users",
            "UPDATE pipeline.rejected SET state = 'open'",
            "CREATE TABLE x ()",
        ):
            with connection.cursor() as cursor, pytest.raises(Exception, match="permission denied"):
                cursor.execute(change)
            connection.rollback()
    finally:
        connection.close()


def test_no_secret_is_in_its_log_or_its_command_line(stack: Instance) -> None:
    settings = stack.settings
    part = next(one for one in Supervisor(settings).processes() if one.name == "api")
    told = (settings.logs / "api.log").read_text(encoding="utf-8") + json.dumps(psutil.Process(part.pid).cmdline())
    for secret in (settings.api_token, settings.api_db_password, settings.pipeline_db_password):
        assert secret not in told
