"""Transactions that hang: told as complete by their coordinator, and yet open in some of their partitions.

Whoever reads committed records stops in front of one for good, and so does a stage whose offsets it holds. Kafka 4.3
and 4.4 leave one when the broker is killed between a decision and its markers: starting again, the coordinator meets
partitions that have no leader yet, takes them for deleted and says that it is done (KAFKA-20734). What hangs is ended
here with the markers that are missing, and as the coordinator has decided, which stands in its log. Kafka's own tool
(KIP-664) only ever rolls back: here that would lose records whose offsets are committed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.protocol.producer.transaction import WriteTxnMarkersRequest

from pipeline import topics
from pipeline.broker.administration import administrator
from pipeline.broker.connection import Partition
from pipeline.broker.transaction_log import decisions
from pipeline.errors import PassingFault
from pipeline.log import event
from pipeline.settings import Settings

logger = logging.getLogger(__name__)

OFFSETS = "__consumer_offsets"
WATCHED = (*(topic.name for topic in topics.ALL), OFFSETS)
_UNDER_WAY = frozenset(("Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence"))


class Open(NamedTuple):
    """A transaction that is open in a partition, from an offset on, and the broker that leads the partition."""

    partition: Partition
    offset: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    leader: int


def mend_own(settings: Settings, transactional_id: str, begun: Any) -> None:
    """End what hangs of a transactional.id whose epoch this process has just raised, having begun nothing in it yet.

    By then the coordinator says that all earlier transactions are complete: whatever is still open of an earlier epoch
    hangs. ``begun``: producer id and epoch. Raises PassingFault when Kafka cannot say or do it now, Fenced when another
    process has the transactional.id by now: what is open is then its own.
    """
    with administrator(settings) as admin:
        hanging = {one.partition: one for one in _open(admin) if one.producer_id == begun.producer_id}
        if any(one.producer_epoch >= begun.epoch for one in hanging.values()):
            raise kafka_errors.ProducerFencedError(f"{transactional_id} has begun a transaction elsewhere")
        if not hanging:
            return
        decided = decisions(settings, transactional_id, frozenset(hanging))
        for partition, one in sorted(hanging.items()):
            # When the log has forgotten: rather somebody twice, whom the stores know, than nobody.
            committed = decided.get(partition, partition[0] != OFFSETS)
            _mark(admin, one, committed)
            event(
                logger,
                logging.WARNING,
                "a hanging transaction was ended",
                committed=committed,
                decided=partition in decided,
                offset=one.offset,
                partition=partition[1],
                topic=partition[0],
                transactional_id=transactional_id,
            )


def of_others(settings: Settings) -> list[str]:
    """The transactional.ids of which something hangs and nothing is under way."""
    with administrator(settings) as admin:
        before = set(_open(admin))
        if not before:
            return []
        known = _transactions(admin)
        # The same transaction before and after the coordinator said that there is none: it is not about to be ended.
        left = before & set(_open(admin))
    for one in sorted(left):
        if one.producer_id not in known:
            # Its transactional.id has another producer id by now, as after each 32,767 epochs.
            event(
                logger,
                logging.WARNING,
                "a transaction is open whose producer nobody knows; kafka-transactions.sh abort ends it",
                offset=one.offset,
                partition=one.partition[1],
                producer_id=one.producer_id,
                topic=one.partition[0],
            )
    names = {
        known[one.producer_id].transactional_id
        for one in left
        if one.producer_id in known and known[one.producer_id].state.value not in _UNDER_WAY
    }
    return sorted(names)


def _transactions(admin: Any) -> dict[int, Any]:
    """The transactional.ids and their states, by producer id."""
    try:
        return {one.producer_id: one for ones in admin.list_transactions().values() for one in ones}
    except ValueError as error:
        raise PassingFault("Kafka names a state of transactions that is not known here", detail=str(error)) from error


def _open(admin: Any) -> Iterable[Open]:
    """The open transactions of all watched partitions. Raises PassingFault while one of these has no leader."""
    leaders = {
        (topic["name"], partition["partition_index"]): partition["leader_id"]
        for topic in admin.describe_topics(list(WATCHED))
        if not topic.get("error_code")
        for partition in topic["partitions"]
    }
    if leaderless := [f"{name}-{number}" for (name, number), leader in leaders.items() if leader < 0]:
        raise PassingFault("Kafka has partitions without a leader", detail=", ".join(leaderless))
    for leader in sorted(set(leaders.values())):
        theirs = [TopicPartition(*one) for one, its in leaders.items() if its == leader]
        for where, state in admin.describe_producers(theirs, broker_id=leader).items():
            for one in state.active_producers:
                if one.current_transaction_start_offset >= 0:
                    yield Open(
                        (where.topic, where.partition),
                        one.current_transaction_start_offset,
                        one.producer_id,
                        one.producer_epoch,
                        one.coordinator_epoch,
                        leader,
                    )


def _mark(admin: Any, one: Open, committed: bool) -> None:
    """Write the end of a transaction into its partition, as its coordinator would have."""
    marker = WriteTxnMarkersRequest.WritableTxnMarker
    name, number = one.partition
    request = WriteTxnMarkersRequest(
        markers=[
            marker(
                producer_id=one.producer_id,
                producer_epoch=one.producer_epoch,
                transaction_result=committed,
                topics=[marker.WritableTxnMarkerTopic(name=name, partition_indexes=[number])],
                coordinator_epoch=one.coordinator_epoch,
            )
        ]
    )

    async def send() -> Any:
        return await admin._manager.send(request, node_id=one.leader)

    for answer in admin._manager.run(send).markers:
        for topic in answer.topics:
            for partition in topic.partitions:
                fault: Callable[[str], BaseException] = kafka_errors.for_code(partition.error_code)
                if fault is not kafka_errors.NoError:
                    raise fault(f"the end of a hanging transaction in {name}-{number}")
