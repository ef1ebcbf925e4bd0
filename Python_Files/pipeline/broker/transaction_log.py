"""What the transaction coordinator has written of its decisions: the records of __transaction_state.

Source: TransactionLogKey.json and TransactionLogValue.json of Kafka's transaction-coordinator, versions 0 and 1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kafka import TopicPartition
from kafka import errors as kafka_errors

from pipeline.broker.connection import Partition
from pipeline.broker.looking import plain_consumer, read
from pipeline.settings import Settings

TOPIC = "__transaction_state"
_STATES = ("ongoing", "commit", "abort", "committed", "aborted", "dead", "fence")
"""By number from 1 (0 is a transactional.id that has not begun one): open, decided to commit or to roll back, and told
as done; ``fence`` rolls back what a former process or one that took too long has left open."""
_STEP = 2_000
_SECONDS = 20.0
"""For so many records."""


class Entry(NamedTuple):
    """A state of the transactions of one transactional.id, with the partitions that take part."""

    state: str
    partitions: frozenset[Partition]

    @property
    def decision(self) -> bool | None:
        """Whether it was decided to commit these partitions, or to roll them back; None when neither."""
        return {"commit": True, "abort": False, "fence": False}.get(self.state)


class _Bytes:
    """Kafka's own encodings, read one after the other."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def take(self, layout: str) -> tuple[int, ...]:
        found = struct.unpack_from(f">{layout}", self._content, self._at)
        self._at += struct.calcsize(f">{layout}")
        return found

    def text(self, length: int) -> str:
        self._at += length
        return self._content[self._at - length : self._at].decode()

    def unsigned(self) -> int:
        """An unsigned varint."""
        value = shift = 0
        while True:
            (byte,) = self.take("B")
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7


def transactional_id_of(key: bytes) -> str | None:
    """The transactional.id of a record's key; None for a kind of key that is none."""
    content = _Bytes(key)
    version, length = content.take("hh")
    return content.text(length) if version == 0 else None


def entry_of(value: bytes) -> Entry | None:
    """A record's value; None for a version that is not known.

    >>> entry_of(bytes.fromhex("0000 0000000000000005 0002 00003a98 04 00000000 0000000000000000 0000000000000000"))
    Entry(state='committed', partitions=frozenset())
    """
    content = _Bytes(value)
    version, _, _, _, state = content.take("hqhib")
    partitions: set[Partition] = set()
    if version == 0:
        (topics,) = content.take("i")
        for _ in range(topics):
            topic = content.text(*content.take("h"))
            (count,) = content.take("i")
            partitions.update((topic, number) for number in content.take(f"{count}i"))
    elif version == 1:
        # "Flexible": lengths are varints, one more than they say, and every structure may end with tagged fields.
        for _ in range(content.unsigned() - 1):
            topic = content.text(content.unsigned() - 1)
            partitions.update((topic, number) for number in content.take(f"{content.unsigned() - 1}i"))
            if content.unsigned():
                return None
    else:
        return None
    return Entry("" if state == 0 else _STATES[state - 1], frozenset(partitions))


def partition_of(name: str, partitions: int) -> int:
    """Where a coordinator writes of a transactional.id, or of a group: by Java's hash of the text."""
    code = 0
    for unit in struct.unpack(f">{len(name.encode('utf-16-be')) // 2}H", name.encode("utf-16-be")):
        code = (31 * code + unit) & 0xFFFFFFFF
    code -= (code & 0x80000000) << 1
    return (0 if code == -(2**31) else abs(code)) % partitions


def decisions(settings: Settings, transactional_id: str, wanted: frozenset[Partition]) -> Mapping[Partition, bool]:
    """For each of the partitions whether its last transaction under the transactional.id was decided to be committed.

    Only those are left out that the whole log has nothing of. It is read from the end, where they mostly are. Raises
    KafkaError when it cannot be read: what is older than what was not read may be the contrary.
    """
    found: dict[Partition, bool] = {}
    for entry in _backwards(settings, transactional_id):
        if entry.decision is not None:
            for partition in entry.partitions & wanted:
                found.setdefault(partition, entry.decision)
        if found.keys() >= wanted:
            break
    return found


def _backwards(settings: Settings, transactional_id: str) -> Iterator[Entry]:
    """Entries of the transactional.id, the newest first."""
    consumer = plain_consumer(settings, "read_uncommitted")
    try:
        count = len(consumer.partitions_for_topic(TOPIC) or ())
        if not count:
            raise kafka_errors.UnknownTopicOrPartitionError(TOPIC)
        one = TopicPartition(TOPIC, partition_of(transactional_id, count))
        (first,), (end,) = consumer.beginning_offsets([one]).values(), consumer.end_offsets([one]).values()
        while end > first:
            begin = max(first, end - _STEP)
            batch = [record for record in read(consumer, {one: begin}, _SECONDS, {one: end}) if record.offset < end]
            if consumer.position(one) < end:
                raise kafka_errors.KafkaTimeoutError(f"{TOPIC}-{one.partition} was not read in {_SECONDS:.0f} s")
            for record in reversed(batch):
                if record.value is not None and transactional_id_of(record.key) == transactional_id:
                    entry = entry_of(record.value)
                    if entry is not None:
                        yield entry
            end = begin
    finally:
        consumer.close(autocommit=False)
