"""What a stage at the end of the chain does with a batch: hands it to a sink, which says where to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from pipeline import topics
from pipeline.broker import Partition, Reader, TopicIdentity, identities, slot
from pipeline.errors import Rejected
from pipeline.metrics import files
from pipeline.metrics import names as metrics
from pipeline.records import Incoming
from pipeline.settings import Settings


class Written(Protocol):
    """What became of a batch: every record of it is in exactly one of these, or simply stored."""

    @property
    def repeats(self) -> Sequence[Repeated]: ...

    @property
    def rejected(self) -> Sequence[tuple[Incoming, Rejected]]: ...


class Repeated(Protocol):
    """A record whose person the store had."""

    @property
    def record(self) -> Incoming: ...


class Sink(Protocol):
    """Where people end. ``write`` commits a whole batch with its offsets or raises and changes nothing.

    ``most`` bounds a batch below BATCH_RECORDS for a sink that is slow: a batch must end well within WATCHDOG_SECONDS.
    """

    most: int | None

    def position_of(self, partitions: Sequence[Partition]) -> dict[Partition, int]: ...

    def write(self, batch: Sequence[Incoming]) -> Written: ...

    def close(self) -> None: ...


class Store:
    """Records of some topics into a Sink, which says where each partition goes on."""

    def __init__(self, settings: Settings, sink: Sink, group: str, names: Sequence[str], number: int) -> None:
        self._sink, self._group = sink, group
        self._reader = Reader(settings, group, names, sink.position_of, sink.most, number=number)

    def turn(self) -> int:
        batch = self._reader.poll()
        if batch:
            with metrics.batch(len(batch), (record.place.topic for record in batch)):
                written = self._sink.write(batch)
            self._count(batch, written)
        return len(batch)

    def _count(self, batch: Sequence[Incoming], written: Written) -> None:
        other = {one.record.place for one in written.repeats} | {record.place for record, _ in written.rejected}
        stored = [record for record in batch if record.place not in other]
        people = [record for record in stored if record.place.topic == topics.STORED]
        metrics.RECORDS_OUT.labels(topics.STORES[self._group]).inc(len(stored))
        metrics.RECORDS_REPEATED.inc(len(written.repeats))
        for _, fault in written.rejected:
            metrics.RECORDS_REJECTED.labels(fault.reason).inc()
        # What is sent again carries the moment of its first fetch, which says nothing about the way.
        metrics.stored([record.timestamp_ms for record in people if not record.header(topics.REPLAY_OF)])

    @property
    def assigned(self) -> bool:
        return self._reader.assigned

    def close(self, *, leaving: bool = False) -> None:
        self._reader.close(leaving=leaving)
        self._sink.close()


MakeSink = Callable[[Settings, dict[str, TopicIdentity]], Sink]


@contextmanager
def storing(settings: Settings, sink_of: MakeSink, group: str, names: Sequence[str]) -> Iterator[Callable[[], Store]]:
    """A maker of Stores that all have the same slot: each begins with the topics' present ids and a new connection."""
    counted = (metrics.STAGES, metrics.SINKS)
    with slot(settings.run / "slots", group) as number, files.telling(settings.run, group, counted, number):

        def make() -> Store:
            sink = sink_of(settings, identities(settings, names))
            try:
                return Store(settings, sink, group, names, number)
            except BaseException:
                sink.close()
                raise

        yield make
