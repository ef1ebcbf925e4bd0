"""A member of a consumer group that reads what is committed, from places that are known."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kafka import ConsumerRebalanceListener, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import MemberState

from pipeline.broker.administration import leave
from pipeline.broker.connection import (
    SESSION_TIMEOUT_MS,
    Consumer,
    Count,
    Partition,
    client,
    count_from,
    incoming,
    passing,
)
from pipeline.errors import OffsetsDisagree, PassingFault
from pipeline.log import event
from pipeline.records import Incoming
from pipeline.settings import Settings

logger = logging.getLogger(__name__)

JOIN_SECONDS = 30
"""What a rebalance may take besides the batches that members have at hand."""


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
    A batch has at most BATCH_RECORDS records, or ``most`` when that is less. ``number`` is the process' slot: whoever
    holds it next is the same member to the group (static membership, KIP-345), so that what takes the place of a killed
    process, or begins anew after a fault, has its partitions at once and the group need not wait until the old session
    has run out.
    Raises PassingFault when Kafka cannot be reached or was silent for as long as a member of a group may be silent,
    OffsetsDisagree when the place to begin is not in the topic.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        names: Sequence[str],
        position_of: Callable[[Sequence[Partition]], Mapping[Partition, int]] | None = None,
        most: int | None = None,
        *,
        number: int,
    ) -> None:
        self._settings, self._group, self._instance = settings, group, f"{group}-{number}"
        self._position_of = position_of
        self._assignments = _Assignments()
        self.counts: dict[Partition, Count] = {}
        # The group's metadata as of the last poll, for the Writer to fence stale members with.
        self.metadata: Any = None
        # How long a group may take to deal its partitions out: another member may be in the middle of a batch.
        self._patience = settings.watchdog_seconds + JOIN_SECONDS
        self._joining_since: float | None = None
        # Since when the group has been at rest with this member in it.
        self._assigned_at: float | None = None
        self._heartbeat: Any = None
        with passing():
            self._consumer = Consumer(
                **client(settings, group),
                group_id=group,
                group_instance_id=self._instance,
                isolation_level="read_committed",
                enable_auto_commit=False,
                # Never silently elsewhere: each partition is placed by us, and a place that is gone is an error.
                auto_offset_reset="none",
                max_poll_records=min(settings.batch_records, most or settings.batch_records),
                # With little to do an answer comes at once; 4 MiB bounds what waits in memory.
                fetch_max_bytes=4 * 1024 * 1024,
                max_partition_fetch_bytes=1024 * 1024,
                # A broker that was lost with a request in its hands may never say so; joining has a limit of its own.
                request_timeout_ms=10_000,
                session_timeout_ms=SESSION_TIMEOUT_MS,
                heartbeat_interval_ms=3_000,
                max_poll_interval_ms=max(300_000, settings.watchdog_seconds * 2_000),
            )
            self._consumer.subscribe(topics=list(names), listener=self._assignments)

    def poll(self, seconds: float = 1.0) -> list[Incoming]:
        """The next records, at most a batch of them, within ``seconds``; empty when there are none."""
        with passing():
            try:
                polled = self._consumer.poll(timeout_ms=int(seconds * 1000))
            except kafka_errors.NoOffsetForPartitionError:
                polled = {}
                # Partitions that nobody has placed. If the client told of no new ones, a rebalance came in between: all
                # that it has now are placed (anew), for it would raise this at once, again and again.
                if not self._assignments.fresh:
                    self._assignments.fresh.update(self._consumer.assignment())
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
        if self.metadata.state != MemberState.STABLE:
            self._assigned_at = None
            self._join()
        elif self._assigned_at is None:
            self._assigned_at, self._joining_since = time.monotonic(), None
        elif not polled:
            self._listen(self._assigned_at)
        return [incoming(record) for batch in polled.values() for record in batch]

    @property
    def assigned(self) -> bool:
        """Whether, as of the last poll, the group had given this member its partitions, which may be none."""
        return self._assigned_at is not None

    def _join(self) -> None:
        """Raise PassingFault when the group does not take this member in for too long: a new one is taken sooner."""
        now = time.monotonic()
        if self._joining_since is None:
            self._joining_since = now
        waited = now - self._joining_since
        if waited > self._patience:
            raise PassingFault("the group did not give out its partitions", detail=f"waited for {waited:.0f} s")

    def _listen(self, since: float) -> None:
        """Raise PassingFault when the group has not answered this member for the length of a session.

        The client itself goes on as if nothing was read only because there is nothing to read. It sends the next
        heartbeat when the last one was answered, every three seconds, so the age of the last one says it.
        """
        if self._heartbeat is None:
            measured = self._consumer.metrics(raw=True)
            self._heartbeat = next(one for name, one in measured.items() if name.name == "last-heartbeat-seconds-ago")
        silent = min(self._heartbeat.value(), time.monotonic() - since)
        if silent > SESSION_TIMEOUT_MS / 1000:
            raise PassingFault("Kafka does not answer", detail=f"the group was not heard of for {silent:.0f} s")

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
                    self.counts[name] = count_from(committed.metadata)
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

    def close(self, *, leaving: bool = False) -> None:
        """Let go, within some seconds; never raises, for what was not committed is simply read again.

        ``leaving`` gives the partitions to the other members now. Without it they wait, for as long as a session lasts,
        for this member to be back.
        """
        with suppress(Exception):
            self._consumer.close(autocommit=False, timeout_ms=3_000)
        if leaving:
            with suppress(Exception):
                leave(self._settings, self._group, self._instance)
