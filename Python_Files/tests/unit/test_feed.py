"""The feed: what a run asks for, publishes and records, with in-memory ends and a real loopback API."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from feed_ends import NOON, Broker, Time, settings_of
from pipeline import topics
from pipeline.errors import PassingFault, UsageError
from pipeline.feed import command
from pipeline.feed.plan import Order, Past, by_hand, check_seed, pages, read_fetches, seed
from pipeline.feed.records import read_file
from pipeline.feed.run import Feed, lock
from pipeline.feed.sources import offline_file, reachable, until_reachable_file
from pipeline.person import CREDENTIALS
from pipeline.randomuser import FetchFailed
from pipeline.records import Incoming, Place
from pipeline.settings import NATIONALITIES, Settings
from pipeline.stand_in import serving

SAMPLE = Path(__file__).parents[1] / "data" / "randomuser_200.json"


@pytest.fixture
def broker() -> Broker:
    return Broker()


@contextmanager
def running(broker: Broker, settings: Settings, time: Time | None = None, **how: Any) -> Iterator[Feed]:
    time = time or Time()
    with Feed(settings, broker, broker.tail, now=time, **how) as run:
        yield run


def test_a_scheduled_run_publishes_people_and_its_own_record_in_one_transaction(broker: Broker, tmp_path: Path) -> None:
    with serving() as server, running(broker, settings_of(tmp_path, server.url, NATIONALITIES="no,ir")) as run:
        assert run.run_scheduled() == 10
    (records,) = broker.transactions
    assert [record.topic for record in records] == [topics.FETCHED] * 10 + [topics.FETCHES]
    (fetch,) = broker.fetches
    assert fetch["uuids"] == [json.loads(record.value or b"")["login"]["uuid"] for record in records[:10]]
    assert fetch == {
        "fetch_id": "randomuser.me-20261121T1200Z-p1",
        "source": "randomuser.me",
        "kind": "scheduled",
        "seed": "randomuser.me-20261121T1200Z",
        "page": 1,
        "due": "2026-11-21T12:00:00Z",
        "requested": 10,
        "received": 10,
        "rejected": 0,
        "uuids": fetch["uuids"],
        "arrived_at": "2026-11-21T12:00:03.000Z",
        "nationalities": ["NO", "IR"],
    }
    for record, uuid in zip(records, [*fetch["uuids"], fetch["fetch_id"]], strict=True):
        assert record.key == uuid.encode()
        assert record.timestamp_ms == int(NOON * 1000)
        assert dict(record.headers) == {"fetch-id": fetch["fetch_id"].encode(), "source": b"randomuser.me"}


def test_a_refused_record_goes_to_rejected_and_is_counted(broker: Broker, tmp_path: Path) -> None:
    with serving(faults=["bad-record"]) as server, running(broker, settings_of(tmp_path, server.url)) as run:
        assert run.run_scheduled() == 9
    (refused,) = broker.of(topics.REJECTED)
    headers = {name: value.decode() for name, value in refused.headers}
    assert headers["stage"] == "0-Get_Data"
    assert headers["reason"] == "no_uuid"
    assert headers["fetch-id"] == broker.fetches[0]["fetch_id"]
    assert headers["origin-timestamp-ms"] == str(int(NOON * 1000))
    assert (broker.fetches[0]["received"], broker.fetches[0]["rejected"], len(broker.fetches[0]["uuids"])) == (10, 1, 9)


def test_no_credential_is_in_anything_that_is_published(broker: Broker, tmp_path: Path) -> None:
    with running(broker, settings_of(tmp_path)) as run:
        assert run.run_file(read_file(SAMPLE, 1), "sample") == 200
    with serving(faults=["bad-record"]) as server, running(broker, settings_of(tmp_path, server.url)) as run:
        run.run_scheduled()
    real = json.loads(SAMPLE.read_bytes())["results"]
    secrets = [person["login"][name] for person in real for name in CREDENTIALS - {"password"}]
    everything = b"\n".join(record.value or b"" for records in broker.transactions for record in records)
    assert not [secret for secret in secrets if secret.encode() in everything]
    assert not [name for name in CREDENTIALS if f'"{name}":'.encode() in everything]
    assert b"hunter2" not in everything


def test_a_minute_that_is_done_is_not_fetched_again(broker: Broker, tmp_path: Path) -> None:
    with serving() as server:
        for _ in range(2):
            with running(broker, settings_of(tmp_path, server.url)) as run:
                run.run_scheduled()
        assert len(server.asked) == 1
    assert len(broker.fetches) == 1


def test_a_run_whose_publishing_failed_asks_for_the_very_same_people(broker: Broker, tmp_path: Path) -> None:
    with serving() as server:
        settings, other = settings_of(tmp_path, server.url), Broker()
        with running(other, settings) as run:
            run.run_scheduled()
        broker.publish = lambda records: (_ for _ in ()).throw(PassingFault("down"))  # type: ignore[method-assign]
        with running(broker, settings) as run, pytest.raises(PassingFault):
            run.run_scheduled()
        del broker.publish  # type: ignore[method-assign]
        with running(broker, settings) as run:
            run.run_scheduled()
    assert broker.fetches == other.fetches


def test_a_broker_that_is_down_costs_no_request(broker: Broker, tmp_path: Path) -> None:
    broker.down = True
    with serving() as server:
        with running(broker, settings_of(tmp_path, server.url)) as run, pytest.raises(PassingFault):
            run.run_scheduled()
        assert server.asked == []


def test_more_people_than_one_request_gives_come_in_pages_of_their_own(broker: Broker, tmp_path: Path) -> None:
    with serving() as server, running(broker, settings_of(tmp_path, server.url, RESULTS_PER_FETCH="2500")) as run:
        assert run.run_scheduled() == 2500
    assert [(fetch["page"], fetch["received"]) for fetch in broker.fetches] == [(1, 1000), (2, 1000), (3, 500)]
    assert len(broker.transactions) == 3
    assert len({record.key for record in broker.of(topics.FETCHED)}) == 2500


def test_missed_minutes_are_caught_up_oldest_first_but_none_before_the_first(broker: Broker, tmp_path: Path) -> None:
    time = Time()
    with serving() as server:
        settings = settings_of(tmp_path, server.url, CATCH_UP_MINUTES="3")
        for minutes in (0, 2, 10):
            time.seconds = NOON + 60 * minutes
            with running(broker, settings, time) as run:
                run.run_scheduled()
    assert [(fetch["due"][11:16], fetch["kind"]) for fetch in broker.fetches] == [
        ("12:00", "scheduled"),
        ("12:02", "scheduled"),
        ("12:01", "catch-up"),
        ("12:10", "scheduled"),
        ("12:07", "catch-up"),
        ("12:08", "catch-up"),
        ("12:09", "catch-up"),
    ]


def test_a_caught_up_minute_has_the_people_it_would_have_had(broker: Broker, tmp_path: Path) -> None:
    on_time, time = Broker(), Time()
    with serving() as server:
        settings = settings_of(tmp_path, server.url)
        for where, minutes in ((on_time, (0, 1, 2)), (broker, (0, 2))):
            for minute in minutes:
                time.seconds = NOON + 60 * minute
                with running(where, settings, time) as run:
                    run.run_scheduled()
    assert {f["fetch_id"]: f["uuids"] for f in broker.fetches} == {f["fetch_id"]: f["uuids"] for f in on_time.fetches}


def test_catch_up_spends_only_what_the_rate_window_leaves(broker: Broker, tmp_path: Path) -> None:
    time = Time()
    with serving(clock=time) as server:
        settings = settings_of(tmp_path, server.url, RESULTS_PER_FETCH="4000", CATCH_UP_MINUTES="10")
        for minutes in (0, 10):
            time.seconds = NOON + 60 * minutes
            if minutes:
                with running(broker, settings, time) as run:
                    run.run_by_hand(9000, "some-hand", None)
            with running(broker, settings, time) as run:
                run.run_scheduled()
    last = [fetch for fetch in broker.fetches if fetch["arrived_at"] > "2026-11-21T12:05"]
    assert sum(fetch["requested"] for fetch in last) == 20_000
    assert [fetch["page"] for fetch in last if fetch["kind"] == "scheduled"] == [1, 2, 3, 4]


def test_a_failed_run_is_recorded_once_and_its_minute_is_caught_up(broker: Broker, tmp_path: Path) -> None:
    time = Time()
    with serving(faults=["429:1"]) as server:
        settings = settings_of(tmp_path, server.url)
        with running(broker, settings, time) as run, pytest.raises(FetchFailed):
            run.run_scheduled()
        time.seconds += 60
        with running(broker, settings, time) as run:
            run.run_scheduled()
    failed, *good = broker.fetches
    assert (failed["failure"], failed["received"], failed["uuids"]) == ("rate_limited", 0, [])
    assert [fetch["due"][11:16] for fetch in good] == ["12:01", "12:00"]
    assert len({fetch["fetch_id"] for fetch in broker.fetches}) == 3
    assert all("failure" not in fetch for fetch in good)


@pytest.mark.parametrize("way", ["setting", "file", "argument"])
def test_offline_the_stand_in_serves_and_every_record_says_so(broker: Broker, tmp_path: Path, way: str) -> None:
    settings = settings_of(tmp_path, **({"FEED_OFFLINE": "true"} if way == "setting" else {}))
    if way == "file":
        offline_file(settings).touch()
    with running(broker, settings, offline=way == "argument") as run:
        assert run.run_scheduled() == 10
    assert broker.fetches[0]["source"] == "stand-in"
    assert broker.fetches[0]["fetch_id"] == "stand-in-20261121T1200Z-p1"
    assert {dict(record.headers)["source"] for record in broker.of(topics.FETCHED)} == {b"stand-in"}


def test_the_stand_in_serves_loudly_until_the_real_api_takes_over(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings, time = settings_of(tmp_path), Time()
    until_reachable_file(settings).touch()
    with running(broker, settings, time) as run:
        assert run.run_scheduled() == 10
    assert any(r.levelno == logging.WARNING and "STAND-IN" in r.getMessage() for r in caplog.records)
    assert until_reachable_file(settings).exists()
    caplog.clear()
    with serving() as server:
        time.seconds += 60
        with running(broker, settings_of(tmp_path, server.url), time) as run:
            run.run_scheduled()
        assert any("taken over" in record.getMessage() for record in caplog.records)
        assert not until_reachable_file(settings).exists()
    assert [fetch["source"] for fetch in broker.fetches] == ["stand-in", "randomuser.me"]
    time.seconds += 60
    with (
        serving(faults=["429"]) as server,
        running(broker, settings_of(tmp_path, server.url), time) as run,
        pytest.raises(FetchFailed),
    ):
        run.run_scheduled()


def test_reachable_tells_whether_the_api_really_answers(tmp_path: Path) -> None:
    with serving() as server:
        assert reachable(settings_of(tmp_path, server.url))
    assert not reachable(settings_of(tmp_path))
    with serving(faults=["empty"]) as server:
        assert not reachable(settings_of(tmp_path, server.url))


def test_by_hand_a_seed_and_page_give_the_same_people_under_another_fetch_id(broker: Broker, tmp_path: Path) -> None:
    with serving() as server:
        for _ in range(2):
            with running(broker, settings_of(tmp_path, server.url)) as run:
                run.run_by_hand(5, "summer", 7)
    first, second = broker.fetches
    assert first["uuids"] == second["uuids"]
    assert first["fetch_id"] != second["fetch_id"]
    assert (first["kind"], first["seed"], first["page"], first["due"]) == ("by hand", "summer", 7, None)


def test_by_hand_no_more_than_the_window_leaves_is_asked_for(broker: Broker, tmp_path: Path) -> None:
    with serving() as server:
        for results in (12_000, 9_000):
            with running(broker, settings_of(tmp_path, server.url)) as run:
                if results == 12_000:
                    assert run.run_by_hand(results, None, None) == 12_000
                else:
                    with pytest.raises(PassingFault, match="room for 8000 people"):
                        run.run_by_hand(results, None, None)
        assert len(server.asked) == 12


def test_a_saved_response_is_fed_whole_with_its_own_source(broker: Broker, tmp_path: Path) -> None:
    for _ in range(2):
        with running(broker, settings_of(tmp_path)) as run:
            assert run.run_file(read_file(SAMPLE, int(NOON * 1000)), "sample") == 200
    first, second = broker.fetches
    assert first["uuids"] == [person["login"]["uuid"] for person in json.loads(SAMPLE.read_bytes())["results"]]
    assert (first["source"], first["kind"], first["seed"], first["page"]) == ("file", "file", "pipeline", 1)
    assert first["fetch_id"] != second["fetch_id"]


@pytest.mark.parametrize(
    "content", [b"", b"no", b"<html>", b'{"results":[]}', b"[]", b'{"error":"x"}', SAMPLE.read_bytes()[:99]]
)
def test_a_file_that_is_no_response_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "saved.json"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="not a saved response"):
        read_file(file, 1)
    with pytest.raises(UsageError, match="cannot be read"):
        read_file(tmp_path / "none.json", 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seed", "ends-in-1"],
        ["--seed", "x" * 18],
        ["--seed", ""],
        ["--results", "0"],
        ["--results", "20001"],
        ["--page", "0"],
        ["--page", "10001"],
        ["--page", "1", "--results", "5001"],
        ["--file", "x", "--results", "1"],
        ["--file", "x", "--again", "y"],
        ["--again", "x", "--results", "1"],
        ["--again", "x", "--offline"],
    ],
)
def test_wrong_usage_ends_with_two_and_says_why(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_derived_seeds_never_trap_the_api() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for minute in range(0, 500_000, 997):
        for source in ("randomuser.me", "stand-in"):
            check_seed(seed(source, moment + timedelta(minutes=minute)))


@pytest.mark.parametrize("results", [1, 10, 999, 1000, 1001, 4000, 20_000])
def test_pages_add_up(results: int) -> None:
    made = pages(results)
    assert sum(people for _, people in made) == results
    assert [page for page, _ in made] == list(range(1, len(made) + 1))
    assert all(1 <= people <= 1000 for _, people in made)


def test_what_is_no_fetch_in_the_topic_is_passed_over() -> None:
    deep = b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    values = [None, b"", b"{}", b"\xff", deep]
    odd = [Incoming(Place("t", 0, n), None, value, 0, ()) for n, value in enumerate(values)]
    assert list(read_fetches(odd)) == []
    assert Past([]).window_left(0) == 20_000


def test_a_second_run_waits_for_the_first(tmp_path: Path) -> None:
    with (
        lock(tmp_path / "a.lock"),
        pytest.raises(PassingFault, match="still at work"),
        lock(tmp_path / "a.lock", patience=0.2),
    ):
        raise AssertionError("both runs hold the lock")


def test_every_nationality_can_be_asked_for(broker: Broker, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, NATIONALITIES=",".join(NATIONALITIES).lower(), FEED_OFFLINE="true")
    with running(broker, settings) as run:
        assert run.run_by_hand(50, None, None) == 50
    assert Order(1, 2, "by hand", None, "s", "run").fetch_id("x") == "x-run-p2"
    assert [order.page for order in by_hand(1500, "seed-x", None, "")] == [1, 2]
