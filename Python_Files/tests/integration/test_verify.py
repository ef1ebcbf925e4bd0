"""A backup is proven by restoring it: what is right passes, what is missing or damaged does not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from integration.test_backup import Cluster, cluster, made, until  # noqa: F401 - two of them are fixtures

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgBackRest is not installed"),
]

COPY = """
import sys
from pipeline import settings
from pipeline.backup import points, scratch
from pipeline.errors import PipelineError
def told(kind, error, trace):
    print(error.report() if kind is PipelineError else repr(error), file=sys.stderr)
sys.excepthook = told
loaded = settings.load()
target = {point.name: point for point in points.read_journal(loaded)}.get(sys.argv[1])
with scratch.restored(loaded, target) as copy:
    connection = copy.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), current_setting('archive_mode') FROM pipeline.removed")
        print(*cursor.fetchone(), copy.reached, flush=True)
    connection.close()
    if len(sys.argv) > 2:
        sys.stdin.read()
"""


def servers_of(cluster: Cluster) -> list[int]:  # noqa: F811
    """The processes that work in the scratch directory."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and str(cluster.settings.data / "scratch") in str((process / "cwd").readlink()):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def hold_a_copy(cluster: Cluster) -> subprocess.Popen[str]:  # noqa: F811
    process = subprocess.Popen(
        [*cluster.prefix, sys.executable, "-c", COPY, "newest", "hold"],
        env=cluster.environment,
        cwd=cluster.place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    assert "off" in process.stdout.readline()
    return process


def test_a_copy_has_all_wal_or_that_of_a_point_and_leaves_nothing(cluster: Cluster) -> None:  # noqa: F811
    cluster.add("before", 1000)
    cluster.back_up()
    cluster.add("after", 500)
    cluster.back_up()
    first, second = cluster.journal
    assert cluster.do(sys.executable, "-c", COPY, "newest").stdout.startswith("1500 off ")
    assert cluster.do(sys.executable, "-c", COPY, second.name).stdout.startswith("1500 off ")
    assert cluster.do(sys.executable, "-c", COPY, first.name).stdout.startswith("1000 off ")
    assert not (cluster.settings.data / "scratch").exists()
    assert not servers_of(cluster)


def test_a_copy_is_removed_after_sigterm_and_that_of_a_killed_run_by_the_next(cluster: Cluster) -> None:  # noqa: F811
    cluster.add("all", 1000)
    cluster.back_up()
    held = hold_a_copy(cluster)
    refused = cluster.do(sys.executable, "-c", COPY, "newest", ok=False)
    assert "another scratch copy" in refused.stderr
    os.killpg(held.pid, signal.SIGTERM)
    held.wait(30)
    assert not (cluster.settings.data / "scratch").exists()
    until(lambda: not servers_of(cluster), "the copy's server has ended")

    held = hold_a_copy(cluster)
    [python] = [
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and _is_holder(process, cluster.place)
    ]
    os.kill(python, signal.SIGKILL)
    held.wait(30)
    assert servers_of(cluster), "nobody ended it"
    assert cluster.do(sys.executable, "-c", COPY, "newest").stdout.startswith("1000 off ")
    until(lambda: not servers_of(cluster), "no server is left", 10)
    assert not (cluster.settings.data / "scratch").exists()


def _is_holder(process: Path, place: Path) -> bool:
    try:
        command = (process / "cmdline").read_bytes()
        return command.endswith(b"hold\0") and b"runuser" not in command and (process / "cwd").readlink() == place
    except OSError:
        return False


def test_a_point_whose_wal_is_missing_gives_no_copy(cluster: Cluster) -> None:  # noqa: F811
    cluster.back_up()
    cluster.add("lost", 100)
    cluster.back_up()
    last = cluster.journal[-1]
    cluster.segment_file(last.wal_segment).unlink()
    failed = cluster.do(sys.executable, "-c", COPY, last.name, ok=False)
    assert "the restored copy does not start" in failed.stderr
    assert "recovery ended before configured recovery target was reached" in failed.stderr
    assert not (cluster.settings.data / "scratch").exists()
