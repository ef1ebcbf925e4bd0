"""The one loop of every stage: read a batch, work on it, commit, again; and what happens when something fails.

A stage is made to be thrown away: whatever fails in a way that may pass, it lets go of its connections, waits a
little longer each time, and begins anew from what is committed. It says so once when it stops working and once when
it works again. Nothing of a batch is kept in memory across that.
"""

from __future__ import annotations

import logging
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from pipeline import state, topics
from pipeline.broker import Count, Partition, Position, Reader, TopicIdentity, Writer, identities, slot
from pipeline.errors import PassingFault, Rejected
from pipeline.log import event
from pipeline.records import Headers, Incoming, Outgoing, fingerprint
from pipeline.settings import Settings
from pipeline.steps import Step
from pipeline.watchdog import Watchdog

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0
"""Seconds between two tries at most."""
QUIET_TURNS = 3
"""After so many turns without a record a fault is over too: what it was about would have come up again."""


class Stopping:
    """Set by SIGTERM or SIGINT: the batch at hand is finished, then the stage ends."""

    # No threading.Event: a signal handler that sets one can meet its lock held by the very thread that it interrupted.
    def __init__(self) -> None:
        self._stop_now = False

    def listen(self) -> None:
        """Take the two signals; only the main thread may call this."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self._stop_now = True

    def stop(self) -> None:
        self._stop_now = True

    def wait(self, seconds: float) -> bool:
        """Wait; True as soon as the stage is to end."""
        until = time.monotonic() + seconds
        while not self._stop_now and (left := until - time.monotonic()) > 0:
            time.sleep(min(0.1, left))
        return self._stop_now

    def __bool__(self) -> bool:
        return self._stop_now


class Faults:
    """Says a fault once when it begins and once when it is over, and how long to wait before the next try."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._tries = 0
        # The message of the fault that is not over yet.
        self.waits_for: str | None = None

    def met(self, fault: PassingFault) -> float:
        """Note a fault; seconds to wait: 0.5, 1, 2 ... 30, with some chance in it so that stages do not march."""
        if self._since is None:
            self._since = time.monotonic()
            event(logger, logging.WARNING, "paused", fault=fault.message, detail=fault.detail)
        self._tries += 1
        self.waits_for = fault.message
        longest = min(LONGEST_PAUSE, 0.5 * 2.0 ** min(self._tries - 1, 10))
        return longest * random.uniform(0.75, 1.0)  # noqa: S311 - no secret depends on it

    def over(self) -> None:
        if self._since is not None:
            event(logger, logging.INFO, "goes on", after_seconds=time.monotonic() - self._since, tries=self._tries)
        self._since, self._tries, self.waits_for = None, 0, None


class Work(Protocol):
    """One life of a stage: its connections, and what it does with them."""

    def turn(self) -> int:
        """Read one batch, if there is one, and finish it; how many records it had."""

    @property
    def assigned(self) -> bool:
        """Whether its group has given it its partitions, which may be none when others have them all."""

    def close(self, *, leaving: bool = False) -> None:
        """Let go of everything; ``leaving`` when nothing takes this process' place."""


def run(make: Callable[[], Work], settings: Settings, stopping: Stopping, told: state.State | None = None) -> None:
    """Work until ``stopping``. Passing faults only pause it; Fenced and OffsetsDisagree are raised and end it.

    Which of it is the case is ``told`` at every turn, where PIPELINE_STATE_FILE says unless another place is given.
    """
    member = state.Member(told or state.from_environment())
    watchdog = Watchdog(settings.watchdog_seconds)
    watchdog.arm()
    faults = Faults()
    while not stopping:
        work: Work | None = None
        try:
            work = make()
            quiet = 0
            while not stopping:
                watchdog.beat()
                records = work.turn()
                quiet = quiet + 1 if work.assigned and not records else 0
                if records or quiet >= QUIET_TURNS:
                    faults.over()
                member.turned(work.assigned, faults.waits_for)
        except PassingFault as fault:
            pause = faults.met(fault)
            member.paused(fault.message)
        else:
            pause = 0.0
        finally:
            if work is not None:
                watchdog.beat()
                work.close(leaving=bool(stopping))
        until = time.monotonic() + pause
        while time.monotonic() < until and not stopping.wait(min(1.0, pause)):
            watchdog.beat()
            member.paused(faults.waits_for or "")


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
        outgoing, taken = transform(batch, self._stage, self._target, self._step, self._reader.counts)
        self._writer.commit(outgoing, taken, self._reader.metadata)
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


@contextmanager
def transforming(
    settings: Settings, stage: str, source: str, target: str, step: Step
) -> Iterator[Callable[[], Transform]]:
    """A maker of Transforms that all have the same slot, held until the block ends."""
    with slot(settings.run / "slots", stage) as number:
        yield lambda: Transform(settings, stage, source, target, step, number)


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
