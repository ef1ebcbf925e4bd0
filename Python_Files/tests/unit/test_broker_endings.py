"""A new transaction waits until the last one has ended in all of its partitions."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.future import Future

from pipeline.broker import endings, hanging, transaction_log
from pipeline.errors import PassingFault

PRODUCER = 7
FIRST, SECOND = TopicPartition("users.fetched", 0), TopicPartition("users.fetched", 1)
OFFSETS = TopicPartition(hanging.OFFSETS, 4)


class Client:
    """Stands for the producer's client: ``looks`` are the partitions that are open at one look after the other."""

    def __init__(self, *looks: set[TopicPartition], epoch: int = 2) -> None:
        self._looks = list(looks)
        self._epoch = epoch
        self._sender = SimpleNamespace(_client=self)
        self.updates = 0
        self.offsets = 50
        self._manager = self.cluster = self
        self.asked: list[tuple[Any, TopicPartition]] = []
        self.answers = True

    def leader_for_partition(self, one: TopicPartition) -> int:
        return {FIRST: 1, SECOND: 2, OFFSETS: 1}.get(one, -1)

    def request_update(self) -> None:
        self.updates += 1

    def partitions_for(self, _: str) -> set[int]:
        return set(range(self.offsets))

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
            producer_epoch=self._epoch,
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


def wait(client: Client, *where: TopicPartition) -> None:
    one = endings.Endings(client, SimpleNamespace(producer_id=PRODUCER, epoch=2))  # type: ignore[arg-type]
    one.expect(where)
    one.wait()
    one.wait()  # and knows it from then on


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "_PATIENCE_SECONDS", 0.1)


def test_each_leader_is_asked_once_for_what_has_ended() -> None:
    client = Client()
    wait(client, FIRST, SECOND, OFFSETS)
    assert len(client.asked) == 3
    assert set(client.asked) == {(1, FIRST), (2, SECOND), (1, OFFSETS)}


def test_nothing_is_asked_before_the_first_transaction() -> None:
    client = Client()
    wait(client)
    assert client.asked == []


def test_what_is_open_is_asked_for_again_until_it_has_ended() -> None:
    client = Ending({FIRST}, {FIRST}, set())
    wait(client, FIRST)
    assert client.asked == [(1, FIRST)] * 3


@pytest.mark.usefixtures("impatient")
def test_what_stays_open_lets_no_transaction_begin() -> None:
    with pytest.raises(PassingFault, match="has not ended") as raised:
        wait(Client({SECOND}), FIRST, SECOND)
    assert raised.value.detail == "users.fetched-1"


@pytest.mark.usefixtures("impatient")
def test_what_another_process_has_begun_under_the_same_id_is_not_waited_for() -> None:
    with pytest.raises(kafka_errors.ProducerFencedError):
        wait(Client({SECOND}, epoch=3), FIRST, SECOND)


@pytest.mark.usefixtures("impatient")
def test_without_a_leader_nobody_can_say() -> None:
    client = Client()
    with pytest.raises(kafka_errors.LeaderNotAvailableError):
        wait(client, TopicPartition("users.fetched", 9))
    assert client.updates > 1, "and it looked for one"


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_is_silent_is_not_waited_for_for_ever() -> None:
    client = Client()
    client.answers = False
    with pytest.raises(kafka_errors.KafkaTimeoutError):
        wait(client, FIRST)


def test_a_leader_that_has_moved_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    refused = [Future().failure(kafka_errors.NotLeaderForPartitionError("moved"))]
    answers = client.call_soon
    monkeypatch.setattr(client, "call_soon", lambda work: refused.pop() if refused else answers(work))
    wait(client, FIRST)
    assert client.updates == 1
    assert client.asked == [(1, FIRST)]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("closed", [RuntimeError("NetworkSelector closed!"), Future().failure(GeneratorExit())])
def test_a_client_that_was_closed_is_one_of_kafkas_faults(closed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def call_soon(_: Any) -> Future:
        if isinstance(closed, Exception):
            raise closed
        return closed

    client = Client()
    monkeypatch.setattr(client, "call_soon", call_soon)
    with pytest.raises(kafka_errors.KafkaConnectionError):
        wait(client, FIRST)


def test_the_offsets_of_a_group_are_where_java_puts_them() -> None:
    client = Client()
    one = endings.Endings(client, None)  # type: ignore[arg-type]
    assert one.of_offsets("1-Add_Timestamp") == TopicPartition(
        hanging.OFFSETS, transaction_log.partition_of("1-Add_Timestamp", 50)
    )
    client.offsets = 0
    with pytest.raises(kafka_errors.UnknownTopicOrPartitionError):
        one.of_offsets("1-Add_Timestamp")
