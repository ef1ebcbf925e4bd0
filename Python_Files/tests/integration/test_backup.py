"""Backups of a real PostgreSQL by the real pgBackRest, and what a restore gives back."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import free_ports
from pipeline import backup
from pipeline import settings as all_settings
from pipeline.backup import configuration, points
from pipeline.backup.repository import Contents, Repository
from pipeline.database.connection import connect
from pipeline.database.migrations import migrate
from pipeline.errors import PipelineError
from pipeline.settings import ROOT, Settings

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgBackRest is not installed"),
]

BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=Path())
USER = "randomuser" if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(0.1)


@dataclass
class Cluster:
    """A scratch PostgreSQL with the project's tables, its settings file, and a backup directory."""

    place: Path
    settings: Settings

    @property
    def data(self) -> Path:
        return self.settings.data / "postgresql"

    @property
    def journal(self) -> list[points.Point]:
        return points.read_journal(self.settings)

    def segment_file(self, segment: str) -> Path:
        [path] = configuration.repository(self.settings).glob(f"archive/main/*/{segment[:16]}/{segment}-*")
        return path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place),
            "PYTHONPATH": str(ROOT / "Python_Files"),
            "PIPELINE_ENV_FILE": str(self.place / "env"),
        }

    def do(self, *command: str | Path, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program as the unprivileged user."""
        return self.call(*self.prefix, *command, ok=ok)

    @property
    def prefix(self) -> list[str]:
        return ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []

    def call(self, *command: str | Path, ok: bool = True) -> subprocess.CompletedProcess[str]:
        # Into files: a server that is started must not hold a pipe open that somebody waits for.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(
                [str(part) for part in command],
                env=self.environment,
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                check=False,
                timeout=300,
            )
            out.seek(0)
            err.seek(0)
            told = subprocess.CompletedProcess(done.args, done.returncode, out.read(), err.read())
        if ok:
            assert told.returncode == 0, f"{command}: {told.returncode}\n{told.stdout}{told.stderr}"
        return told

    def back_up(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Database/Backup.sh as root or the user calls it; as the user it runs in any case."""
        return self.call(ROOT / "Database" / "Backup.sh", *arguments, ok=ok)

    def pgbackrest(self, *arguments: str) -> str:
        config = configuration.config_file(self.settings)
        return self.do("pgbackrest", f"--config={config}", "--stanza=main", *arguments).stdout

    def base_backups(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.pgbackrest("info", "--output=json"))[0]["backup"]
        return found

    def start(self, data: Path, port: int) -> None:
        options = f"-p {port} -k {self.settings.run} -c listen_addresses=127.0.0.1"
        self.do(BINARIES / "pg_ctl", "start", "-w", "-D", data, "-l", self.place / "server.log", "-o", options)

    def stop(self, data: Path, mode: str = "fast") -> None:
        self.do(BINARIES / "pg_ctl", "stop", "-w", "-m", mode, "-D", data, ok=False)

    def rows(
        self, sql: str, values: Any = None, port: int | None = None, database: str = "pipeline"
    ) -> list[tuple[Any, ...]]:
        settings = self.with_port(port) if port else self.settings
        connection = connect(settings, role="postgres", database=database, name="tests")
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, values)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def with_port(self, port: int) -> Settings:
        values = all_settings.read_file(self.place / "env")
        return all_settings.parse({**values, "POSTGRES_PORT": str(port)})

    def add(self, what: str, count: int) -> None:
        self.rows(
            "INSERT INTO pipeline.removed (uuid, store, fetch_id, source, why) "
            "SELECT gen_random_uuid(), 'postgresql', %s, 'test', repeat('x', 200) FROM generate_series(1, %s)",
            (what, count),
        )

    def content(self, port: int | None = None) -> list[tuple[Any, ...]]:
        return self.rows("SELECT * FROM pipeline.removed ORDER BY uuid", port=port)

    def restore(self, name: str, point: str | None) -> int:
        """Restore the repository into a directory beside the original and start that; its port."""
        data = self.place / name
        target = ["--type=name", f"--target={point}", "--target-action=promote"] if point else []
        self.pgbackrest(f"--pg1-path={data}", "--archive-mode=off", *target, "restore")
        port = free_ports(1)[0]
        self.start(data, port)
        until(
            lambda: self.rows("SELECT pg_is_in_recovery()", port=port) == [(False,)],
            "the restored database has replayed its WAL",
        )
        return port


