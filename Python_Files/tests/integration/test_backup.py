"""Backups of a real PostgreSQL by the real pgBackRest, and what a restore gives back."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline import backup
from pipeline import settings as all_settings
from pipeline.backup import configuration, points
from pipeline.database.connection import connect
from pipeline.database.migrations import migrate
from pipeline.settings import ROOT, Settings

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgBackRest is not installed"),
]

BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=Path())
USER = "randomuser" if os.geteuid() == 0 else pwd.getpwuid(os.getuid()).pw_name


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


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
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "Python_Files"),
            "PIPELINE_ENV_FILE": str(self.place / "env"),
        }

    def do(self, *command: str | Path, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program as the unprivileged user."""
        prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        return self.call(*prefix, *command, ok=ok)

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
                timeout=180,
            )
            out.seek(0)
            err.seek(0)
            told = subprocess.CompletedProcess(done.args, done.returncode, out.read(), err.read())
        if ok:
            assert told.returncode == 0, f"{command}: {told.returncode}\n{told.stdout}{told.stderr}"
        return told

    def back_up(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        return self.do(sys.executable, "-m", "pipeline.backup.command", *arguments, ok=ok)

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

    def rows(self, sql: str, values: Any = None, port: int | None = None) -> list[tuple[Any, ...]]:
        settings = self.with_port(port) if port else self.settings
        connection = connect(settings, role="postgres", name="tests")
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
        data, port = self.place / name, free_port()
        target = ["--type=name", f"--target={point}", "--target-action=promote"] if point else []
        self.pgbackrest(f"--pg1-path={data}", "--archive-mode=off", *target, "restore")
        self.start(data, port)
        until(
            lambda: self.rows("SELECT pg_is_in_recovery()", port=port) == [(False,)],
            "the restored database has replayed its WAL",
        )
        return port


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    place = Path(tempfile.mkdtemp(prefix="backup-", dir="/tmp"))
    data = place / "data"
    values = {
        "DATA_DIR": str(data),
        "BACKUP_DIR": str(place / "backup"),
        "RUN_AS_USER": USER,
        "POSTGRES_PORT": str(free_port()),
        "NOCODB_ENCRYPTION_KEY": "k" * 32,
        "NOCODB_ADMIN_PASSWORD": "administrator-of-tests",
        "NOCODB_JWT_SECRET": "signature-of-tests",
        **{f"{role}_PASSWORD": "password-of-tests" for role in ("POSTGRES", "PIPELINE_DB", "NOCODB_DB", "READER_DB")},
    }
    (place / "env").write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    (place / "password").write_text("password-of-tests\n", encoding="utf-8")
    settings = all_settings.parse(values)
    for directory in (data, settings.run, settings.logs):
        directory.mkdir(mode=0o700)
    entry = pwd.getpwnam(USER)
    backup.make_place(settings, (entry.pw_uid, entry.pw_gid))
    for path in (place, data, settings.run, settings.logs, place / "env"):
        os.chown(path, entry.pw_uid, entry.pw_gid)
    one = Cluster(place, settings)
    cluster_directory = data / "postgresql"
    try:
        one.do(
            *(BINARIES / "initdb", "-D", cluster_directory, "--username=postgres", f"--pwfile={place / 'password'}"),
            *("--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8"),
        )
        with (cluster_directory / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.write("include_if_exists = 'archiving.conf'\n")
        (cluster_directory / "archiving.conf").write_text(backup.archiving_conf(settings), encoding="utf-8")
        (cluster_directory / "pg_ident.conf").write_text(f'pipeline "{USER}" postgres\n', encoding="utf-8")
        (cluster_directory / "pg_hba.conf").write_text(
            "local all postgres peer map=pipeline\nhost all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8"
        )
        os.chown(cluster_directory / "archiving.conf", entry.pw_uid, entry.pw_gid)
        one.start(cluster_directory, settings.postgres_port)
        migrate(settings)
        yield one
    finally:
        for version_file in [*place.glob("*/PG_VERSION"), *place.glob("*/*/PG_VERSION")]:
            one.stop(version_file.parent, "immediate")
        if os.environ.get("KEEP_SCRATCH") is None:
            shutil.rmtree(place, ignore_errors=True)


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

    names = [point.name for point in journal(cluster)]
    assert len(names) == 3
    assert cluster.content(cluster.restore("second", names[1])) == at_second_point
    assert cluster.content(cluster.restore("third", names[2])) == at_third_point
    assert len(at_second_point) == 1500
    assert len(at_third_point) == 1600


def journal(cluster: Cluster) -> list[points.Point]:
    return points.read_journal(cluster.settings)
