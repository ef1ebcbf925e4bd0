"""What archiving the WAL costs the chain's throughput: the chain to PostgreSQL with it and without it, in turn.

With: pgBackRest sends every segment to the repository, as it always does. Without: PostgreSQL is told at once that a
segment is safe, so that it writes the same WAL, and nobody reads, compresses or stores it. Run it against an instance
that was started with ``--offline`` and that nobody else uses, best after backups.py has filled it, and delete that
instance afterwards: the repository lacks what was written without archiving. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Python_Files"))

import psutil
from chain import behind, end, feed, stage

from pipeline import broker, entry, settings, topics
from pipeline.backup import configuration
from pipeline.database.connection import Cursor, connect
from pipeline.operations import parts
from pipeline.operations.supervision import Supervisor
from pipeline.settings import Settings

MEASURED = (topics.ADD_TIMESTAMP, topics.ADD_LABEL, topics.TO_POSTGRESQL)
# Fewer would say nothing of archiving: what is not a whole segment does not leave while the chain is measured.
LEAST_SEGMENTS = 3
_ARCHIVER_SECONDS = 300


class Measure(NamedTuple):
    """``processor`` is that of the stages and PostgreSQL, in seconds, without pgBackRest's own processes; ``segments``
    the archiver sent before the last row was stored, ``late_seconds`` is what it took after it.
    """

    rate: float
    processor: float
    wal_bytes: int
    segments: int
    late_seconds: float


def asked(cursor: Cursor, question: str) -> tuple[int, ...]:
    cursor.execute(question)
    return tuple(int(value) for value in cursor.fetchone())


def wait_for_archiver(cursor: Cursor) -> float:
    """Until every whole segment is safe; seconds. Nobody's measure is to pay for another's segments."""
    begin = time.monotonic()
    while asked(cursor, "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'") != (0,):
        if time.monotonic() - begin > _ARCHIVER_SECONDS:
            raise SystemExit("the archiver does not catch up: see Administrator_scripts/Status.sh")
        time.sleep(0.1)
    return time.monotonic() - begin


def processor(processes: Iterable[psutil.Process]) -> float:
    """Seconds of processor of these and of all below them, those that ended too."""
    return sum(
        sum(one.cpu_times()[:4])
        for process in processes
        for one in (process, *process.children(recursive=True))
        if one.is_running()
    )


def segment_cost(loaded: Settings, cursor: Cursor) -> tuple[float, int]:
    """Seconds of processor that pgBackRest takes for a segment, into a repository of the benchmark's own; of how many.

    On a machine that does other things, too, it tells more than the clock does.
    """
    cursor.execute(
        "SELECT name FROM pg_ls_waldir() WHERE name < pg_walfile_name(pg_current_wal_lsn()) AND size = 1<<24"
    )
    wal = configuration.cluster(loaded)[0] / "pg_wal"
    segments = [wal / name for (name,) in cursor.fetchall() if len(name) == 24]
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=loaded.data) as scratch:
        command = [configuration.program(), f"--config={configuration.push_config_file(loaded)}"]
        command += [
            f"--stanza={configuration.STANZA}",
            f"--repo1-path={scratch}/repository",
            f"--lock-path={scratch}/lock",
        ]
        subprocess.run([*command, "stanza-create"], check=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for segment in segments:
            subprocess.run([*command, "--no-archive-async", "archive-push", str(segment)], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent / max(1, len(segments)), len(segments)


def measure(
    loaded: Settings, cursor: Cursor, working: Sequence[psutil.Process], people: int, archived: bool
) -> Measure:
    """The chain, from the first fetch to the last row in PostgreSQL."""
    # Before a command that stores nothing is set, everything must have been stored.
    wait_for_archiver(cursor)
    change = "RESET archive_command" if archived else "SET archive_command = '/bin/true'"
    cursor.execute(f"ALTER SYSTEM {change}")
    cursor.execute("SELECT pg_reload_conf()")
    # Each begins with whole pages to be written to the WAL, and with a segment of its own.
    cursor.execute("CHECKPOINT")
    cursor.execute("SELECT pg_switch_wal()")
    wait_for_archiver(cursor)
    look = "SELECT archived_count, failed_count, pg_current_wal_lsn() - '0/0' FROM pg_stat_archiver"
    before = asked(cursor, look)
    spent, begin = processor(working), time.monotonic()
    feed(people)
    for name in MEASURED:
        while behind(loaded, name):
            time.sleep(0.1)
    seconds = time.monotonic() - begin
    spent, after = processor(working) - spent, asked(cursor, look)
    late = wait_for_archiver(cursor)
    if after[1] != before[1]:
        raise SystemExit("the archive refused a segment: see Administrator_scripts/Status.sh")
    found = Measure(people / seconds, spent, after[2] - before[2], after[0] - before[0], late)
    print(
        f"{'with' if archived else 'without'} archiving: {found.rate:,.0f} people/s in {seconds:.1f} s, "
        f"processor of stages and PostgreSQL {found.processor:.1f} s, "
        f"{found.wal_bytes / 1e6:,.0f} MB of WAL, {found.segments} segments archived meanwhile, "
        f"the rest {found.late_seconds:.1f} s later",
        flush=True,
    )
    if archived and found.wal_bytes >> 24 < LEAST_SEGMENTS:
        raise SystemExit(f"this is no measure of archiving: give more --records than {people}")
    return found


def told(pairs: list[tuple[Measure, Measure]], people: int, cost: float) -> str:
    """Medians of both, and of the ratio pair by pair with its quartiles."""
    quarter, half, three = statistics.quantiles([one.rate / other.rate for one, other in pairs], n=4)
    with_it, without = (statistics.median(pair[which].rate for pair in pairs) for which in (0, 1))
    archived = [one for one, _ in pairs]
    return (
        f"{len(pairs)} pairs of {people:,} people, {os.cpu_count()} cores, people/s: with archiving {with_it:,.0f}, "
        f"without {without:,.0f}, ratio {half:.2f} (quartiles {quarter:.2f} to {three:.2f}); "
        f"{statistics.median(one.wal_bytes for one in archived) / 1e6:,.0f} MB of WAL a measure, "
        f"{statistics.median(one.segments for one in archived):.0f} segments archived within it, "
        f"the rest {statistics.median(one.late_seconds for one in archived):.1f} s later; processor, in seconds: "
        f"stages and PostgreSQL {statistics.median(one.processor for one in archived):.1f}, without archiving "
        f"{statistics.median(one.processor for _, one in pairs):.1f}, pgBackRest for that WAL "
        f"{cost * statistics.median(one.wal_bytes / (1 << 24) for one in archived):.1f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--records", type=int, default=20_000, help="in each half of a pair")
    given = parser.parse_args()
    loaded = settings.load()
    entry.become_owner(loaded)
    end(loaded)
    supervisor = Supervisor(loaded)
    connection = connect(loaded, role="postgres", name="benchmark")
    connection.autocommit = True
    server = psutil.Process(next(one.pid for one in supervisor.processes() if one.part == parts.POSTGRESQL))
    with (
        stage(topics.ADD_TIMESTAMP) as first,
        stage(topics.ADD_LABEL) as second,
        stage(topics.TO_POSTGRESQL) as third,
        connection.cursor() as cursor,
    ):
        working = (server, first, second, third)
        for name in MEASURED:
            while not broker.group_ready(loaded, name):
                time.sleep(0.1)
        try:
            measure(loaded, cursor, working, given.records, True)
            cost, segments = segment_cost(loaded, cursor)
            print(f"pgBackRest: {cost:.2f} s of processor a segment, mean of {segments}", flush=True)
            pairs = []
            for number in range(given.pairs):
                # Who is first is in turn, too: tables grow, and what else the machine does comes and goes.
                order = (True, False) if number % 2 else (False, True)
                found = {archived: measure(loaded, cursor, working, given.records, archived) for archived in order}
                pairs.append((found[True], found[False]))
        finally:
            cursor.execute("ALTER SYSTEM RESET archive_command")
            cursor.execute("SELECT pg_reload_conf()")
    connection.close()
    print(told(pairs, given.records, cost))
    return 0


if __name__ == "__main__":
    sys.exit(main())
