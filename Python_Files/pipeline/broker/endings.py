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

from pipeline.broker.hanging import OFFSETS
from pipeline.broker.transaction_log import partition_of
from pipeline.errors import PassingFault

# A broker that is lost has a successor by then.
_PATIENCE_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.1


class Endings:
    """The partitions of a producer's last transaction, until its end is seen in each."""

    def __init__(self, producer: KafkaProducer, begun: Any) -> None:
        """``begun``: the producer's id and epoch."""
        self._producer = producer
        self._client = producer._sender._client
        self._begun = begun
        self._open: set[TopicPartition] = set()

    def expect(self, partitions: Iterable[TopicPartition]) -> None:
        """A transaction was committed in these partitions."""
        self._open = set(partitions)

    def wait(self) -> None:
        """Return when the last transaction has ended in all of its partitions: mostly at once.

        Raises PassingFault when it has not within ten seconds, or KafkaError when nobody can say: whether it hangs is
        for the next Writer to find out. Raises ProducerFencedError when another process has taken over.
        """
        until = time.monotonic() + _PATIENCE_SECONDS
        pause = _FIRST_PAUSE_SECONDS
        while self._open:
            fault: Exception = PassingFault("Kafka has not ended the last transaction", detail=_names(self._open))
            try:
                self._open = self._still_open(until)
            except kafka_errors.ProducerFencedError:
                raise
            except kafka_errors.KafkaError as error:
                fault = error
                self._client.cluster.request_update()  # others may lead by now
            if self._open:
                if time.monotonic() > until:
                    raise fault
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def of_offsets(self, group: str) -> TopicPartition:
        """The partition that holds the offsets of a group. Raises KafkaError."""
        numbers = self._producer.partitions_for(OFFSETS)  # asked once: the client keeps it
        if not numbers:
            raise kafka_errors.UnknownTopicOrPartitionError(OFFSETS)
        return TopicPartition(OFFSETS, partition_of(group, len(numbers)))

    def _still_open(self, until: float) -> set[TopicPartition]:
        led: dict[Any, list[TopicPartition]] = defaultdict(list)
        for one in self._open:
            leader = self._client.cluster.leader_for_partition(one)
            if leader in (None, -1):
                raise kafka_errors.LeaderNotAvailableError(_names([one]))
            led[leader].append(one)
        answers = [self._soon(_producers(self._client._manager, leader, ones)) for leader, ones in led.items()]
        ours = {
            where: one.producer_epoch
            for answer in answers
            for where, state in answer(until).items()
            for one in state.active_producers
            if one.producer_id == self._begun.producer_id and one.current_transaction_start_offset >= 0
        }
        if any(epoch > self._begun.epoch for epoch in ours.values()):
            raise kafka_errors.ProducerFencedError("another process has begun a transaction")
        return set(ours)

    def _soon(self, work: Callable[[], Any]) -> Callable[[float], Any]:
        """Have the producer's own thread do it, which alone may use its connections; what waits for the answer."""
        done = threading.Event()
        try:
            future = self._client._manager.call_soon(work)
        except RuntimeError as error:
            raise kafka_errors.KafkaConnectionError("the client is closed") from error
        future.add_both(lambda _: done.set())

        def answer(until: float) -> Any:
            if not done.wait(max(0.0, until - time.monotonic())):
                raise kafka_errors.KafkaTimeoutError("no answer to whether the last transaction has ended")
            if isinstance(future.exception, kafka_errors.KafkaError):
                raise future.exception
            if future.exception is not None:
                raise kafka_errors.KafkaConnectionError("the client was closed") from future.exception
            return future.value

        return answer


def _names(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(sorted(f"{one.topic}-{one.partition}" for one in partitions))


def _producers(manager: Any, leader: Any, ones: Iterable[TopicPartition]) -> Callable[[], Any]:
    numbers = defaultdict(list)
    for one in ones:
        numbers[one.topic].append(one.partition)

    async def ask() -> Any:
        request = KafkaAdminClient._describe_producers_request(numbers)
        return KafkaAdminClient._describe_producers_process_response(await manager.send(request, node_id=leader))

    return ask