ENTRY = pwd.getpwnam(USER)
OWNER = (ENTRY.pw_uid, ENTRY.pw_gid)


@pytest.fixture(scope="module")
def made() -> Iterator[Cluster]:
    """A cluster with the project's tables, stopped; each test has a copy of its own."""
    with scratch() as place:
        one = settle(place)
        (place / "password").write_text("password-of-tests\n", encoding="utf-8")
        one.do(
            *(BINARIES / "initdb", "-D", one.data, "--username=postgres", f"--pwfile={place / 'password'}"),
            *("--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8"),
        )
        with (one.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.write("include_if_exists = 'archiving.conf'\n")
        (one.data / "pg_ident.conf").write_text(f'pipeline "{USER}" postgres\n', encoding="utf-8")
        (one.data / "pg_hba.conf").write_text(
            "local all postgres peer map=pipeline\nhost all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8"
        )
        one.start(one.data, one.settings.postgres_port)
        try:
            migrate(one.settings)
        finally:
            one.stop(one.data)
        yield one


@pytest.fixture
def cluster(made: Cluster) -> Iterator[Cluster]:
    """A running cluster whose WAL is archived; nothing is in the repository yet."""
    with scratch() as place:
        one = settle(place)
        one.do("cp", "-a", made.data, one.data)
        (one.data / "archiving.conf").write_text(backup.archiving_conf(one.settings), encoding="utf-8")
        os.chown(one.data / "archiving.conf", *OWNER)
        try:
            one.start(one.data, one.settings.postgres_port)
            yield one
        finally:
            for version_file in [*place.glob("*/PG_VERSION"), *place.glob("*/*/PG_VERSION")]:
                one.stop(version_file.parent, "immediate")


@contextmanager
def scratch() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="backup-", dir="/tmp"))  # short, for the socket's path
    os.chown(place, *OWNER)
    try:
        yield place
    finally:
        if os.environ.get("KEEP_SCRATCH") is None:
            shutil.rmtree(place, ignore_errors=True)


def settle(place: Path, **given: str) -> Cluster:
    """The settings file and the directories of an instance."""
    values = {
        "DATA_DIR": str(place / "data"),
        "BACKUP_DIR": str(place / "backup"),
        "RUN_AS_USER": USER,
        "POSTGRES_PORT": str(free_ports(1)[0]),
        **dict.fromkeys(all_settings.secret_names(), "password-of-tests"),
        "NOCODB_ENCRYPTION_KEY": "k" * 32,
        **given,
    }
    (place / "env").write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    os.chown(place / "env", *OWNER)
    settings = all_settings.parse(values)
    for directory in (settings.data, settings.run, settings.logs):
        directory.mkdir(mode=0o700)
        os.chown(directory, *OWNER)
    backup.make_places(settings, OWNER)
    return Cluster(place, settings)


def test_a_restore_gives_back_every_row_of_its_restore_point_and_none_that_came_later(cluster: Cluster) -> None:
    cluster.add("before the base backup", 1000)
    first = cluster.back_up()
    assert "Base backup  full" in first.stdout
    cluster.add("after it", 500)
    second = cluster.back_up()
    assert "Base backup" not in second.stdout, "none is due so soon"
    at_second_point = cluster.content()
    cluster.add("too late", 100)
    third = cluster.back_up()
    at_third_point = cluster.content()
    print(first.stdout, second.stdout, third.stdout, cluster.back_up("--list").stdout)

    names = [point.name for point in cluster.journal]
    assert len(names) == 3
    assert cluster.content(cluster.restore("second", names[1])) == at_second_point
    assert cluster.content(cluster.restore("third", names[2])) == at_third_point
    assert len(at_second_point) == 1500
    assert len(at_third_point) == 1600


