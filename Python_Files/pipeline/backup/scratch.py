"""A scratch copy: the databases as the repository has them, restored beside the live ones, asked, and removed again.

It lies in DATA_DIR/scratch, is reached through a socket in there by its owner alone, and never archives: the repository
and the live databases are only read. One at a time, because each takes the room of the databases once more.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

import msgspec

from pipeline.backup import chain, configuration, points, repository, target
from pipeline.backup.plan import Plan, proven_end
from pipeline.backup.repository import BaseBackup
from pipeline.database.connection import Connection, connect, passing
from pipeline.errors import PassingFault, PipelineError
from pipeline.operations import lock
from pipeline.operations.lock import Busy
from pipeline.settings import Settings

# Only the name of the socket: nobody listens on a port of this number.
_PORT = 5432
_LOOK_SECONDS = 0.1
# Room for the WAL that is replayed, and so that the live database is not left without any.
_SPARE_BYTES = 1024 * 2**20
_PROGRAMS = Path("/usr/lib/postgresql")  # Debian's, and the official image's


class Copy(NamedTuple):
    """A restored copy that answers, its replay ended.

    ``settings`` are the live ones with the copy's address: ``connect(copy.settings, role="postgres")`` reaches it, and
    so do PostgreSQL's programs in ``programs`` with ``-h settings.postgres_host -p settings.postgres_port``; only that
    role may connect. ``reached`` is the place in the WAL of the last record replayed, and ``end`` says so
    in words; ``last_commit`` is the time of the last transaction in it (None: none was replayed). ``seconds``: from the
    restore's start until it answered.
    """

    settings: Settings
    programs: Path
    base: BaseBackup
    reached: str
    end: str
    last_commit: datetime | None
    seconds: float

    def connect(self, database: str = "pipeline") -> Connection:
        """A connection as superuser, without a limit to the time of a statement. Raises PassingFault."""
        connection = connect(self.settings, role="postgres", database=database, name="scratch")
        with passing(), connection, connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        return connection


def place(settings: Settings) -> Path:
    return settings.data / "scratch"


@contextmanager
def restored(
    settings: Settings,
    planned: Plan | None = None,
    *,
    wait_seconds: float = 0,
    waits: Callable[[], object] = lambda: None,
) -> Iterator[Copy]:
    """A copy of the databases as ``planned``, or with all WAL of the repository; removed at the block's end.

    Also when SIGTERM or SIGHUP comes, which become SystemExit in the block; what a killed run left is removed by the
    next one. ``wait_seconds``: how long to wait for another copy to be given up, after which Busy is raised; ``waits``
    is called when that begins.

    **Without a plan PostgreSQL takes a missing or broken WAL segment for the end of the WAL**: compare ``reached``.
    With one, PipelineError is raised unless it ended where the plan's target is. Raises PipelineError when there is no
    base backup, too little room, or anything that fails.
    """
    repository.refuse_root()
    busy = Busy(
        "another scratch copy of the databases is in use",
        detail=str(place(settings)),
        hint="Database/Verify_Backup.sh or Database/Restore.sh is at work; try again when it ended.",
    )
    with lock.held(lock_file(settings), busy, seconds=wait_seconds, waits=waits), signals_raise():
        home = place(settings)
        remove_leftovers(home)
        base, arguments = (
            (planned.base, target.pgbackrest_arguments(planned.target, planned.base)) if planned else _newest(settings)
        )
        check_room(settings, base)
        try:
            home.mkdir(mode=0o700, parents=True)
            with _running(settings, home, base, planned, arguments) as copy:
                yield copy
        finally:
            remove_leftovers(home)


def lock_file(settings: Settings) -> Path:
    """Held for as long as there is a copy."""
    return settings.run / "scratch.lock"


def _newest(settings: Settings) -> tuple[BaseBackup, list[str]]:
    """All WAL of the timeline that the live databases are on, and the base backup to begin with.

    A restore that failed may have left the beginning of another timeline, which PostgreSQL by itself would follow.
    """
    contents, known = repository.read(settings), points.read_journal(settings)
    if not contents.backups:
        raise PipelineError(
            "there is no base backup to restore from", hint="Database/Backup.sh --list shows what can be restored."
        )
    if not known:
        return contents.backups[-1], [f"--set={contents.backups[-1].label}", "--type=default"]
    end = target.choose(None, known, datetime.now(UTC))
    base = target.base_for(end, contents.backups, chain.ancestry(settings, contents.archive_id, end.timeline))
    return base, target.pgbackrest_arguments(end, base)


def needed(base: BaseBackup) -> int:
    """Bytes that a copy takes, at most as long as little WAL is replayed."""
    return base.database_bytes + _SPARE_BYTES


def check_room(settings: Settings, base: BaseBackup) -> None:
    """Raises PipelineError unless there is room for a copy."""
    free, wanted = shutil.disk_usage(settings.data).free, needed(base)
    if free < wanted:
        raise PipelineError(
            "there is too little room for a scratch copy of the databases",
            detail=f"{settings.data} has {free // 2**20} MiB left, {wanted // 2**20} MiB are needed",
            hint="Make room there; nothing was changed.",
        )


@contextmanager
def _running(
    settings: Settings, home: Path, base: BaseBackup, planned: Plan | None, arguments: list[str]
) -> Iterator[Copy]:
    begin = time.monotonic()
    data, log = home / "data", home / "server.log"
    repository.run(
        planned.source if planned else settings,
        "restore",
        f"--pg1-path={data}",
        f"--lock-path={home / 'lock'}",
        "--archive-mode=off",
        *arguments,
    )
    programs = _PROGRAMS / (data / "PG_VERSION").read_text(encoding="ascii").strip() / "bin"
    configuration.write_private(home / "hba.conf", b"local all postgres peer map=scratch\n")
    user = pwd.getpwuid(os.geteuid()).pw_name
    configuration.write_private(home / "ident.conf", f'scratch "{user}" postgres\n'.encode())
    options = {
        "listen_addresses": "",
        "port": str(_PORT),
        "unix_socket_directories": str(home),
        "unix_socket_permissions": "0700",
        "hba_file": str(home / "hba.conf"),
        "ident_file": str(home / "ident.conf"),
        "external_pid_file": "",
        "archive_mode": "off",
        "cluster_name": "scratch",
        # Nobody gets in before the replay has ended.
        "hot_standby": "off",
        "shared_buffers": "64MB",
        "max_parallel_workers": "0",
        "max_parallel_maintenance_workers": "0",
        "autovacuum": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "lc_messages": "C",
    }
    command = [str(programs / "postgres"), "-D", str(data), *(f"--{name}={value}" for name, value in options.items())]
    environment = {"PATH": configuration.PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    with log.open("wb") as stream:
        try:
            server = subprocess.Popen(
                command, env=environment, cwd=home, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )
        except FileNotFoundError as error:
            raise PipelineError(
                "the copy's version of PostgreSQL is not installed", detail=str(error.filename)
            ) from None
    try:
        # The path of a socket ends at 107 bytes, and a long DATA_DIR is told by the server itself.
        reachable = msgspec.structs.replace(settings, postgres_host=str(home), postgres_port=_PORT)
        reached, last_commit = _wait_for(reachable, server, log)
        end = proven_end(planned, data, _timeline(reachable)) if planned else f"it ended at {reached}"
        yield Copy(reachable, programs, base, reached, end, last_commit, time.monotonic() - begin)
    finally:
        _end(server)


def _wait_for(settings: Settings, server: subprocess.Popen[bytes], log: Path) -> tuple[str, datetime | None]:
    """Until the replay has ended, however long that takes; where it ended."""
    while True:
        if server.poll() is not None:
            raise PipelineError("the restored copy does not start", detail=_reason(log))
        try:
            connection = connect(settings, role="postgres", database="postgres", name="scratch")
        except PassingFault:
            time.sleep(_LOOK_SECONDS)
            continue
        try:
            with passing(), connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp()"
                )
                replaying, reached, last_commit = cursor.fetchone()
        finally:
            connection.close()
        if not replaying:
            return str(reached), last_commit
        time.sleep(_LOOK_SECONDS)


def _timeline(settings: Settings) -> int:
    connection = connect(settings, role="postgres", database="postgres", name="scratch")
    try:
        with passing(), connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_walfile_name(pg_current_wal_lsn())")
            return chain.timeline(cursor.fetchone()[0])
    finally:
        connection.close()


def _reason(log: Path) -> str:
    """Why the server ended: its last error, and what pgBackRest said to it before."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "ERROR:" in line]
    return " | ".join(" ".join(line.split()) for line in (told or lines)[-3:])[-600:]


