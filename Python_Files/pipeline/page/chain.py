"""The chain as it is at this moment: topics and stages, with what waits, what flows, and what was refused."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from prometheus_client.core import Metric
from prometheus_client.samples import Sample

from pipeline import broker, topics
from pipeline.broker import Partition, TopicIdentity
from pipeline.database.connection import Cursor
from pipeline.database.queries import query
from pipeline.settings import Settings

EXACT_OFFSETS = 2_000
"""What is behind by no more offsets than these is counted by reading it; beyond, offsets are near enough to records."""
COUNT_SECONDS = 1.0
RATE_SECONDS = 60.0
"""Records a second are those of so many seconds: with a fetch a minute, fewer would show a pulse and no rate."""
IDENTITY_SECONDS = 60.0
LIVING_SECONDS = 30.0
"""A process tells its figures every five seconds; a batch between two of them may take its time."""
TOPICS = tuple(topic.name for topic in topics.ALL)


class Stage(NamedTuple):
    """A stage in records. ``waits`` is a bound from above where ``about``; ``rate`` is None at a first look."""

    name: str
    reads: str
    """The topic that people come from."""
    store: str | None
    """The store that it writes; None between topics."""
    waits: int
    about: bool
    processed: int
    refused: int
    rate: float | None
    states: Mapping[str, int]
    """How many processes are in which state; empty when none is known to live."""


class Chain:
    """Looks at Kafka over connections that it keeps. After a PassingFault it begins anew by itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watch: broker.Watch | None = None
        self._identities: Mapping[str, TopicIdentity] = {}
        self._identified = 0.0
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def look(self, cursor: Cursor, told: Sequence[Metric]) -> dict[str, Any]:
        """``stages``, and the ``feed``; ``told`` are the figures of all processes. Raises PassingFault."""
        try:
            return self._look(cursor, told)
        except BaseException:
            self.close()
            raise

    def _look(self, cursor: Cursor, told: Sequence[Metric]) -> dict[str, Any]:
        now = time.monotonic()
        if self._watch is None:
            self._watch = broker.Watch(self._settings)
        self._watch.reach()
        if not self._identities or now - self._identified > IDENTITY_SECONDS:
            self._identities, self._identified = broker.identities(self._settings, TOPICS), now
        states = states_of(told, time.time())
        every = [(name, number) for name, its in self._identities.items() for number in range(its.partitions)]
        ends = self._watch.ends(every)
        stages = [self._stage(cursor, name, ends, states.get(name, {})) for name in topics.STAGES]
        fetched = int(sum(one.value for one in samples(told, "pipeline_fetched_people_total")))
        feed = {"fetched": fetched, "rate": self._rate(topics.GET_DATA, fetched)}
        return {"stages": [stage._asdict() for stage in stages], "feed": feed}

    def _stage(self, cursor: Cursor, name: str, ends: Mapping[Partition, int], states: Mapping[str, int]) -> Stage:
        positions, processed, refused = self._positions(cursor, name)
        behind = {one: ends[one] - positions.get(one, 0) for one in ends if one[0] in topics.READS[name]}
        # The marker at the end of the last transaction is no record.
        behind = {one: count for one, count in behind.items() if count > 1}
        offsets, counted = sum(behind.values()) - len(behind), None
        if self._watch is not None and behind and offsets <= EXACT_OFFSETS:
            counted = self._watch.count({one: positions.get(one, 0) for one in behind}, COUNT_SECONDS)
        waits = offsets if counted is None else counted
        about = bool(behind) and counted is None
        reads, store = topics.READS[name][0], topics.STORES.get(name)
        return Stage(name, reads, store, waits, about, processed, refused, self._rate(name, processed), states)

    def _positions(self, cursor: Cursor, name: str) -> tuple[dict[Partition, int], int, int]:
        if name not in topics.STORES:
            found = self._watch.positions(name) if self._watch is not None else {}
            taken = [position.taken for position in found.values()]
            positions = {one: position.offset for one, position in found.items()}
            return positions, sum(one.processed for one in taken), sum(one.rejected for one in taken)
        ids = [self._identities[topic].topic_id for topic in topics.READS[name]]
        cluster = self._identities[topics.STORED].cluster_id
        cursor.execute(query("read_progress"), {"sink": name, "cluster_id": cluster, "topic_ids": ids})
        rows: Sequence[tuple[str, int, int, int, int]] = cursor.fetchall()
        return {(topic, number): offset for topic, number, offset, _, _ in rows}, *_sums(rows)

    def _rate(self, name: str, count: int) -> float | None:
        """A second, over the last RATE_SECONDS as far as they were looked at; None after a first look or a restart."""
        now = time.monotonic()
        seen = self._seen.setdefault(name, deque())
        if seen and count < seen[-1][1]:
            seen.clear()  # the topic began anew, or the database was restored
        seen.append((now, count))
        while len(seen) > 2 and now - seen[1][0] >= RATE_SECONDS:
            seen.popleft()
        passed = now - seen[0][0]
        return (count - seen[0][1]) / passed if passed >= 1 else None

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
        self._watch = None


def _sums(rows: Sequence[tuple[str, int, int, int, int]]) -> tuple[int, int]:
    return sum(row[3] for row in rows), sum(row[4] for row in rows)


def states_of(families: Sequence[Metric], now: float) -> dict[str, dict[str, int]]:
    """Per stage how many of its living processes are starting, working or paused, as they tell it in their figures."""
    told_at = {
        (one.labels["stage"], one.labels["instance"]): one.value
        for one in samples(families, "pipeline_process_told_timestamp_seconds")
    }
    found: dict[str, dict[str, int]] = {}
    for one in samples(families, "pipeline_process_state"):
        stage, instance, state = one.labels["stage"], one.labels["instance"], one.labels["state"]
        if one.value == 1 and now - told_at.get((stage, instance), 0.0) < LIVING_SECONDS:
            of_stage = found.setdefault(stage, {})
            of_stage[state] = of_stage.get(state, 0) + 1
    return found


def samples(families: Sequence[Metric], name: str) -> list[Sample]:
    """The samples of one name, of all processes."""
    return [one for family in families for one in family.samples if one.name == name]
