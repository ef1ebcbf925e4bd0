"""The pipeline's database alone, put back beside all that runs: whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.test_backup import (  # two of them are fixtures
    OWNER,
    Cluster,
    cluster,  # noqa: F401
    made,  # noqa: F401
    until,
)
from integration.test_verify import flipped, servers_of
from pipeline.backup import configuration, unfinished
from pipeline.database import replacement
from pipeline.settings import ROOT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgBackRest is not installed"),
]

RESTORE = ROOT / "Database" / "Restore.sh"

# The core alone, with a fault where the test wants one: argv is the point and what is to happen where.
CORE = """
import os, signal, sys
from pipeline import settings
from pipeline.backup import exchange, plan, unfinished
from pipeline.backup.exchange import Sinks
from pipeline.errors import PipelineError
from pipeline.operations import lock
from pipeline.operations.lock import Busy
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def fill():
    with open(os.environ["FILLER"], "wb") as stream:
        piece, size = 1 << 26, 0
        while piece >= 4096:
            try:
                os.posix_fallocate(stream.fileno(), size, piece)
                size += piece
            except OSError:
                piece //= 2
loaded, point, where, what = settings.load(), *sys.argv[1:]
does = {where: {"die": die, "fill": fill, "": None}[what]}
make = exchange.replacement.make_new
def make_new(given):
    does.get("make", str)()
    make(given)
    does.get("made", str)()
exchange.replacement.make_new = make_new
try:
    with lock.held(unfinished.lock_file(loaded), Busy("another restore is running")):
        unfinished.settle(loaded, unfinished.read(loaded))
        if point:
            planned = plan.plan(loaded, point)
            exchange.check_room(loaded, planned)
            kept = exchange.restore(loaded, planned, Sinks(does.get("stop", str), does.get("start", str)))
            print(f"kept as {kept}")
except PipelineError as error:
    print(error.report(), file=sys.stderr)
    sys.exit(error.exit_code)
