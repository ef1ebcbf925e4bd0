"""A backup is proven by restoring it: what is right passes, what is missing or damaged does not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from integration.test_backup import Cluster, cluster, made, until  # noqa: F401 - two of them are fixtures
from pipeline.backup import configuration
from pipeline.settings import ROOT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgBackRest is not installed"),
]

COPY = """
import sys
from pipeline import settings
from pipeline.backup import plan, scratch
from pipeline.errors import PipelineError
def told(kind, error, trace):
    print(error.report() if issubclass(kind, PipelineError) else repr(error), file=sys.stderr)
sys.excepthook = told
loaded = settings.load()
planned = None if sys.argv[1] == "newest" else plan.plan(loaded, sys.argv[1])
with scratch.restored(loaded, planned) as copy:
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
    os.kill(holder(cluster), signal.SIGTERM)
    held.wait(30)
    until(lambda: not (cluster.settings.data / "scratch").exists(), "the copy is removed")
    until(lambda: not servers_of(cluster), "the copy's server has ended")

    held = hold_a_copy(cluster)
    os.kill(holder(cluster), signal.SIGKILL)
    held.wait(30)
    assert servers_of(cluster), "nobody ended it"
    assert cluster.do(sys.executable, "-c", COPY, "newest").stdout.startswith("1000 off ")
    until(lambda: not servers_of(cluster), "no server is left", 10)
    assert not (cluster.settings.data / "scratch").exists()


def holder(cluster: Cluster) -> int:  # noqa: F811
    """The process that has the copy; not the one that changed the user for it."""
    [found] = [
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and _is_holder(process, cluster.place)
    ]
    return found


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
    segment = cluster.segment_file(last.wal_segment)
    # It goes when the plan was made.
    losing = COPY.replace("with scratch", "import pathlib; pathlib.Path(sys.argv[2]).unlink()\nwith scratch")
    failed = cluster.do(sys.executable, "-c", losing, last.name, segment, ok=False)
    assert "the restored copy does not start" in failed.stderr
    assert "recovery ended before configured recovery target was reached" in failed.stderr
    assert not (cluster.settings.data / "scratch").exists()
    missing = cluster.do(sys.executable, "-c", COPY, last.name, ok=False)
    assert "is missing" in missing.stderr


