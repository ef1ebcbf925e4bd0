"""kill -9 in the middle of archiving and of base backups: nothing is stuck afterwards, and the next backup is good."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import psycopg2
import pytest

from integration.test_backup import Cluster, cluster, made, until  # noqa: F401 - two of them are fixtures
from integration.test_verify import VERIFY
from pipeline.errors import PassingFault

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgBackRest is not installed"),
]

_CONNECTIONS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pgBackRest [backup%'"
KILLS = int(os.environ.get("KILLS", "20"))


class Load:
    """People stored all the time, each batch ending a WAL segment. ``acknowledged``: what PostgreSQL has confirmed."""

    def __init__(self, cluster: Cluster) -> None:  # noqa: F811
        self._cluster = cluster
        self._ended = threading.Event()
        self.acknowledged = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _work(self) -> None:
        while not self._ended.is_set():
            with suppress(PassingFault, psycopg2.Error):
                self._cluster.add("load", 200)
                self.acknowledged += 200
                self._cluster.rows("SELECT pg_switch_wal()")
            self._ended.wait(0.2)


def postmaster(cluster: Cluster) -> int | None:  # noqa: F811
    with suppress(OSError, ValueError, psutil.Error):
        pid = int((cluster.data / "postmaster.pid").read_text(encoding="ascii").splitlines()[0])
        if psutil.pid_exists(pid) and "postgres" in psutil.Process(pid).name():
            return pid
    return None


def victims(cluster: Cluster, what: str) -> list[int]:  # noqa: F811
    """The processes that bear this name at this moment."""
    first = postmaster(cluster)
    if what == "postmaster":
        return [first] if first else []
    if what == "backup's connection":
        with suppress(PassingFault, psycopg2.Error):
            return [pid for (pid,) in cluster.rows(_CONNECTIONS)]
        return []
    found = []
    mark = f"--config={cluster.settings.run}/"
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            is_archiver = process.ppid() == first and "archiver" in " ".join(words)
            is_pgbackrest = process.name() == "pgbackrest" and any(mark in word for word in words)
            verbs = {word.partition(":")[0] for word in words[1:]}
            if is_archiver if what == "archiver" else is_pgbackrest and what.split()[1] in verbs:
                found.append(process.pid)
    return found


def kill_one(cluster: Cluster, what: str, chance: random.Random, seconds: float = 10) -> bool:  # noqa: F811
    """kill -9 as soon as there is such a process; whether there was one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for pid in chance.sample(found := victims(cluster, what), len(found)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
    return False


def come_back(cluster: Cluster) -> None:  # noqa: F811
    """As the supervisor does it: started again until it runs."""

    def runs() -> bool:
        with suppress(PassingFault, psycopg2.Error):
            return cluster.rows("SELECT pg_is_in_recovery()") == [(False,)]
        if postmaster(cluster) is None:
            with suppress(AssertionError):
                cluster.start(cluster.data, cluster.settings.postgres_port)
        return False

    until(runs, "PostgreSQL runs again", 60)


@pytest.mark.timeout(1500)
def test_after_every_kill_the_archiver_goes_on_and_the_next_backup_is_good_and_proven(cluster: Cluster) -> None:  # noqa: F811
    seed = int(os.environ.get("KILL_SEED") or random.randrange(1_000_000))
    chance = random.Random(seed)
    print(f"KILL_SEED={seed}")
    cluster.add("much", 20_000)
    cluster.back_up()
    load, killed = Load(cluster), Counter[str]()
    with load.running():
        for number in range(KILLS):
            archiving = number % 2 == 0
            name = chance.choice(
                ["postmaster", "archiver", "pgbackrest archive-push"]
                if archiving
                else ["postmaster", "pgbackrest backup", "backup's connection"]
            )
            process = None
            if not archiving:
                process = subprocess.Popen(
                    [*cluster.prefix, sys.executable, "-m", "pipeline.backup.command", "--full"],
                    env=cluster.environment,
                    cwd=cluster.place,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                until(lambda: victims(cluster, "pgbackrest backup") or process.poll() is not None, "it has begun")  # noqa: B023
            time.sleep(chance.uniform(0, 1.5))  # not a wait: a random moment
            there = kill_one(cluster, name, chance)
            if there:
                killed[f"{name}, {'archiving' if archiving else 'base backup'}"] += 1
            if process:
                process.wait(300)
            come_back(cluster)
            begin = time.monotonic()
            until(lambda: cluster.back_up(ok=False).returncode == 0, f"a backup after the kill of {name}", 300)
            what = "killed" if there else "was not there"
            print(f"{number + 1}: {name} {what}; the next backup was good after {time.monotonic() - begin:.1f} s")
    print(f"killed: {dict(killed)}; {load.acknowledged} rows were acknowledged meanwhile")
    assert sum(killed.values()) >= KILLS * 0.8, "the moments were missed"

    cluster.rows("SELECT pg_switch_wal()")
    waiting = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
    until(lambda: cluster.rows(waiting) == [(0,)], "no segment waits for the archiver")
    assert "Base backup" in cluster.back_up("--full").stdout
    assert "can be restored" in cluster.call(VERIFY).stdout
    content = cluster.content()
    assert len(content) >= 20_000 + load.acknowledged
    assert cluster.content(cluster.restore("restored", cluster.journal[-1].name)) == content