def _end(server: subprocess.Popen[bytes]) -> None:
    """At once and without a checkpoint: nothing of it is kept."""
    if server.poll() is None:
        server.send_signal(signal.SIGQUIT)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def remove_leftovers(home: Path) -> None:
    """End what works on a copy that was left, and remove its files. Raises OSError and PipelineError."""
    repository.end_restores_into(home / "data")
    pid_file = home / "data" / "postmaster.pid"
    try:
        pid = int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
        # The number may be another process's by now; a server's working directory is its data.
        if Path(f"/proc/{pid}/cwd").resolve() == (home / "data").resolve():
            os.kill(pid, signal.SIGQUIT)
            _wait_until(lambda: not Path(f"/proc/{pid}/cwd").exists(), 20)
    except (OSError, ValueError):
        pass  # none runs
    if home.exists():
        _wait_until(lambda: _removed(home), 20)
    if home.exists():
        shutil.rmtree(home)


def _removed(home: Path) -> bool:
    """A server's processes may write for a moment after it: a directory is then not empty."""
    shutil.rmtree(home, ignore_errors=True)
    return not home.exists()


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


@contextmanager
def signals_raise() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the block, so that what is in it is removed."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        for one in before:
            signal.signal(one, signal.SIG_IGN)  # a second one would cut the removal short
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