def without_archive_timeout(cluster: Cluster) -> None:  # noqa: F811
    """What is written after a backup stays out of the repository, however long it takes until that is looked at."""
    with (cluster.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
        stream.write("archive_timeout = 0\n")
    cluster.rows("SELECT pg_reload_conf()")
    until(lambda: cluster.rows("SHOW archive_timeout") == [("0",)], "it is set")


def test_sound_backups_are_proven_and_people_removed_on_purpose_are_no_fault(cluster: Cluster) -> None:  # noqa: F811
    without_archive_timeout(cluster)
    add_people(cluster, 0, 2000)
    cluster.back_up()
    add_people(cluster, 2000, 500)
    cluster.back_up()
    remove(cluster, 3)
    add_people(cluster, 2500, 100)  # beyond the backups: of no concern
    told = cluster.call(VERIFY)
    print(told.stdout)
    assert "the backups can be restored" in told.stdout
    [(ok, rows, removed, rpo, rto, indexes, constraints, faults)] = cluster.rows(
        "SELECT ok, rows_compared, rows_removed, rpo_seconds, rto_seconds, indexes_checked, "
        "constraints_checked, faults FROM pipeline.backup_proofs"
    )
    assert (ok, faults, removed) == (True, [], 3)
    assert rows >= 2500
    assert 0 < rto < 300
    assert 0 <= rpo < 300
    assert indexes > 20
    assert constraints > 10
    assert not (cluster.settings.data / "scratch").exists()
    assert cluster.call(VERIFY, "--when-due").stdout == "", "none is due"


def test_a_timeline_that_a_failed_restore_has_left_is_not_followed(cluster: Cluster) -> None:  # noqa: F811
    add_people(cluster, 0, 100)
    cluster.back_up()
    cluster.restore("failed", cluster.journal[0].name)
    history = cluster.place / "failed" / "pg_wal" / "00000002.history"
    [archive] = configuration.repository(cluster.settings).glob("archive/main/*-1")
    cluster.do("cp", history, archive / history.name)
    add_people(cluster, 100, 100)
    cluster.back_up("--full")
    assert "the backups can be restored" in cluster.call(VERIFY).stdout


@pytest.mark.parametrize("where", ["live", "restored"])
def test_a_person_who_is_in_one_of_the_two_only_is_named(cluster: Cluster, where: str) -> None:  # noqa: F811
    without_archive_timeout(cluster)
    add_people(cluster, 0, 100)
    if where == "live":
        cluster.rows("CREATE TABLE pipeline.kept AS SELECT * FROM pipeline.users LIMIT 1")
        cluster.rows("DELETE FROM pipeline.users WHERE uuid IN (SELECT uuid FROM pipeline.kept)")
        cluster.back_up()
        cluster.rows("INSERT INTO pipeline.users SELECT * FROM pipeline.kept")
        words = "is not in the restored database"
    else:
        cluster.back_up()
        # The WAL of the deletion must not be archived before the proof has read the repository.
        cluster.rows("DELETE FROM pipeline.users WHERE source_offset = 7")
        words = "is not in the live database"
    failed = cluster.call(VERIFY, ok=False)
    assert failed.returncode == 1
    assert words in failed.stderr
    assert cluster.rows("SELECT ok, rows_different FROM pipeline.backup_proofs") == [(False, 1)]


def test_a_flipped_byte_and_a_missing_segment_are_found(cluster: Cluster) -> None:  # noqa: F811
    add_people(cluster, 0, 2000)
    cluster.back_up()
    [bundle] = configuration.repository(cluster.settings).glob("backup/main/*F/bundle/1")
    with flipped(bundle):
        failed = cluster.call(VERIFY, ok=False)
    assert failed.returncode == 1
    assert "damaged" in failed.stderr
    [manifest] = configuration.repository(cluster.settings).glob("backup/main/*F/backup.manifest")
    with flipped(manifest):
        failed = cluster.call(VERIFY, ok=False)
    assert failed.returncode == 1
    segment = cluster.segment_file(cluster.journal[-1].wal_segment)
    aside = cluster.place / "segment"
    segment.rename(aside)
    failed = cluster.call(VERIFY, ok=False)
    assert failed.returncode == 1
    assert "the WAL has a gap" in failed.stderr
    assert cluster.rows("SELECT DISTINCT ok FROM pipeline.backup_proofs") == [(False,)]
    aside.rename(segment)
    assert "can be restored" in cluster.call(VERIFY).stdout


@contextmanager
def flipped(path: Path, place: int | None = None) -> Iterator[tuple[int, int]]:
    """One bit of the file is another; which byte (that in the middle), of how many."""
    before = path.read_bytes()
    place = len(before) // 2 if place is None else place
    with path.open("r+b") as stream:
        stream.seek(place)
        stream.write(bytes([before[place] ^ 1]))
    yield place, len(before)
    with path.open("r+b") as stream:
        stream.write(before)


VERIFY = ROOT / "Database" / "Verify_Backup.sh"


def add_people(cluster: Cluster, first: int, count: int) -> None:  # noqa: F811
    """Rows and the offset after them, in one transaction, as the sink stores them."""
    cluster.rows(
        "INSERT INTO pipeline.topics (cluster_id, topic_id, name) VALUES ('c', 't', 'users.labelled') "
        "ON CONFLICT DO NOTHING; "
        "INSERT INTO pipeline.users (uuid, gender, title, first_name, last_name, street_number, street_name, city,"
        " state, country, postcode, latitude, longitude, timezone_offset, timezone_description, email, username,"
        " date_of_birth, registered_at, phone, cell, id_name, picture_large, picture_medium, picture_thumbnail,"
        " nationality, company, fetched_at, fetch_id, source, source_topic, source_partition, source_offset) "
        "SELECT gen_random_uuid(), 'female', 'Ms', 'Ada', 'Test', 1, 's', 'c', 's', 'c', 'p', 1.5, 2.5, 'o', 'd', 'e',"
        " 'u', now(), now(), 'p', 'c', 'i', 'l', 'm', 't', 'DE', 'Company', now(), 'f', 'test', t.id, 0, number "
        "FROM pipeline.topics t, generate_series(%(first)s, %(last)s) AS number; "
        "INSERT INTO pipeline.offsets (sink, topic, partition, next_offset) "
        "SELECT '3-Add_Database-postgresql', id, 0, %(last)s + 1 FROM pipeline.topics "
        "ON CONFLICT (sink, topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset",
        {"first": first, "last": first + count - 1},
    )


def remove(cluster: Cluster, count: int) -> None:  # noqa: F811
    cluster.rows(
        "WITH gone AS (DELETE FROM pipeline.users WHERE source_offset < %s RETURNING uuid) "
        "INSERT INTO pipeline.removed (uuid, store, fetch_id, source, why) "
        "SELECT uuid, 'postgresql', 'f', 'test', 'on purpose' FROM gone",
        (count,),
    )


def test_a_repository_that_is_gone_or_not_ours_is_told_and_forgotten_when_it_is_back(cluster: Cluster) -> None:  # noqa: F811
    cluster.back_up()
    cluster.call(VERIFY)
    told = state_of(cluster)
    assert (told["ok"], told["warnings"]) == (True, [])
    assert told["rto_seconds"] > 0
    repository = configuration.repository(cluster.settings)
    aside = cluster.place / "other disk"
    repository.rename(aside)
    assert "is gone" in state_of(cluster)["warnings"][0]
    cluster.add("while it is gone", 10)
    cluster.rows("SELECT pg_switch_wal()")
    until(lambda: "the WAL is not archived" in " ".join(state_of(cluster)["warnings"]), "the archiver's fault is told")
    assert not state_of(cluster)["ok"]
    if repository.exists():
        shutil.rmtree(repository)
    aside.rename(repository)
    until(lambda: state_of(cluster)["ok"], "it has recovered by itself", 120)


def state_of(cluster: Cluster) -> dict[str, Any]:  # noqa: F811
    told = cluster.do(
        sys.executable,
        "-c",
        "import json; from pipeline import settings; from pipeline.backup import state; "
        "print(json.dumps(state.read(settings.load())._asdict()))",
    )
    answer: dict[str, Any] = json.loads(told.stdout)
    return answer
