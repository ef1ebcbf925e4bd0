"""Back-pressure, measured: the memory of each stage while all of a long backlog lies before it.

What waits is to wait in Kafka and not in memory. Run it as chain.py, against an instance of its own. Exit status 1 when
a stage had more memory than 150 MB. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import sys
import time

import psutil
from chain import behind, end, feed, peak_mib, stage
from rich.console import Console
from rich.table import Table

from pipeline import entry, settings, topics
from pipeline.errors import PassingFault
from pipeline.settings import Settings

MOST_MB = 150.0


def work_off(loaded: Settings, name: str, process: psutil.Process, seconds: float) -> tuple[float, float, int]:
    """Let the stage work until nothing is left or the time is over: peak MiB, seconds, offsets that are left."""
    begin = time.perf_counter()
    peak, left = 0.0, 0
    while time.perf_counter() - begin < seconds:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise SystemExit(f"{name} ended")
        peak = max(peak, peak_mib(process))
        try:
            left = behind(loaded, name)
        except PassingFault:
            continue
        if left == 0:
            break
        time.sleep(0.5)
    return peak, time.perf_counter() - begin, left


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--nocodb-seconds", type=float, default=120.0, help="how long the NocoDB sink is watched")
    asked = parser.parse_args()
    loaded = settings.load()
    entry.become_owner(loaded)
    end(loaded)
    seconds = feed(asked.records)
    print(f"{asked.records:,} people fed in {seconds:.0f} s", flush=True)
    table = Table(title=f"a backlog of {asked.records:,} records before each stage", title_justify="left")
    for column in ("stage", "peak MB", "seconds", "left, in offsets"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    worst = 0.0
    # One after the other: the whole backlog lies before each, and nothing is taken off it meanwhile.
    for name in topics.STAGES:
        limit = asked.nocodb_seconds if name == topics.TO_NOCODB else 3600.0
        with stage(name) as process:
            peak, took, left = work_off(loaded, name, process, limit)
        peak *= 1.048576
        worst = max(worst, peak)
        table.add_row(name, f"{peak:.0f}", f"{took:.0f}", f"{left:,}")
        print(f"{name}: {peak:.0f} MB, {took:.0f} s, {left:,} left", flush=True)
    Console(width=110).print(table)
    return 1 if worst > MOST_MB else 0


if __name__ == "__main__":
    sys.exit(main())
