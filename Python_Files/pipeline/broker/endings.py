"""Whether a committed transaction has its end in all of its partitions; Kafka says before that it is committed.

What a client sends next into a partition where the end is missing joins the old transaction there, and rolls it back
when it is rolled back itself. A sound Kafka takes no new transaction before the old one has ended everywhere; one that
was killed in between may (KAFKA-20734, see hanging.py), and a client that lives on is none the wiser.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors

from pipeline.broker.administration import administrator
from pipeline.broker.hanging import OFFSETS
from pipeline.broker.transaction_log import partition_of
from pipeline.errors import PassingFault
from pipeline.settings import Settings

_PATIENCE_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.1


class Endings:
    """The partitions of a producer's last transaction, until its end is seen in each."""

    def __init__(self, settings: Settings, producer: KafkaProducer) -> None:
        self._settings = settings
        self._producer = producer
        self._client = producer._sender._client
        self._open: set[TopicPartition] = set()
        self._offsets_partitions = 0

    def expect(self, partitions: Iterable[TopicPartition]) -> None:
        """A transaction was committed in these partitions."""
        self._open = set(partitions)

    def wait(self, producer_id: int, until: float) -> None:
        """Return when the last transaction has ended in all of its partitions: mostly at once.

        Raises PassingFault when it has not within five seconds, KafkaError when a leader cannot say. Whether it hangs
        is then for the next Writer to find out.
        """
        until = min(until, time.monotonic() + _PATIENCE_SECONDS)
        pause = _FIRST_PAUSE_SECONDS
        while self._open:
            self._open = self._still_open(producer_id, until)
            if self._open:
                if time.monotonic() > until:
                    where = ", ".join(sorted(f"{one.topic}-{one.partition}" for one in self._open))
                    raise PassingFault("Kafka has not ended the last transaction", detail=where)
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _still_open(self, producer_id: int, until: float) -> set[TopicPartition]:
        led: dict[Any, list[TopicPartition]] = defaultdict(list)
        for one in self._open:
            led[self._leader(one)].append(one)
        answers = [self._soon(_producers(self._client._manager, leader, ones)) for leader, ones in led.items()]
        return {
            where
            for answer in answers
            for where, state in answer(until).items()
            for one in state.active_producers
            if one.producer_id == producer_id and one.current_transaction_start_offset >= 0
        }

    def _leader(self, one: TopicPartition) -> Any:
        """The node that leads a partition. The client has no metadata of the groups' offsets, but their coordinator."""
        if one.topic == OFFSETS:
            leader = self._producer._transaction_manager._consumer_group_coordinator
        else:
            leader = self._client.cluster.leader_for_partition(one)
        if leader in (None, -1):
            raise kafka_errors.LeaderNotAvailableError(f"{one.topic}-{one.partition}")
        return leader

    def of_offsets(self, group: str) -> TopicPartition:
        """The partition that holds the offsets of a group. Raises PassingFault."""
        if not self._offsets_partitions:
            with administrator(self._settings) as admin:
                [topic] = admin.describe_topics([OFFSETS])
            self._offsets_partitions = len(topic["partitions"])
        return TopicPartition(OFFSETS, partition_of(group, self._offsets_partitions))

    def _soon(self, work: Callable[[], Any]) -> Callable[[float], Any]:
        """Have the producer's own thread do it, which alone may use its connections; what waits for the answer."""
        done = threading.Event()
        future = self._client._manager.call_soon(work)
        future.add_both(lambda _: done.set())
        self._client.wakeup()

        def answer(until: float) -> Any:
            if not done.wait(max(0.0, until - time.monotonic())):
                raise kafka_errors.KafkaTimeoutError("no answer to whether the last transaction has ended")
            if future.failed():
                raise future.exception
            return future.value

        return answer


def _producers(manager: Any, leader: Any, ones: Iterable[TopicPartition]) -> Callable[[], Any]:
    numbers = defaultdict(list)
    for one in ones:
        numbers[one.topic].append(one.partition)

    async def ask() -> Any:
        request = KafkaAdminClient._describe_producers_request(numbers)
        return KafkaAdminClient._describe_producers_process_response(await manager.send(request, node_id=leader))

    return ask