"""


def core(
    cluster: Cluster,  # noqa: F811
    point: str = "",
    where: str = "",
    what: str = "",
    ok: bool = True,
) -> subprocess.CompletedProcess[str]:
    return cluster.do(sys.executable, "-c", CORE, point, where, what, ok=ok)


def databases(cluster: Cluster) -> set[str]:  # noqa: F811
    return {name for (name,) in cluster.rows("SELECT datname::text FROM pg_database WHERE NOT datistemplate")}


OWN = {"postgres", "pipeline", "nocodb"}


def assert_nothing_is_left(cluster: Cluster) -> None:  # noqa: F811
    assert replacement.NEW not in databases(cluster)
    assert not (cluster.settings.data / "scratch").exists()
    assert not servers_of(cluster)
    assert unfinished.read(cluster.settings) is None


def test_the_database_is_as_it_was_at_the_point_and_all_else_in_the_cluster_as_it_is(cluster: Cluster) -> None:  # noqa: F811
    cluster.rows("CREATE ROLE reports LOGIN; GRANT SELECT ON pipeline.removed TO reports")
    cluster.rows("CREATE TABLE people (name text)", database="nocodb")
    cluster.add("before", 1000)
    cluster.back_up()
    content = cluster.content()
    cluster.add("after", 500)
    proof = "INSERT INTO pipeline.backup_proofs (began_at, ended_at, ok) VALUES (now(), now(), true)"
    cluster.rows(proof)
    cluster.rows("INSERT INTO people VALUES ('edited')", database="nocodb")
    cluster.rows(
        "ALTER DATABASE pipeline SET work_mem = '5MB';"
        'ALTER DATABASE pipeline SET search_path = public, "$user", pipeline;'
        "ALTER ROLE reports IN DATABASE pipeline SET statement_timeout = '7s';"
        "GRANT CONNECT ON DATABASE pipeline TO reports WITH GRANT OPTION;"
        "COMMENT ON DATABASE pipeline IS 'the people''s'; ALTER DATABASE pipeline CONNECTION LIMIT 90"
    )
    cluster.back_up()
    first, second = cluster.journal
    described = replacement.described(cluster.settings, "pipeline")
    assert any("search_path" in line for line in described)

    told = core(cluster, first.name).stdout
    print(told)
    assert f'at restore point "{first.name}"' in told
    assert cluster.content() == content
    assert cluster.rows("SELECT name FROM people", database="nocodb") == [("edited",)]
    assert replacement.described(cluster.settings, "pipeline") == described
    assert cluster.rows("SELECT has_table_privilege('reports', 'pipeline.removed', 'SELECT')") == [(True,)]
    assert {name for (name,) in cluster.rows("SELECT name FROM pipeline.restore_points")} == {first.name, second.name}
    assert cluster.rows("SELECT count(*) FROM pipeline.backup_proofs") == [(1,)], "what is known of the backups stays"
    cluster.rows(proof)
    assert_nothing_is_left(cluster)
    # With all of it a backup works, and so does what is restored from it.
    cluster.add("later", 7)
    cluster.back_up()
    assert len(cluster.content(cluster.restore("again", cluster.journal[-1].name))) == 1007

    [(kept, _)] = replacement.kept(cluster.settings)
    assert f"kept as {kept}" in told
    assert cluster.rows("SELECT count(*) FROM pipeline.removed", database=kept) == [(1500,)]
    for name in ("nocodb", "pipeline", "pipeline_before_restore_1"):
        refused = cluster.call(RESTORE, "--drop-old", name, ok=False)
        assert refused.returncode == 1
        assert f"kept are: {kept}" in refused.stderr
    cluster.call(RESTORE, "--drop-old", kept)
    assert databases(cluster) == OWN


@pytest.mark.parametrize(("where", "new"), [("make", False), ("made", False), ("stop", False), ("start", True)])
def test_killed_at_any_moment_the_old_or_the_new_data_is_in_place_and_the_next_run_says_which(
    cluster: Cluster,  # noqa: F811
    where: str,
    new: bool,
) -> None:
    cluster.add("before", 1000)
    cluster.back_up()
    then = cluster.content()
    cluster.add("after", 500)
    now = cluster.content()
    point = cluster.journal[0].name
    assert core(cluster, point, where, "die", ok=False).returncode != 0
    assert cluster.content() == (then if new else now)
    told = core(cluster).stdout
    assert ("the NEW data was in place" in told) == new
    assert ("the OLD data is in place" in told) == (not new)
    assert_nothing_is_left(cluster)
    assert cluster.content() == (then if new else now)
    assert core(cluster).stdout == "", "it is said once"
    core(cluster, point)
    assert cluster.content() == then


def test_a_scratch_copy_that_is_killed_while_its_files_are_fetched_is_ended_by_the_next_run(cluster: Cluster) -> None:  # noqa: F811
    cluster.add("before", 100_000)
    cluster.back_up()
    content = cluster.content()
    process = subprocess.Popen(
        [*cluster.prefix, sys.executable, "-c", CORE, cluster.journal[0].name, "", ""],
        env=cluster.environment,
        cwd=cluster.place,
        start_new_session=True,
    )
    until(lambda: any((cluster.settings.data / "scratch").glob("data/*")), "files are fetched")
    for one in _of(process.pid):
        if b"pgbackrest" not in Path(f"/proc/{one}/cmdline").read_bytes():
            os.kill(one, signal.SIGKILL)
    process.wait(30)
    told = core(cluster).stdout
    assert "the OLD data is in place" in told
    assert_nothing_is_left(cluster)
    time.sleep(1)  # whoever were still fetching would have written something by now
    assert not (cluster.settings.data / "scratch").exists()
    assert cluster.content() == content


def _of(session: int) -> list[int]:
    """The processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[3]) == session:
                found.append(int(stat.parent.name))
        except OSError:
            continue
    return found


def test_what_cannot_be_loaded_changes_nothing(cluster: Cluster) -> None:  # noqa: F811
    cluster.rows("CREATE ROLE gone; CREATE TABLE pipeline.owned (); ALTER TABLE pipeline.owned OWNER TO gone")
    cluster.back_up()
    cluster.rows("DROP TABLE pipeline.owned; DROP ROLE gone")
    cluster.add("after", 500)
    content = cluster.content()
    point = cluster.journal[0].name
    failed = core(cluster, point, ok=False)
    assert failed.returncode == 1
    assert 'role "gone" does not exist' in failed.stderr
    assert "what it was" in failed.stdout

    [bundle] = configuration.repository(cluster.settings).glob("backup/main/*F/bundle/1")
    with flipped(bundle):
        failed = core(cluster, point, ok=False)
    assert failed.returncode == 1
    assert "pgBackRest could not do 'restore'" in failed.stderr
    assert cluster.content() == content
    assert databases(cluster) == OWN
    assert_nothing_is_left(cluster)
    cluster.rows("CREATE ROLE gone")
    core(cluster, point)
    assert cluster.content() == []


