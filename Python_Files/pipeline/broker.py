"""Kafka as the pipeline uses it. This package file is the only one that imports the Kafka client.

Three ends: a Reader (a member of a consumer group that reads what is committed), a Writer (one transaction after
another under a transactional.id that stays the same over restarts), and the questions that an administrator asks.

Sources: Kafka's documentation of transactions (KIP-98) and of fencing by group metadata (KIP-447).
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.structs import OffsetAndMetadata

from pipeline import topics
from pipeline.errors import Fenced, OffsetsDisagree, PassingFault, PipelineError, SettingsError
from pipeline.log import event
from pipeline.records import Incoming, Outgoing, Place, Publisher
from pipeline.settings import Settings
from pipeline.topics import Topic
from pipeline.watchdog import Watchdog

logger = logging.getLogger(__name__)

TRANSACTION_TIMEOUT_MS = 15_000
SESSION_TIMEOUT_MS = 15_000

Partition = tuple[str, int]
"""A topic's name and a partition's number."""


class Count(NamedTuple):
    """How many records a stage has taken from one partition, and how many of them it refused; ever."""

    processed: int = 0
    rejected: int = 0


class Position(NamedTuple):
    """Where a partition's next record is, and how many were taken up to there."""

    offset: int
    taken: Count = Count()


@contextmanager
def _passing() -> Iterator[None]:
    """Tell Kafka's errors apart: who lost its work to another is fenced; all else may succeed later."""
    try:
        yield
    except kafka_errors.ProducerFencedError as error:
        raise Fenced("another process has this transactional id now", detail=str(error)) from error
    except kafka_errors.KafkaError as error:
        raise PassingFault("Kafka could not do it now", detail=f"{type(error).__name__}: {error}") from error


