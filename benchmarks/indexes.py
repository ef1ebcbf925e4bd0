"""What the indexes of the read API cost the sink: 3-Add_Database to PostgreSQL with and without them, in turn.

Run it against an instance that was started with ``--offline``, that nobody else uses, and that backups.py has filled.
The sink works in this process on one backlog of people; between two measures the indexes of 10_api_reading.sql are
dropped or made again. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Python_Files"))

import psutil
from chain import behind, end, feed, stage

from pipeline import account, broker, entry, settings, topics
from pipeline.database.connection import Cursor, connect, session
from pipeline.database.users import PostgresqlSink
from pipeline.settings import Settings
from pipeline.store import Store, storing

SEARCH = "users_text"
INDEXES = ("users_fetched_at", "users_nationality", "users_company", "users_last_name", "users_created_at", SEARCH)
ARMS = {"all six": INDEXES, "all but the search's": tuple(name for name in INDEXES if name != SEARCH), "none": ()}
# The first batches after a change find a cold cache and an index without slack.
WARM = 500


class Indexes:
    """Those of the read API, as the database's scripts made them."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'pipeline' AND indexname = ANY (%s)",
            (list(INDEXES),),
        )
        self._made: dict[str, str] = dict(cursor.fetchall())
        if set(self._made) != set(INDEXES):
            raise SystemExit(f"the database lacks {', '.join(sorted(set(INDEXES) - set(self._made)))}")
        self._present = set(INDEXES)

    def keep(self, names: tuple[str, ...]) -> None:
        for name in sorted(self._present - set(names)):
            self._cursor.execute(f"DROP INDEX pipeline.{name}")
        for name in sorted(set(names) - self._present):
            self._cursor.execute(self._made[name])
        self._present = set(names)
        self._cursor.execute("CHECKPOINT")


def fetches_left(loaded: Settings) -> int:
    """Runs of the feed that the sink has not noted: they are read beside the people, and cost more than a person."""
    with session(loaded, name="benchmark") as cursor:
        positions, _, _ = account.positions_of(loaded, cursor, topics.TO_POSTGRESQL)
    runs = {one: offset for one, offset in positions.items() if one[0] == topics.FETCHES}
    return sum(broker.lag(loaded, runs).values())


class Measure(NamedTuple):
    """Records a second, and of a thousand records the seconds of processor: the sink's, and of PostgreSQL for it."""

    rate: float
    sink: float
    postgresql: float

    @property
    def processor(self) -> float:
        return self.sink + self.postgresql


def backend(cursor: Cursor) -> float:
    """Seconds of processor of the backend that serves the sink: on a busy machine they tell more than the clock."""
    cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", (topics.TO_POSTGRESQL,))
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for (pid,) in cursor.fetchall())


def work(loaded: Settings, cursor: Cursor, store: Store, records: int) -> Measure:
    """Store at least so many records."""
    served, worked = backend(cursor), time.process_time()
    done, begin = 0, time.perf_counter()
    while done < records:
        taken = store.turn()
        if not taken and store.assigned and not behind(loaded, topics.TO_POSTGRESQL):
            raise SystemExit("the backlog is at its end")
        done += taken
    rate = done / (time.perf_counter() - begin)
    thousands = done / 1000
    return Measure(rate, (time.process_time() - worked) / thousands, (backend(cursor) - served) / thousands)


def measure(loaded: Settings, cursor: Cursor, make: Callable[[], Store], records: int) -> Measure:
    store = make()
    try:
        work(loaded, cursor, store, WARM)
        return work(loaded, cursor, store, records)
    finally:
        store.close()


def wait_in_labelled(loaded: Settings, make: Callable[[], Store], people: int) -> None:
    """So many people more wait for the sink, and nothing else does."""
    feed(people)
    store = make()
    while fetches_left(loaded):
        store.turn()
    store.close()
    with stage(topics.ADD_TIMESTAMP), stage(topics.ADD_LABEL):
        for name in (topics.ADD_TIMESTAMP, topics.ADD_LABEL):
            while behind(loaded, name):
                time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--records", type=int, default=8_000, help="of one measure")
    given = parser.parse_args()
    loaded = settings.load()
    entry.become_owner(loaded)
    end(loaded)
    connection = connect(loaded, role="postgres", name="benchmark", statement_seconds=1800)
    connection.autocommit = True
    found: dict[str, list[Measure]] = {arm: [] for arm in ARMS}
    with (
        connection.cursor() as cursor,
        storing(loaded, PostgresqlSink, topics.TO_POSTGRESQL, topics.READS[topics.TO_POSTGRESQL]) as make,
    ):
        indexes = Indexes(cursor)
        # A batch more than is asked for is taken by each measure.
        each = given.records + WARM + 2 * loaded.batch_records
        wait_in_labelled(loaded, make, given.rounds * len(ARMS) * each)
        cursor.execute("SELECT count(*) FROM pipeline.users")
        print(f"{cursor.fetchone()[0]:,} people before the first measure", flush=True)
        try:
            for number in range(given.rounds):
                # To and fro: whatever grows meanwhile meets each of them early and late.
                for arm in reversed(ARMS) if number % 2 else ARMS:
                    indexes.keep(ARMS[arm])
                    one = measure(loaded, cursor, make, given.records)
                    found[arm].append(one)
                    print(
                        f"{arm}: {one.rate:,.0f} records/s, {one.processor:.3f} s of processor per 1,000 records, "
                        f"of it PostgreSQL {one.postgresql:.3f}",
                        flush=True,
                    )
        finally:
            indexes.keep(INDEXES)
    connection.close()
    print(f"{given.rounds} rounds of {given.records:,} records, {os.cpu_count()} cores, medians")
    for arm, measures in found.items():
        pairs = list(zip(measures, found["none"], strict=True))
        rate = statistics.median(one.rate / other.rate for one, other in pairs)
        processor = statistics.median(one.processor / other.processor for one, other in pairs)
        print(
            f"{arm}: {statistics.median(one.rate for one in measures):,.0f} records/s, ratio to none {rate:.2f}; "
            f"processor {statistics.median(one.processor for one in measures):.3f} s per 1,000, "
            f"of it PostgreSQL {statistics.median(one.postgresql for one in measures):.3f}, ratio {processor:.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
