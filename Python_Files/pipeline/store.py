"""What a stage at the end of the chain does with a batch: hands it to a sink, which says where to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from pipeline.broker import Partition, Reader, TopicIdentity, identities, slot
from pipeline.records import Incoming
from pipeline.settings import Settings


class Sink(Protocol):
    """Where people end. ``write`` commits a whole batch with its offsets or raises and changes nothing.

    ``most`` bounds a batch below BATCH_RECORDS for a sink that is slow: a batch must end well within WATCHDOG_SECONDS.
    """

    most: int | None

    def position_of(self, partitions: Sequence[Partition]) -> dict[Partition, int]: ...

    def write(self, batch: Sequence[Incoming]) -> object: ...

    def close(self) -> None: ...


class Store:
    """Records of some topics into a Sink, which says where each partition goes on."""

    def __init__(self, settings: Settings, sink: Sink, group: str, names: Sequence[str], number: int) -> None:
        self._sink = sink
        self._reader = Reader(settings, group, names, sink.position_of, sink.most, number=number)

    def turn(self) -> int:
        batch = self._reader.poll()
        if batch:
            self._sink.write(batch)
        return len(batch)

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
    with slot(settings.run / "slots", group) as number:

        def make() -> Store:
            sink = sink_of(settings, identities(settings, names))
            try:
                return Store(settings, sink, group, names, number)
            except BaseException:
                sink.close()
                raise

        yield make
