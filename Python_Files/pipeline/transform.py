"""What a stage between two topics does with a batch: each record through its step, what it refuses set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pipeline import topics
from pipeline.broker import Count, Partition, Position, Reader, Writer, slot
from pipeline.errors import Rejected
from pipeline.metrics import files, names
from pipeline.records import Headers, Incoming, Outgoing, fingerprint
from pipeline.settings import Settings
from pipeline.steps import Step


class Transform:
    """Records of one topic, through a step, into the next; refused ones into users.rejected.

    Each batch is one Kafka transaction of what is sent and of how far was read.
    """

    def __init__(self, settings: Settings, stage: str, source: str, target: str, step: Step, number: int) -> None:
        self._stage, self._target, self._step = stage, target, step
        self._writer = Writer(settings, f"{stage}-{number}")
        try:
            self._reader = Reader(settings, stage, [source], number=number)
        except BaseException:
            self._writer.close()
            raise

    def turn(self) -> int:
        batch = self._reader.poll()
        if not batch:
            return 0
        with names.batch(len(batch), (record.place.topic for record in batch)):
            outgoing, taken = transform(batch, self._stage, self._target, self._step, self._reader.counts)
            self._writer.commit(outgoing, taken, self._reader.metadata)
        _count(outgoing)
        self._reader.counts.update({one: position.taken for one, position in taken.items()})
        return len(batch)

    @property
    def assigned(self) -> bool:
        return self._reader.assigned

    def close(self, *, leaving: bool = False) -> None:
        # The writer first: its transaction, if one is open, is ended before somebody else gets the partitions.
        self._writer.close()
        self._reader.close(leaving=leaving)


def transform(
    batch: Sequence[Incoming], stage: str, target: str, step: Step, counts: dict[Partition, Count]
) -> tuple[list[Outgoing], dict[Partition, Position]]:
    """What a batch becomes: the records to send, and the position of each partition after it."""
    outgoing: list[Outgoing] = []
    taken: dict[Partition, Position] = {}
    for record in batch:
        one = (record.place.topic, record.place.partition)
        before = taken[one].taken if one in taken else counts.get(one, Count())
        try:
            made = Outgoing(
                target, record.key, step(record.value, record.timestamp_ms), record.timestamp_ms, record.headers
            )
            _check_size(made)
            outgoing.append(made)
            refused = 0
        except Rejected as fault:
            outgoing.append(set_aside(record, stage, fault))
            refused = 1
        taken[one] = Position(record.place.offset + 1, Count(before.processed + 1, before.rejected + refused))
    return outgoing, taken


def _count(outgoing: Sequence[Outgoing]) -> None:
    """Records that are committed: how many to which topic, and why some of them were set aside."""
    for target, count in Counter(one.topic for one in outgoing).items():
        names.RECORDS_OUT.labels(target).inc(count)
    for record in outgoing:
        if record.topic == topics.REJECTED:
            names.RECORDS_REJECTED.labels(dict(record.headers)[topics.REASON].decode()).inc()


def _check_size(record: Outgoing) -> None:
    """Raises Rejected for a record that the next topic cannot take. Sent compressed, it fitted into the one before."""
    most = topics.MOST_BYTES.get(record.topic, topics.RECORD_BYTES)
    if record.size > most:
        raise Rejected(
            "too_large", f"the record has {record.size} bytes with key and headers, {record.topic} takes {most}"
        )


def set_aside(record: Incoming, stage: str, fault: Rejected) -> Outgoing:
    """The record for users.rejected: its bytes and headers as they are, and who refused it, why, and where it stood.

    Of one that is too large for that topic too, which only compression brought through Kafka, length and hash are kept.
    """
    added: Headers = tuple(
        (name, content.encode("utf-8", "backslashreplace"))
        for name, content in (
            (topics.STAGE, stage),
            (topics.REASON, fault.reason),
            (topics.MESSAGE, fault.message[:2000]),
            (topics.ORIGIN_TOPIC, record.place.topic),
            (topics.ORIGIN_PARTITION, str(record.place.partition)),
            (topics.ORIGIN_OFFSET, str(record.place.offset)),
            (topics.ORIGIN_TIMESTAMP, str(record.timestamp_ms)),
        )
    )
    kept = tuple((name, content) for name, content in record.headers if name not in topics.OF_A_REFUSAL)
    # A tombstone has no value, and users.rejected is not compacted: an empty value there would read the same, so the
    # key of a record without one is kept as it is and None stays None.
    whole = Outgoing(topics.REJECTED, record.key, record.value, max(record.timestamp_ms, 0), kept + added)
    if whole.size <= topics.REJECTED_RECORD_BYTES:
        return whole
    known = (topics.FETCH_ID, topics.SOURCE, topics.REPLAY_OF)
    few = tuple((name, content[:200]) for name, content in kept if name in known)[: len(known)]
    key = record.key if len(record.key or b"") <= 1000 else None
    return whole._replace(key=key, value=fingerprint(record.value or b""), headers=few + added)


@contextmanager
def transforming(
    settings: Settings, stage: str, source: str, target: str, step: Step
) -> Iterator[Callable[[], Transform]]:
    """A maker of Transforms that all have the same slot, held until the block ends."""
    with slot(settings.run / "slots", stage) as number, files.telling(settings.run, stage, (names.STAGES,), number):
        yield lambda: Transform(settings, stage, source, target, step, number)