def test_everything_of_the_backups_is_closed_to_other_users_and_nothing_belongs_to_root(cluster: Cluster) -> None:
    cluster.back_up()
    place = cluster.settings.backup
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    files = [path for path in place.rglob("*") if path.is_file()]
    assert {path.stat().st_uid for path in files} == {ENTRY.pw_uid}
    env = place / "configuration" / "env"
    assert env.read_bytes() == (cluster.place / "env").read_bytes(), "without .env NocoDB's data cannot be read"
    for path in (env, place / "restore_points.jsonl", configuration.config_file(cluster.settings)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_point_is_noted_in_the_database_and_in_the_journal_with_the_offsets_of_the_sinks(cluster: Cluster) -> None:
    cluster.rows(
        "WITH topic AS (INSERT INTO pipeline.topics (cluster_id, topic_id, name) VALUES ('c', 't', 'users.labelled') "
        "RETURNING id) INSERT INTO pipeline.offsets (sink, topic, partition, next_offset) "
        "SELECT 'postgresql', id, partition, 100 + partition FROM topic, generate_series(0, 1) AS partition"
    )
    cluster.back_up()
    [point] = cluster.journal
    assert point.offsets == [
        {
            "sink": "postgresql",
            "topic": "users.labelled",
            "cluster_id": "c",
            "topic_id": "t",
            "next_offsets": {"0": 100, "1": 101},
        }
    ]
    assert point.base_backup == cluster.base_backups()[0]["label"]
    [noted] = cluster.rows(
        "SELECT name, taken_at, lsn::text, wal_segment, offsets, base_backup, duration_seconds "
        "FROM pipeline.restore_points"
    )
    assert noted == tuple(getattr(point, name) for name in points.Point.__struct_fields__)
    assert cluster.segment_file(point.wal_segment).is_file()


def test_while_the_repository_cannot_be_written_no_point_is_noted_and_later_nothing_is_missing(
    cluster: Cluster,
) -> None:
    cluster.back_up()
    [first] = cluster.journal
    [archive] = configuration.repository(cluster.settings).glob("archive/main/*-1")
    closed = [archive, archive / first.wal_segment[:16]]
    for directory in closed:
        directory.chmod(0o500)
    cluster.add("while it is closed", 300)
    cluster.rows("SELECT pg_switch_wal()")
    until(lambda: cluster.rows("SELECT failed_count > 0 FROM pg_stat_archiver") == [(True,)], "the archiver has failed")
    with pytest.raises(PipelineError, match="did not reach the repository") as caught:
        points.take(cluster.settings, [Repository(cluster.settings, Contents(archive.name, 0, []))], None, seconds=4)
    assert "2 segments wait" in caught.value.detail
    assert "failures was" in caught.value.detail
    assert cluster.journal == [first]
    assert cluster.rows("SELECT count(*) FROM pipeline.restore_points") == [(1,)]

    for directory in closed:
        directory.chmod(0o750)
    again = cluster.back_up()
    assert "3 segments" in again.stdout
    content = cluster.content()
    assert len(content) == 300
    assert cluster.content(cluster.restore("restored", cluster.journal[-1].name)) == content


def test_a_segment_that_vanished_from_the_repository_is_told_at_the_next_point(cluster: Cluster) -> None:
    cluster.back_up()
    [(segment,)] = cluster.rows("SELECT pg_walfile_name(pg_create_restore_point('in between'))")
    cluster.rows("SELECT pg_switch_wal()")
    waits = "SELECT last_archived_wal >= %s FROM pg_stat_archiver"
    until(lambda: cluster.rows(waits, [segment]) == [(True,)], "the segment in between is archived")
    cluster.segment_file(segment).unlink()
    told = cluster.back_up(ok=False)
    assert told.returncode == 1
    assert "the WAL in the repository has a gap" in told.stderr
    assert segment in told.stderr


def test_a_repository_that_is_gone_is_not_silently_replaced_by_an_empty_one(cluster: Cluster) -> None:
    cluster.back_up()
    repository = configuration.repository(cluster.settings)
    repository.rename(cluster.place / "other disk")
    told = cluster.back_up(ok=False)
    assert told.returncode == 1
    assert "the repository of the backups is gone" in told.stderr
    assert not list(repository.iterdir())
    repository.rmdir()
    (cluster.place / "other disk").rename(repository)
    assert "is safe in the repository" in cluster.back_up().stdout


def test_the_repository_of_another_cluster_is_left_as_it_is(cluster: Cluster) -> None:
    cluster.back_up()
    cluster.stop(cluster.data)
    before = contents(configuration.repository(cluster.settings))
    shutil.rmtree(cluster.data)
    cluster.do(BINARIES / "initdb", "-D", cluster.data, "--username=postgres", "--auth=trust")
    (cluster.data / "pg_hba.conf").write_text(
        "local all all trust\nhost all all 127.0.0.1/32 trust\n", encoding="utf-8"
    )
    with (cluster.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
        stream.write(backup.archiving_conf(cluster.settings))
    cluster.start(cluster.data, cluster.settings.postgres_port)
    cluster.rows("SELECT pg_switch_wal() FROM pg_create_restore_point('of another cluster')", database="postgres")
    told = cluster.back_up(ok=False)
    assert told.returncode == 1
    assert "holds the backups of another database cluster" in told.stderr
    assert contents(configuration.repository(cluster.settings)) == before


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def who_opened(path: Path) -> set[int]:
    """The processes that have the file open."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # it has just ended
            if link.readlink() == path:
                found.add(int(link.parts[2]))
    return found


def test_a_second_backup_at_once_waits_for_the_first_and_then_does_its_own_work(cluster: Cluster) -> None:
    cluster.back_up()
    with (cluster.settings.run / "backup.lock").open("rb") as lock, ThreadPoolExecutor() as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        others = [pool.submit(cluster.back_up), pool.submit(cluster.back_up, "--full")]
        until(lambda: len(who_opened(Path(lock.name)) - {os.getpid()}) == 2, "both wait for the lock", 60)
        assert len(cluster.journal) == 1
        cluster.add("meanwhile", 10)  # by now: what they make restorable holds it
        fcntl.flock(lock, fcntl.LOCK_UN)
        for one in others:
            told = one.result().stdout
            assert "waits until another one, or a restore, has ended" in told
            assert "is safe in the repository" in told
    assert len(cluster.journal) == 3
    assert len(cluster.base_backups()) == 2
    content = cluster.content()
    assert cluster.content(cluster.restore("restored", cluster.journal[-1].name)) == content


def test_after_a_backup_that_was_killed_the_next_one_is_good(cluster: Cluster) -> None:
    cluster.add("much", 50_000)
    cluster.back_up()
    for seconds in (0.2, 0.5, 0.9):
        process = subprocess.Popen(
            [*cluster.prefix, sys.executable, "-m", "pipeline.backup.command", "--full"],
            env=cluster.environment,
            cwd=cluster.place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(seconds)  # not a wait: different moments of the work are hit
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    # PostgreSQL notices that its client is gone, and what pgBackRest forked ends with its master.
    until(lambda: cluster.back_up("--full", ok=False).returncode == 0, "a base backup succeeds", 120)
    assert len(cluster.base_backups()) >= 2
    assert not any(one["error"] for one in cluster.base_backups())
    content = cluster.content()
    assert cluster.content(cluster.restore("restored", cluster.journal[-1].name)) == content


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be refused for being root")
def test_root_is_refused(cluster: Cluster) -> None:
    told = cluster.call(sys.executable, "-m", "pipeline.backup.command", ok=False)
    assert told.returncode == 1
    assert "must not run as root" in told.stderr
    kept = [path for path in cluster.settings.backup.rglob("*") if path != configuration.repository(cluster.settings)]
    assert not kept
    assert configuration.repository(cluster.settings).stat().st_uid == cluster.settings.backup.stat().st_uid


def test_the_list_can_be_read_while_postgresql_is_down_and_backing_up_cannot(cluster: Cluster) -> None:
    cluster.back_up()
    cluster.stop(cluster.data)
    told = cluster.back_up("--list").stdout
    assert cluster.journal[0].name in told
    assert cluster.base_backups()[0]["label"] in told
    failed = cluster.back_up(ok=False)
    assert failed.returncode == 1
    assert "error: PostgreSQL could not do it now" in failed.stderr
    assert "Traceback" not in failed.stderr
