"""Looking into topics without being a member of any group: ends, lags in records, the last records."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kafka import TopicPartition

from pipeline.broker.connection import Consumer, Partition, client, incoming, passing
from pipeline.errors import PassingFault
from pipeline.records import Incoming
from pipeline.settings import Settings


def plain_consumer(settings: Settings, isolation: str = "read_committed", **more: Any) -> Consumer:
    """A consumer that is no member of a group."""
    return Consumer(
        **client(settings, "reader"),
        group_id=None,
        isolation_level=isolation,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **more,
    )


def read(
    consumer: Consumer,
    start: Mapping[TopicPartition, int],
    seconds: float,
    end: Mapping[TopicPartition, int] | None = None,
) -> Iterator[Any]:
    """Records from ``start`` on to ``end``, or as it is now, and somewhat beyond; after ``seconds`` what there is."""
    end = end or consumer.end_offsets(list(start))
    left = {one for one in start if start[one] < end[one]}
    consumer.assign(list(left))
    for one in left:
        consumer.seek(one, start[one])
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        for batch in consumer.poll(timeout_ms=200).values():
            yield from batch
        for one in list(left):
            # The position passes transaction markers too, which are no records.
            if consumer.position(one) >= end[one]:
                left.discard(one)


def ends(settings: Settings, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """The end of what is committed in each partition, as an offset."""
    with passing():
        consumer = plain_consumer(settings)
        try:
            end = consumer.end_offsets([TopicPartition(*one) for one in partitions])
            return {(one.topic, one.partition): offset for one, offset in end.items()}
        finally:
            consumer.close(autocommit=False)


def beginnings(settings: Settings, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """The first offset of each partition that retention has left."""
    with passing():
        consumer = plain_consumer(settings)
        try:
            begin = consumer.beginning_offsets([TopicPartition(*one) for one in partitions])
            return {(one.topic, one.partition): offset for one, offset in begin.items()}
        finally:
            consumer.close(autocommit=False)


def lag(settings: Settings, positions: Mapping[Partition, int], seconds: float = 5.0) -> dict[Partition, int]:
    """Records between each position and the end of its partition: records, for offsets also count markers.

    They are counted by reading. What cannot be read within ``seconds`` counts by its offsets, which is an upper bound.
    """
    return lags(settings, {"": positions}, seconds)[""]


def lags(
    settings: Settings, readers: Mapping[str, Mapping[Partition, int]], seconds: float = 5.0
) -> dict[str, dict[Partition, int]]:
    """The same for several readers at once, up to the same ends; what two of them read is read once."""
    wanted: dict[TopicPartition, dict[str, int]] = {}
    for name, positions in readers.items():
        for one, offset in positions.items():
            wanted.setdefault(TopicPartition(*one), {})[name] = offset
    counted = {name: dict.fromkeys(positions, 0) for name, positions in readers.items()}
    with passing():
        consumer = plain_consumer(settings)
        try:
            end = consumer.end_offsets(list(wanted))
            begin = consumer.beginning_offsets(list(wanted))
            start = {one: max(min(theirs.values()), begin[one]) for one, theirs in wanted.items()}
            for record in read(consumer, start, seconds, end):
                one = TopicPartition(record.topic, record.partition)
                for name, offset in wanted[one].items():
                    if offset <= record.offset < end[one]:
                        counted[name][(record.topic, record.partition)] += 1
            for one, theirs in wanted.items():
                reached = consumer.position(one) if one in consumer.assignment() else end[one]
                for name, offset in theirs.items():
                    counted[name][(one.topic, one.partition)] += max(0, end[one] - max(reached, offset))
            return counted
        finally:
            consumer.close(autocommit=False)


def _appended(settings: Settings, ones: list[TopicPartition]) -> dict[TopicPartition, int]:
    """The end of each partition, with what is in a transaction that is still open."""
    consumer = plain_consumer(settings, "read_uncommitted")
    try:
        ends: dict[TopicPartition, int] = consumer.end_offsets(ones)
        return ends
    finally:
        consumer.close(autocommit=False)


def waiting(settings: Settings, positions: Mapping[Partition, int], patience: float = 60.0) -> Iterator[Incoming]:
    """Every committed record from the positions to what is appended by now; what retention has deleted is left out.

    It goes as far as records are appended, not only as far as they are committed: the parts of a transaction show as
    committed one partition after the other, and whose position shows in one is surely found in the next one here.
    Raises PassingFault when ``patience`` seconds bring nothing new: a transaction stays open for that long.
    """
    if not positions:
        return
    with passing():
        ones = [TopicPartition(*one) for one in positions]
        end = _appended(settings, ones)
        # A batch in memory at a time, also where a million records wait.
        consumer = plain_consumer(
            settings, fetch_max_bytes=4 * 1024 * 1024, max_partition_fetch_bytes=1024 * 1024, max_poll_records=2_000
        )
        try:
            begin = consumer.beginning_offsets(ones)
            start = {one: max(positions[(one.topic, one.partition)], begin[one]) for one in ones}
            left = {one for one in ones if start[one] < end[one]}
            consumer.assign(list(left))
            for one in left:
                consumer.seek(one, start[one])
            reached, deadline = start, time.monotonic() + patience
            while left:
                for batch in consumer.poll(timeout_ms=200).values():
                    for record in batch:
                        if record.offset < end[TopicPartition(record.topic, record.partition)]:
                            yield incoming(record)
                now = {one: consumer.position(one) for one in left}
                if any(now[one] > reached[one] for one in left):
                    reached, deadline = now, time.monotonic() + patience
                elif time.monotonic() > deadline:
                    raise PassingFault("Kafka does not give what it has", detail=f"nothing new for {patience:.0f} s")
                left = {one for one in left if now[one] < end[one]}
        finally:
            consumer.close(autocommit=False)


def tail(settings: Settings, topic: str, count: int, seconds: float = 10.0) -> list[Incoming]:
    """The last ``count`` committed records of a topic, oldest first."""
    with passing():
        consumer = plain_consumer(settings)
        try:
            numbers = consumer.partitions_for_topic(topic)
            if not numbers:
                raise PassingFault(f"Kafka has no topic {topic}", hint="Run ./Project_Initialize.sh again.")
            ones = [TopicPartition(topic, number) for number in numbers]
            begin, end = consumer.beginning_offsets(ones), consumer.end_offsets(ones)
            # Two offsets a record, for each transaction of one record ends with a marker.
            start = {one: max(begin[one], end[one] - 2 * count - 2) for one in ones}
            records = [incoming(record) for record in read(consumer, start, seconds)]
            return sorted(records, key=lambda record: (record.timestamp_ms, record.place))[-count:]
        finally:
            consumer.close(autocommit=False)
