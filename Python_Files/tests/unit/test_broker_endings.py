"""A new transaction waits until the last one has ended in all of its partitions."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.future import Future

from pipeline import settings
from pipeline.broker import endings, hanging
from pipeline.errors import PassingFault

PRODUCER = 7
FIRST, SECOND = TopicPartition("users.fetched", 0), TopicPartition("users.fetched", 1)
OFFSETS = TopicPartition(hanging.OFFSETS, 4)


class Client:
    """Stands for the producer's client: ``looks`` are the partitions that are open at one look after the other."""

    def __init__(self, *looks: set[TopicPartition], coordinator: str | None = "coordinator-1") -> None:
        self._looks = list(looks)
        self._sender = SimpleNamespace(_client=self)
        self._transaction_manager = SimpleNamespace(_consumer_group_coordinator=coordinator)
        self._manager = self.cluster = self
        self.asked: list[tuple[Any, TopicPartition]] = []
        self.answers = True

    def leader_for_partition(self, one: TopicPartition) -> int:
        return {FIRST: 1, SECOND: 2}.get(one, -1)

    def call_soon(self, work: Any) -> Future:
        return Future().success(asyncio.run(work())) if self.answers else Future()

    def wakeup(self) -> None: ...

    async def send(self, request: Any, node_id: Any) -> Any:
        where = [TopicPartition(one.name, number) for one in request.topics for number in one.partition_indexes]
        self.asked += [(node_id, one) for one in where]
        return SimpleNamespace(
            topics=[
                SimpleNamespace(
                    name=one.topic,
                    partitions=[
                        SimpleNamespace(
                            partition_index=one.partition,
                            error_code=0,
                            active_producers=[
                                self.producer(PRODUCER, 12 if self._looks and one in self._looks[0] else -1),
                                self.producer(PRODUCER + 1, 15),
                            ],
                        )
                    ],
                )
                for one in where
            ]
        )

    def producer(self, number: int, offset: int) -> SimpleNamespace:
        return SimpleNamespace(
            producer_id=number,
            producer_epoch=0,
            last_sequence=1,
            last_timestamp=1,
            coordinator_epoch=0,
            current_txn_start_offset=offset,
        )


class Ending(Client):
    """Goes on to the next look each time that it is asked."""

    async def send(self, request: Any, node_id: Any) -> Any:
        answer = await super().send(request, node_id)
        del self._looks[:1]
        return answer


def wait(client: Client, *where: TopicPartition, seconds: float = 1) -> None:
    one = endings.Endings(settings.parse(dict.fromkeys(settings.secret_names(), "s" * 32)), client)  # type: ignore[arg-type]
    one.expect(where)
    one.wait(PRODUCER, time.monotonic() + seconds)
    one.wait(PRODUCER, time.monotonic() + seconds)  # and knows it from then on


def test_each_leader_is_asked_once_for_what_has_ended() -> None:
    client = Client()
    wait(client, FIRST, SECOND, OFFSETS)
    assert len(client.asked) == 3
    assert set(client.asked) == {(1, FIRST), (2, SECOND), ("coordinator-1", OFFSETS)}


def test_nothing_is_asked_before_the_first_transaction() -> None:
    client = Client()
    wait(client)
    assert client.asked == []


def test_what_is_open_is_asked_for_again_until_it_has_ended() -> None:
    client = Ending({FIRST}, {FIRST}, set())
    wait(client, FIRST)
    assert client.asked == [(1, FIRST)] * 3


def test_what_stays_open_lets_no_transaction_begin() -> None:
    with pytest.raises(PassingFault, match="has not ended") as raised:
        wait(Client({SECOND}), FIRST, SECOND, seconds=0.1)
    assert raised.value.detail == "users.fetched-1"


@pytest.mark.parametrize("nobody", [(TopicPartition("users.fetched", 9), "coordinator-1"), (OFFSETS, None)])
def test_without_a_leader_nobody_can_say(nobody: tuple[TopicPartition, str | None]) -> None:
    with pytest.raises(kafka_errors.LeaderNotAvailableError):
        wait(Client(coordinator=nobody[1]), nobody[0])


def test_a_broker_that_is_silent_is_waited_for_as_long_as_the_transaction_may_take() -> None:
    client = Client()
    client.answers = False
    with pytest.raises(kafka_errors.KafkaTimeoutError):
        wait(client, FIRST, seconds=0.1)


def test_what_the_leader_refuses_to_say_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    refused = kafka_errors.NotLeaderForPartitionError("moved")
    monkeypatch.setattr(client, "call_soon", lambda _: Future().failure(refused))
    with pytest.raises(kafka_errors.NotLeaderForPartitionError):
        wait(client, FIRST)
