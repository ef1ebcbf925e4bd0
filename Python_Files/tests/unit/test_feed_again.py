"""Asking again for whom a fetch lost: the very request, exactly the missing, once; with in-memory ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest

from feed_ends import NOON, Broker, Time, settings_of
from pipeline import topics
from pipeline.errors import PassingFault, PipelineError, UsageError
from pipeline.feed.again import Again
from pipeline.feed.plan import Fetch, Past, read_fetches
from pipeline.feed.records import read_file
from pipeline.feed.run import Feed, lock
from pipeline.feed.sources import offline_file
from pipeline.randomuser import FetchFailed
from pipeline.records import Incoming
from pipeline.settings import Settings
from pipeline.stand_in import serving

SAMPLE = Path(__file__).parents[1] / "data" / "randomuser_200.json"
LATER = NOON + 3600


class Stores:
    """Both stores and the topics between: of what was published everybody arrives but the lost, as far as is known."""

    def __init__(self, broker: Broker, lost: Sequence[UUID]) -> None:
        self._broker = broker
        self._lost = {str(one) for one in lost}
        self._seen = len(broker.transactions)

    def missing_of(self, fetch_id: str) -> list[UUID]:
        sent_since = {record.key for records in self._broker.transactions[self._seen :] for record in records}
        (fetch,) = [one for one in self._broker.fetches if one["fetch_id"] == fetch_id]
        return [UUID(one) for one in fetch["uuids"] if one in self._lost and one.encode() not in sent_since]


@pytest.fixture
def broker() -> Broker:
    return Broker()


def fed(broker: Broker, settings: Settings, time: Time | None = None, **how: Any) -> dict[str, Any]:
    """A scheduled fetch at noon; its own record."""
    with Feed(settings, broker, broker.tail, now=time or Time(), **how) as run:
        run.run_scheduled()
    return broker.fetches[-1]


def again(broker: Broker, settings: Settings, stores: Stores, fetch_id: str, **how: Any) -> int:
    how = {"stored": lambda _: None, "now": Time(LATER), **how}
    return Again(settings, broker, broker.tail, missing_of=stores.missing_of, **how).run(fetch_id)


def uuids(fetch: dict[str, Any], count: int = 3) -> list[UUID]:
    return [UUID(one) for one in fetch["uuids"][-count:]]


def test_exactly_the_missing_are_sent_under_the_fetch_that_owes_them(broker: Broker, tmp_path: Path) -> None:
    with serving() as server:
        settings = settings_of(tmp_path, server.url, NATIONALITIES="no,ir")
        fetch = fed(broker, settings)
        first = {record.key: record.value for record in broker.of(topics.FETCHED)}
        lost = uuids(fetch)
        assert again(broker, settings_of(tmp_path, server.url), Stores(broker, lost), fetch["fetch_id"]) == 3
        asked = [parse_qs(urlsplit(one).query) for one in server.asked]
    assert asked[0] == asked[1]
    *people, account = broker.transactions[-1]
    assert [record.key for record in people] == [str(one).encode() for one in lost]
    for record in people:
        assert record.topic == topics.FETCHED
        assert record.value == first[record.key]
        assert record.timestamp_ms == int(LATER * 1000)
        assert dict(record.headers) == {"fetch-id": fetch["fetch_id"].encode(), "source": b"randomuser.me"}
    told = json.loads(account.value or b"")
    assert told["fetch_id"].startswith(f"{fetch['fetch_id']}-again-20261121T130003Z-")
    assert account.topic == topics.FETCHES
    # Nobody of its own, so that the account of neither fetch counts anybody twice.
    assert (told["kind"], told["requested"], told["received"], told["rejected"], told["uuids"]) == (
        "again", 10, 0, 0, [],
    )  # fmt: skip
    assert (told["seed"], told["page"], told["due"]) == (fetch["seed"], 1, None)
    assert told["nationalities"] == ["NO", "IR"]
    assert told["arrived_at"] == "2026-11-21T13:00:03.000Z"


def test_the_second_time_nothing_is_asked_for_and_nothing_sent(broker: Broker, tmp_path: Path) -> None:
    with serving() as server:
        settings = settings_of(tmp_path, server.url)
        fetch = fed(broker, settings)
        stores = Stores(broker, uuids(fetch))
        assert again(broker, settings, stores, fetch["fetch_id"]) == 3
        sent = list(broker.transactions)
        assert again(broker, settings, stores, fetch["fetch_id"]) == 0
        assert len(server.asked) == 2
    assert broker.transactions == sent


def test_two_at_once_send_everybody_once(broker: Broker, tmp_path: Path) -> None:
    with serving() as server:
        settings = settings_of(tmp_path, server.url)
        fetch = fed(broker, settings)
        stores = Stores(broker, uuids(fetch))
        both = threading.Barrier(2)
        sent = []

        def one() -> None:
            both.wait()
            sent.append(again(broker, settings, stores, fetch["fetch_id"]))

        threads = [threading.Thread(target=one) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(sent) == [0, 3]


def test_nothing_missing_costs_no_request(broker: Broker, tmp_path: Path) -> None:
    with serving() as server:
        settings = settings_of(tmp_path, server.url)
        fetch = fed(broker, settings)
        assert again(broker, settings, Stores(broker, []), fetch["fetch_id"]) == 0
        assert len(server.asked) == 1
    assert len(broker.transactions) == 1


def test_a_fetch_of_the_stand_in_is_asked_of_the_stand_in_though_the_real_api_serves(
    broker: Broker, tmp_path: Path
) -> None:
    fetch = fed(broker, settings_of(tmp_path), offline=True)
    with serving() as server:
        assert again(broker, settings_of(tmp_path, server.url), Stores(broker, uuids(fetch)), fetch["fetch_id"]) == 3
        assert server.asked == []
    assert {dict(record.headers)["source"] for record in broker.transactions[-1]} == {b"stand-in"}


def test_a_real_fetch_is_asked_of_the_real_api_though_the_stand_in_serves(broker: Broker, tmp_path: Path) -> None:
    with serving() as server:
        settings = settings_of(tmp_path, server.url)
        fetch = fed(broker, settings)
        offline_file(settings).touch()
        assert again(broker, settings, Stores(broker, uuids(fetch)), fetch["fetch_id"]) == 3
        assert len(server.asked) == 2
    stores = Stores(broker, uuids(fetch))
    with pytest.raises(FetchFailed):
        again(broker, settings_of(tmp_path), stores, fetch["fetch_id"], clock=hurried())
    (failed,) = [one for one in broker.fetches if one.get("failure")]
    assert (failed["kind"], failed["failure"], failed["source"]) == ("again", "unreachable", "randomuser.me")
    assert failed["fetch_id"].startswith(f"{fetch['fetch_id']}-again-")


def hurried() -> Any:
    """A clock whose every look is ten seconds later."""
    seconds = iter(range(0, 10_000, 10))
    return lambda: float(next(seconds))


def test_who_is_not_in_the_answer_any_more_is_named_and_the_others_are_sent(broker: Broker, tmp_path: Path) -> None:
    with serving() as server:
        settings = settings_of(tmp_path, server.url)
        fetch = fed(broker, settings)
        gone = uuid4()
        lost = [*uuids(fetch), gone]
        with pytest.raises(PipelineError, match=r"1 of 4 missing people .* 3 were sent") as failure:
            Again(settings, broker, broker.tail, stored=lambda _: None, missing_of=lambda _: lost, now=Time(LATER)).run(
                fetch["fetch_id"]
            )
    assert failure.value.detail == str(gone)
    assert failure.value.exit_code == 1
    assert [record.key for record in broker.transactions[-1][:-1]] == [str(one).encode() for one in lost[:3]]


def test_a_fetch_that_the_topics_end_no_longer_tells_of_is_taken_from_the_database(
    broker: Broker, tmp_path: Path
) -> None:
    with serving() as server:
        settings = settings_of(tmp_path, server.url)
        fetch = fed(broker, settings)
        known = next(read_fetches(broker.tail()))
        stores = Stores(broker, uuids(fetch))

        def stored(fetch_id: str) -> Fetch | None:
            return known if fetch_id == known.fetch_id else None

        def tail() -> list[Incoming]:
            return []

        sent = Again(settings, broker, tail, stored=stored, missing_of=stores.missing_of, now=Time(LATER))
        assert sent.run(fetch["fetch_id"]) == 3


def test_an_unknown_fetch_is_a_wrong_usage(broker: Broker, tmp_path: Path) -> None:
    fed(broker, settings_of(tmp_path), offline=True)
    with pytest.raises(UsageError, match="there is no fetch 'nonsense'"):
        again(broker, settings_of(tmp_path), Stores(broker, []), "nonsense")
    assert len(broker.transactions) == 1


def test_a_file_is_to_be_fed_again(broker: Broker, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with Feed(settings, broker, broker.tail, now=Time()) as run:
        run.run_file(read_file(SAMPLE, int(NOON * 1000)), "sample")
    (fetch,) = broker.fetches
    with pytest.raises(UsageError, match=r"3 people of the fetch .* are missing") as failure:
        again(broker, settings, Stores(broker, uuids(fetch)), fetch["fetch_id"])
    assert "--file" in failure.value.hint
    assert len(broker.transactions) == 1


def test_the_rate_window_is_respected_and_counts_what_is_asked_for_again(broker: Broker, tmp_path: Path) -> None:
    time = Time()
    with serving(clock=time) as server:
        settings = settings_of(tmp_path, server.url)
        fetch = fed(broker, settings, time)
        with Feed(settings, broker, broker.tail, now=time) as run:
            run.run_by_hand(19_985, "some-hand", None)
        stores = Stores(broker, uuids(fetch))
        asked = len(server.asked)
        with pytest.raises(PassingFault, match="room for 5 people, not for 10"):
            again(broker, settings, stores, fetch["fetch_id"], now=time)
        assert len(server.asked) == asked
        time.seconds += 301
        assert again(broker, settings, stores, fetch["fetch_id"], now=time) == 3
    assert Past(read_fetches(broker.tail())).window_left(int(time.seconds * 1000)) == 19_990


def test_a_scheduled_run_and_an_asking_again_do_not_wait_for_each_other(broker: Broker, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, FEED_OFFLINE="true")
    fetch = fed(broker, settings)
    with lock(settings.run / "feed.lock"):
        assert again(broker, settings, Stores(broker, uuids(fetch)), fetch["fetch_id"]) == 3
    with lock(settings.run / "again.lock"):
        assert fed(broker, settings, Time(LATER))["kind"] != "again"