def _client(settings: Settings, name: str) -> dict[str, Any]:
    return {"bootstrap_servers": settings.bootstrap_servers, "client_id": name}


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes which partitions came; they are placed after the poll, outside the client's own callback."""

    def __init__(self) -> None:
        self.fresh: set[TopicPartition] = set()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.fresh.update(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.fresh.difference_update(revoked)


class Reader:
    """A member of the group ``group`` on ``names``, reading committed records only, in each partition's order.

    ``position_of`` says where each newly assigned partition begins; without it the group's own offsets in Kafka do.
    A batch has at most BATCH_RECORDS records, or ``most`` when that is less.
    Raises PassingFault when Kafka cannot be reached, OffsetsDisagree when the place to begin is not in the topic.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        names: Sequence[str],
        position_of: Callable[[Sequence[Partition]], Mapping[Partition, int]] | None = None,
        most: int | None = None,
    ) -> None:
        self._position_of = position_of
        self._assignments = _Assignments()
        self.counts: dict[Partition, Count] = {}
        # The group's metadata as of the last poll, for the Writer to fence stale members with.
        self.metadata: Any = None
        with _passing():
            self._consumer = KafkaConsumer(
                **_client(settings, group),
                group_id=group,
                isolation_level="read_committed",
                enable_auto_commit=False,
                # Never silently elsewhere: each partition is placed by us, and a place that is gone is an error.
                auto_offset_reset="none",
                max_poll_records=min(settings.batch_records, most or settings.batch_records),
                # With little to do an answer comes at once; 4 MiB bounds what waits in memory.
                fetch_max_bytes=4 * 1024 * 1024,
                max_partition_fetch_bytes=1024 * 1024,
                session_timeout_ms=SESSION_TIMEOUT_MS,
                heartbeat_interval_ms=3_000,
                max_poll_interval_ms=max(300_000, settings.watchdog_seconds * 2_000),
            )
            self._consumer.subscribe(topics=list(names), listener=self._assignments)

    def poll(self, seconds: float = 1.0) -> list[Incoming]:
        """The next records, at most a batch of them, within ``seconds``; empty when there are none."""
        with _passing():
            try:
                polled = self._consumer.poll(timeout_ms=int(seconds * 1000))
            except kafka_errors.NoOffsetForPartitionError:
                polled = {}
            except kafka_errors.OffsetOutOfRangeError as error:
                raise OffsetsDisagree(
                    "a record that was to be read next is not in Kafka any more",
                    detail=str(error),
                    hint="Kafka has deleted records (KAFKA_RETENTION_HOURS) before this stage had read them.",
                ) from error
            if self._assignments.fresh:
                fresh = set(self._assignments.fresh)
                self._place(fresh)
                self._assignments.fresh.clear()
                # What came from a partition before it was placed is read again from the right place.
                polled = {partition: batch for partition, batch in polled.items() if partition not in fresh}
            # As of now, while the partitions are surely ours: a process that is frozen from here to its commit comes
            # back with the member's old generation, and the broker fences it.
            self.metadata = self._consumer.group_metadata()
        return [
            Incoming(
                Place(record.topic, record.partition, record.offset),
                record.key,
                record.value,
                record.timestamp,
                tuple(record.headers),
            )
            for batch in polled.values()
            for record in batch
        ]

    def _place(self, fresh: set[TopicPartition]) -> None:
        first = self._consumer.beginning_offsets(list(fresh))
        end = self._consumer.end_offsets(list(fresh))
        given = self._position_of([(one.topic, one.partition) for one in fresh]) if self._position_of else {}
        for one in sorted(fresh):
            name = (one.topic, one.partition)
            offset = given.get(name)
            if self._position_of is None:
                committed = self._consumer.committed(one, metadata=True)
                if committed is not None and committed.offset >= 0:
                    offset = committed.offset
                    self.counts[name] = _count_from(committed.metadata)
                else:
                    self.counts[name] = Count()
            if offset is None:
                offset = first[one]
                if offset > 0:
                    event(
                        logger,
                        logging.WARNING,
                        "partition begins late",
                        partition=one.partition,
                        topic=one.topic,
                        offset=offset,
                        why="older records were deleted by retention before this reader began",
                    )
            elif offset < first[one]:
                raise OffsetsDisagree(
                    f"records of {one.topic}-{one.partition} were deleted before they were read",
                    detail=f"the next offset to read is {offset}, the first one in Kafka is {first[one]}",
                    hint='They are beyond KAFKA_RETENTION_HOURS; see "When offsets disagree" in the README.',
                )
            elif offset > end[one]:
                raise OffsetsDisagree(
                    f"{one.topic}-{one.partition} is shorter than what was read of it",
                    detail=f"the next offset to read is {offset}, the topic ends at {end[one]}",
                    hint='Kafka\'s data was restored or lost; see "When offsets disagree" in the README.',
                )
            self._consumer.seek(one, offset)
        event(logger, logging.INFO, "partitions assigned", partitions=len(self._consumer.assignment()))

    def close(self) -> None:
        """Leave the group, within some seconds; never raises, for what was not committed is simply read again."""
        with suppress(Exception):
            self._consumer.close(autocommit=False, timeout_ms=3_000)


def _count_from(metadata: str | None) -> Count:
    try:
        processed, rejected = (metadata or "0,0").split(",")
        return Count(int(processed), int(rejected))
    except ValueError:
        return Count()


class Writer:
    """Sends batches, each in one transaction, under ``transactional_id``.

    Making one ends whatever transaction an earlier process left open under the same id, and fences that process.
    After any error a Writer is of no more use: close it and make a new one.
    """

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        with _passing():
            self._producer = KafkaProducer(
                **_client(settings, transactional_id),
                transactional_id=transactional_id,
                transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
                acks="all",
                compression_type="lz4",
                batch_size=128 * 1024,
                linger_ms=5,
                max_request_size=topics.REJECTED_RECORD_BYTES + 100_000,
                max_block_ms=10_000,
            )
            try:
                self._producer.init_transactions()
                self._begun = self._epoch()
            except BaseException:
                self.close()
                raise

    def commit(
        self,
        records: Iterable[Outgoing],
        positions: Mapping[Partition, Position] | None = None,
        group: Any = None,
    ) -> None:
        """Commit the records, and with them the positions of ``group``: all or nothing.

        Raises Fenced when another process has taken over, PassingFault for all else.
        """
        with _passing():
            self._producer.begin_transaction()
            sent = [
                self._producer.send(
                    record.topic,
                    key=record.key,
                    value=record.value,
                    timestamp_ms=record.timestamp_ms,
                    headers=list(record.headers),
                )
                for record in records
            ]
            # A record that could not be sent is told by its own future alone: the client goes on without it, and would
            # commit the offsets of records that are nowhere.
            self._producer.flush()
            for one in sent:
                if not one.succeeded():
                    raise one.exception or kafka_errors.KafkaTimeoutError("a record was neither sent nor refused")
            if positions:
                if group.generation_id < 0 or not group.member_id:
                    # The broker would take such a commit from anybody.
                    raise PassingFault("this process is no member of its group any more")
                self._producer.send_offsets_to_transaction(
                    {
                        TopicPartition(*partition): OffsetAndMetadata(
                            position.offset, f"{position.taken.processed},{position.taken.rejected}", -1
                        )
                        for partition, position in positions.items()
                    },
                    group,
                )
            self._check_epoch()
            self._producer.commit_transaction()
            self._check_epoch()

    def _epoch(self) -> object:
        return self._producer._transaction_manager.producer_id_and_epoch

    def _check_epoch(self) -> None:
        """Raises PassingFault when the client has taken a new epoch on its own.

        After some faults it does (KIP-360), although the broker has then rolled back what was sent under the old one:
        what is committed under the new epoch is a part of the batch at best. A Writer has one epoch in its life.
        """
        if self._epoch() != self._begun:
            raise PassingFault("the transaction was rolled back by the broker", detail="it was open for too long")

    def close(self) -> None:
        """Let go of the connection within two seconds. The broker, or the next Writer, ends what is open."""
        with suppress(Exception):
            self._producer.close(timeout=2)


class _TransactionalPublisher:
    def __init__(self, writer: Writer, watchdog: Watchdog) -> None:
        self._writer = writer
        self._watchdog = watchdog

    def publish(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            size = len(record.key or b"") + len(record.value or b"")
            limit = topics.REJECTED_RECORD_BYTES if record.topic == topics.REJECTED else topics.RECORD_BYTES
            if size > limit:
                raise PipelineError(
                    f"a record for {record.topic} is too large",
                    detail=f"key {(record.key or b'').decode('utf-8', 'replace')!r} has {size} bytes, "
                    f"at most {limit} are taken",
                    hint="Nothing of this fetch was sent.",
                )
        with self._watchdog.watching():
            self._writer.commit(records)


@contextmanager
def slot(directory: Path, stage: str) -> Iterator[int]:
    """The first free slot of a stage, from 0, held as a lock on a file until the block ends or the process dies.

    The slot makes the transactional.id: the same again after every restart, never the same in two living processes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(1000):
        path = directory / f"{stage}.{number}.lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as error:
            raise PipelineError(
                f"the lock {path} cannot be opened", detail=str(error), hint="It belongs to another user: remove it."
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        try:
            yield number
        finally:
            os.close(handle)
        return
    raise PipelineError(f"no free slot for {stage} in {directory}")


@contextmanager
def publisher(settings: Settings, stage: str) -> Iterator[Publisher]:
    """A Publisher of its own slot, for programs that are no stage: the fetcher, a replay."""
    with slot(settings.run / "slots", stage) as number:
        writer = Writer(settings, f"{stage}-{number}")
        try:
            yield _TransactionalPublisher(writer, Watchdog(settings.watchdog_seconds))
        finally:
            writer.close()


@contextmanager
def _admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    with _passing():
        admin = KafkaAdminClient(**_client(settings, "administrator"), request_timeout_ms=10_000)
        try:
            yield admin
        finally:
            admin.close()


def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing; the names of those.

    Existing ones keep their data, and get the retention and the number of partitions of the settings. Raises
    SettingsError when there are more partitions than KAFKA_PARTITIONS: they cannot become fewer.
    """
    retention = {"retention.ms": str(settings.kafka_retention_hours * 3_600_000), "retention.bytes": "-1"}
    with _admin(settings) as admin:
        there = set(admin.list_topics())
        missing = [topic for topic in topics.ALL if topic.name not in there]
        if missing:
            admin.create_topics(
                [
                    NewTopic(
                        topic.name,
                        num_partitions=topic.partitions or settings.kafka_partitions,
                        replication_factor=-1,
                        topic_configs={**retention, **topic.config},
                    )
                    for topic in missing
                ]
            )
            admin.wait_for_topics([topic.name for topic in missing])
        existing = [topic for topic in topics.ALL if topic.name in there]
        _bring_up_to_date(admin, settings, existing, retention)
    return [topic.name for topic in missing]


def _bring_up_to_date(
    admin: KafkaAdminClient, settings: Settings, existing: Sequence[Topic], retention: dict[str, str]
) -> None:
    if not existing:
        return
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, retention) for topic in existing])
    numbers = {one["name"]: len(one["partitions"]) for one in admin.describe_topics([t.name for t in existing])}
    more = {}
    for topic in existing:
        wanted = topic.partitions or settings.kafka_partitions
        if numbers[topic.name] > wanted:
            raise SettingsError(
                f"KAFKA_PARTITIONS is {wanted}; allowed: at least {numbers[topic.name]}",
                detail=f"{topic.name} has {numbers[topic.name]} partitions, and partitions can only become more",
            )
        if numbers[topic.name] < wanted:
            more[topic.name] = NewPartitions(wanted)
    if more:
        admin.create_partitions(more)


def ensure_topic(settings: Settings, name: str, config: Mapping[str, str], partitions: int = 6) -> None:
    """Create a topic that is none of the pipeline's own, if it is missing."""
    with _admin(settings) as admin:
        if name not in admin.list_topics():
            admin.create_topics(
                [NewTopic(name, num_partitions=partitions, replication_factor=-1, topic_configs=dict(config))]
            )
            admin.wait_for_topics([name])


class TopicIdentity(NamedTuple):
    cluster_id: str
    topic_id: str
    partitions: int


def identities(settings: Settings, names: Sequence[str]) -> dict[str, TopicIdentity]:
    """Cluster id, topic id and number of partitions of each topic. Raises PassingFault when one is not there."""
    with _admin(settings) as admin:
        cluster = str(admin.describe_cluster()["cluster_id"])
        found = {
            topic["name"]: TopicIdentity(cluster, str(topic["topic_id"]), len(topic["partitions"]))
            for topic in admin.describe_topics(list(names))
            if not topic.get("error_code")
        }
    missing = [name for name in names if name not in found]
    if missing:
        raise PassingFault(f"Kafka has no topic {', '.join(missing)}", hint="Run ./Project_Initialize.sh again.")
    return found


def ready(settings: Settings) -> None:
    """Raises PassingFault unless the broker serves metadata."""
    with _admin(settings) as admin:
        admin.describe_cluster()


def group_ready(settings: Settings, group: str) -> bool:
    """Whether the group is stable and every one of its members has answered with its partitions."""
    with _admin(settings) as admin:
        described = admin.describe_groups([group])[group]
        return described.get("group_state") == "Stable" and bool(described.get("members"))


def group_positions(settings: Settings, group: str) -> dict[Partition, Position]:
    """What a transforming stage has committed, per partition."""
    with _admin(settings) as admin:
        offsets = admin.list_group_offsets(group)[group]
    return {
        (one.topic, one.partition): Position(its.offset, _count_from(its.metadata))
        for one, its in offsets.items()
        if its.offset >= 0
    }


def _plain_consumer(settings: Settings) -> KafkaConsumer:
    return KafkaConsumer(
        **_client(settings, "reader"),
        group_id=None,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )


def _read(consumer: KafkaConsumer, start: Mapping[TopicPartition, int], seconds: float) -> Iterator[Any]:
    """Committed records from ``start`` on to the end as it is now; ends early, with what it has, after ``seconds``."""
    end = consumer.end_offsets(list(start))
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
    with _passing():
        consumer = _plain_consumer(settings)
        try:
            end = consumer.end_offsets([TopicPartition(*one) for one in partitions])
            return {(one.topic, one.partition): offset for one, offset in end.items()}
        finally:
            consumer.close(autocommit=False)


def lag(settings: Settings, positions: Mapping[Partition, int], seconds: float = 5.0) -> dict[Partition, int]:
    """Records between each position and the end of its partition: records, for offsets also count markers.

    They are counted by reading. What cannot be read within ``seconds`` counts by its offsets, which is an upper bound.
    """
    with _passing():
        consumer = _plain_consumer(settings)
        try:
            start = {TopicPartition(*one): offset for one, offset in positions.items()}
            end = consumer.end_offsets(list(start))
            begin = consumer.beginning_offsets(list(start))
            start = {one: max(offset, begin[one]) for one, offset in start.items()}
            counted = dict.fromkeys(positions, 0)
            for record in _read(consumer, start, seconds):
                counted[(record.topic, record.partition)] += 1
            for one in start:
                reached = consumer.position(one) if one in consumer.assignment() else end[one]
                counted[(one.topic, one.partition)] += max(0, end[one] - reached)
            return counted
        finally:
            consumer.close(autocommit=False)


def tail(settings: Settings, topic: str, count: int, seconds: float = 10.0) -> list[Incoming]:
    """The last ``count`` committed records of a topic, oldest first."""
    with _passing():
        consumer = _plain_consumer(settings)
        try:
            numbers = consumer.partitions_for_topic(topic)
            if not numbers:
                raise PassingFault(f"Kafka has no topic {topic}", hint="Run ./Project_Initialize.sh again.")
            ones = [TopicPartition(topic, number) for number in numbers]
            begin, end = consumer.beginning_offsets(ones), consumer.end_offsets(ones)
            # Two offsets a record, for each transaction of one record ends with a marker.
            start = {one: max(begin[one], end[one] - 2 * count - 2) for one in ones}
            records = [
                Incoming(
                    Place(record.topic, record.partition, record.offset),
                    record.key,
                    record.value,
                    record.timestamp,
                    tuple(record.headers),
                )
                for record in _read(consumer, start, seconds)
            ]
            return sorted(records, key=lambda record: (record.timestamp_ms, record.place))[-count:]
        finally:
            consumer.close(autocommit=False)
