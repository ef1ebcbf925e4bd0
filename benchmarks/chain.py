"""The way of a record, measured with real servers: each stage alone, the chain, memory, and what safety costs.

Run it against an instance that was started with ``--offline`` and that nobody else uses: it ends its scheduler and
stages, and starts stages of its own. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Python_Files"))

import psutil
from rich.console import Console
from rich.table import Table

from pipeline import account, broker, entry, settings, topics
from pipeline.database.connection import session
from pipeline.errors import PassingFault
from pipeline.operations.supervision import Supervisor
from pipeline.records import Outgoing
from pipeline.settings import ROOT, Settings

DOORS = {
    topics.ADD_TIMESTAMP: ("1-Add_Timestamp.py",),
    topics.ADD_LABEL: ("2-Add_Label.py",),
    topics.TO_POSTGRESQL: ("3-Add_Database.py", "--to", "postgresql"),
    topics.TO_NOCODB: ("3-Add_Database.py", "--to", "nocodb"),
}


@contextmanager
def stage(name: str) -> Iterator[psutil.Process]:
    """A stage as a process of its own, ended in order at the end of the block."""
    door, *arguments = DOORS[name]
    process = psutil.Popen(
        [sys.executable, str(ROOT / "Python_Files" / door), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "Python_Files")},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def peak_mib(process: psutil.Process) -> float:
    """The most memory that the process ever had, as the kernel kept it (VmHWM of proc(5))."""
    for line in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def end(loaded: Settings, parts: Collection[str] = (*topics.STAGES, "scheduler")) -> None:
    """End these parts of the instance, so that a benchmark has it to itself."""
    supervisor = Supervisor(loaded)
    for process in supervisor.processes():
        if process.part in parts and process.pid:
            supervisor.stop(process.part, process.name)


def behind(loaded: Settings, name: str) -> int:
    """How many offsets a stage is behind: cheap enough to ask all the time."""
    with session(loaded, name="benchmark") as cursor:
        return account.offsets_behind(loaded, cursor, name)


def until_done(loaded: Settings, name: str, process: psutil.Process) -> float:
    """Wait until the stage has nothing left; when that was."""
    while True:
        try:
            if behind(loaded, name) == 0:
                return time.perf_counter()
        except PassingFault:
            pass
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise SystemExit(f"{name} ended")
        time.sleep(0.05)


def feed(records: int) -> float:
    """Feed so many people of the stand-in; seconds."""
    begin = time.perf_counter()
    left = records
    while left:
        now = min(left, 20_000)
        subprocess.run(
            [sys.executable, str(ROOT / "Python_Files" / "0-Get_Data.py"), "--offline", "--results", str(now)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "Python_Files")},
            stderr=subprocess.DEVNULL,
            check=True,
        )
        left -= now
    return time.perf_counter() - begin


def each_alone(loaded: Settings, records: int, table: Table) -> None:
    """One stage after the other on the same backlog."""
    seconds = feed(records)
    table.add_row(topics.GET_DATA, f"{records / seconds:,.0f}", "")
    for name in topics.STAGES:
        with stage(name) as process:
            # From its first record on: joining the group and loading are no work.
            before = behind(loaded, name)
            while (now := behind(loaded, name)) == before:
                time.sleep(0.02)
            begin = time.perf_counter()
            share = now / before
            end = until_done(loaded, name, process)
            table.add_row(f"{name}, alone", f"{records * share / (end - begin):,.0f}", f"{peak_mib(process):.0f}")


def chain(loaded: Settings, records: int, table: Table) -> None:
    """All stages at once, from the first fetch to the last row in PostgreSQL, then in NocoDB."""
    with (
        stage(topics.ADD_TIMESTAMP) as first,
        stage(topics.ADD_LABEL) as second,
        stage(topics.TO_POSTGRESQL) as third,
        stage(topics.TO_NOCODB) as fourth,
    ):
        for name in topics.STAGES:
            while not broker.group_ready(loaded, name):
                time.sleep(0.1)
        begin = time.perf_counter()
        feed(records)
        until_done(loaded, topics.ADD_TIMESTAMP, first)
        until_done(loaded, topics.ADD_LABEL, second)
        stored = until_done(loaded, topics.TO_POSTGRESQL, third)
        table.add_row("chain, fetch to PostgreSQL", f"{records / (stored - begin):,.0f}", "")
        written = until_done(loaded, topics.TO_NOCODB, fourth)
        table.add_row("chain, fetch to NocoDB", f"{records / (written - begin):,.0f}", "")
        for name, process in zip(topics.STAGES, (first, second, third, fourth), strict=True):
            table.add_row(f"{name}, in the chain", "", f"{peak_mib(process):.0f}")


def producing(loaded: Settings, records: int, per_transaction: int, flush: bool) -> float:
    """Records a second into a topic of the benchmark's own, in transactions of a size, with or without the flush."""
    topic = f"benchmark.{'flushed' if flush else 'unflushed'}"
    broker.ensure_topic(loaded, topic, {"flush.messages": "1" if flush else str(2**62)})
    value = b"x" * 1100
    batch = [Outgoing(topic, str(number).encode(), value, 0) for number in range(per_transaction)]
    with broker.publisher(loaded, "benchmark") as publisher:
        publisher.publish(batch)
        begin = time.perf_counter()
        for _ in range(records // per_transaction):
            publisher.publish(batch)
        return records / (time.perf_counter() - begin)


def paired(one: Callable[[], float], other: Callable[[], float], rounds: int = 5) -> tuple[float, float, float]:
    """The medians of two measures taken in turn, and the median of their ratios, pair by pair."""
    pairs = [(one(), other()) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def costs(loaded: Settings, table: Table) -> None:
    flushed, unflushed, ratio = paired(
        lambda: producing(loaded, 10_000, 500, True), lambda: producing(loaded, 10_000, 500, False)
    )
    table.add_row("flush of every append, transactions of 500", f"{flushed:,.0f}", f"{unflushed:,.0f}", f"{ratio:.2f}")
    small, large, ratio = paired(
        lambda: producing(loaded, 2_000, 20, True), lambda: producing(loaded, 10_000, 500, True)
    )
    table.add_row("transactions of 20 rather than 500, flushed", f"{small:,.0f}", f"{large:,.0f}", f"{ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=50_000)
    records = parser.parse_args().records
    loaded = settings.load()
    entry.become_owner(loaded)
    end(loaded)
    console = Console(width=110)
    speed = Table(title=f"{records:,} records, {os.cpu_count()} cores", title_justify="left")
    for column in ("what", "records/s", "peak MiB"):
        speed.add_column(column, justify="left" if column == "what" else "right")
    chain(loaded, records, speed)
    each_alone(loaded, records, speed)
    console.print(speed)
    price = Table(title="What safety costs, records/s into Kafka, medians of 5 pairs", title_justify="left")
    for column in ("with", "with: records/s", "without: records/s", "ratio"):
        price.add_column(column, justify="left" if column == "with" else "right")
    costs(loaded, price)
    console.print(price)


if __name__ == "__main__":
    main()