def test_wrong_targets_a_second_restore_an_unreadable_repository_and_root_are_refused(cluster: Cluster) -> None:  # noqa: F811
    cluster.add("before", 100)
    cluster.back_up()
    content, entries = cluster.content(), sorted(cluster.settings.data.iterdir())
    point = cluster.journal[0].name
    repository = configuration.repository(cluster.settings)

    def refused(words: str, status: int, *arguments: str) -> None:
        for more in ((), ("--only", "pipeline")):
            done = cluster.call(RESTORE, *arguments, *more, "--yes", ok=False)
            assert words in done.stderr
            assert done.returncode == status
            assert "Traceback" not in done.stderr

    refused("no base backup reaches back", 1, "--to", "2020-01-01T00:00:00")
    refused("has not come yet", 2, "--to", "2999-01-01T00:00:00")
    refused("is neither a restore point nor a moment", 2, "--to", "yesterday")
    lock = cluster.settings.run / "restore.lock"
    lock.touch()
    os.chown(lock, *OWNER)
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused("another restore is running", 1, "--to", point)
    repository.chmod(0)
    refused("the repository cannot be used", 1, "--to", point)
    repository.chmod(0o700)
    if os.geteuid() == 0:
        done = cluster.call(sys.executable, "-m", "pipeline.backup.restore_command", "--latest", ok=False)
        assert "must not run as root" in done.stderr
    lock.unlink()
    assert cluster.content() == content
    assert sorted(cluster.settings.data.iterdir()) == entries


@pytest.fixture
def small(cluster: Cluster) -> Iterator[Cluster]:  # noqa: F811
    """A cluster whose data is on a file system of 2 GB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can make a small file system")
    cluster.stop(cluster.data)
    data = cluster.settings.data
    aside = data.with_name("aside")
    data.rename(aside)
    data.mkdir(mode=0o700)
    options = f"size=2000m,mode=0700,uid={OWNER[0]},gid={OWNER[1]}"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", str(data)], check=False).returncode != 0:
        data.rmdir()
        aside.rename(data)
        pytest.skip("a small file system cannot be mounted here")
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", str(data)], check=True)
        cluster.start(cluster.data, cluster.settings.postgres_port)
        yield cluster
    finally:
        cluster.stop(cluster.data, "immediate")
        subprocess.run(["umount", str(data)], check=False)


def test_a_disk_that_is_full_or_gets_full_changes_nothing(small: Cluster) -> None:
    small.add("before", 1000)
    small.back_up()
    small.add("after", 500)
    content = small.content()
    point = small.journal[0].name
    filler = small.settings.data / "filler"
    with filler.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, 1100 << 20)
    refused = small.call(RESTORE, "--to", point, "--yes", "--only", "pipeline", ok=False)
    assert refused.returncode == 1
    assert "too little room for a scratch copy" in refused.stderr
    with filler.open("ab") as stream:
        os.posix_fallocate(stream.fileno(), 0, 1700 << 20)
    refused = small.call(RESTORE, "--to", point, "--yes", ok=False)
    assert refused.returncode == 1
    assert "no room for a second data directory" in refused.stderr
    assert small.content() == content
    filler.unlink()

    failed = small.do("env", f"FILLER={filler}", sys.executable, "-c", CORE, point, "make", "fill", ok=False)
    assert failed.returncode == 1
    # Whichever of PostgreSQL's files met the full disk first; of one it does not say why.
    assert re.search("No space left on device|could not write init file", failed.stderr), failed.stderr
    filler.unlink()
    if not (small.data / "postmaster.pid").exists() or not _answers(small):
        # It may have ended when it could not write its WAL; natively the supervisor starts it again.
        small.start(small.data, small.settings.postgres_port)
    core(small)
    assert_nothing_is_left(small)
    assert small.content() == content
    core(small, point)
    assert len(small.content()) == 1000


def _answers(cluster: Cluster) -> bool:  # noqa: F811
    try:
        return bool(cluster.rows("SELECT true", database="postgres"))
    except Exception:
        return False
