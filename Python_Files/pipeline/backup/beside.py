"""A restore that replays and proves beside the data directory, with a server of its own, and then changes the places.

The old data directory is what it was until the new one is proven. The new one's WAL is archived only after that, by the
server that is started with it: of a restore that fails the repository knows nothing.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from pipeline.backup import configuration, restoration
from pipeline.backup.plan import Plan, proven_end
from pipeline.errors import PassingFault, PipelineError
from pipeline.operations.telling import tell
from pipeline.settings import Settings

_PROGRAMS = Path("/usr/lib/postgresql")
# Only the name of the socket: nobody listens on a port of this number.
_PORT = 5432
_LOOK_SECONDS = 0.1
_TELL_SECONDS = 10.0
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def fetch(settings: Settings, planned: Plan) -> Plan:
    """The files into the new directory; the plan that they are of.

    Raises PipelineError, also when this PostgreSQL could not use them; none is left then.
    """
    major = planned.archive_id.partition("-")[0]
    if not (_PROGRAMS / major / "bin" / "postgres").exists():
        there = sorted(path.parent.parent.name for path in _PROGRAMS.glob("*/bin/postgres"))
        raise PipelineError(
            "the backups are of another major version of PostgreSQL",
            detail=f"they are of {major}; here is {', '.join(there) or 'none'}; nothing was changed",
            hint="Restore them with a version of this project that has it.",
        )
    new = restoration.new_directory(settings)
    planned = restoration.fetch(settings, planned, new)
    if (new / "pipeline.conf").exists():
        shutil.rmtree(new)
        raise PipelineError(
            "the backups were made by the native way, whose PostgreSQL is configured otherwise",
            detail="nothing was changed",
            hint="Restore them natively; Administrator_scripts/Move.sh --to docker moves it then.",
        )
    return planned


def finish(settings: Settings, planned: Plan) -> Path | None:
    """Replay, prove, and put it in place; where the old data directory is now. No server may run.

    Raises PipelineError: then the old data directory is untouched, and the new one is removed.
    """
    data, new = configuration.cluster(settings)[0], restoration.new_directory(settings)
    _refuse_running(settings)
    try:
        with _server(settings, planned, new) as reachable:
            begin = told = time.monotonic()
            while restoration.asked(reachable, "SELECT pg_is_in_recovery()"):
                if time.monotonic() - told > _TELL_SECONDS:
                    told = time.monotonic()
                    tell("postgresql", "replays WAL", told - begin)
                time.sleep(_LOOK_SECONDS)
            line = restoration.timeline(reachable)
        tell("Proof", proven_end(planned, new, line))
        return _put_in_place(data, new, restoration.kept_directory(settings))
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        tell("Restore", "failed; the old data directory is as it was")
        raise


def _refuse_running(settings: Settings) -> None:
    """Raises PipelineError when a server answers in the data directory's name."""
    by_socket = msgspec.structs.replace(settings, postgres_host=str(configuration.cluster(settings)[1]))
    with suppress(PassingFault):
        restoration.asked(by_socket, "SELECT 1")
        raise PipelineError("PostgreSQL runs; it must be stopped first", detail="nothing was changed")


@contextmanager
def _server(settings: Settings, planned: Plan, new: Path) -> Iterator[Settings]:
    """A server on ``new`` that only its owner reaches, ended cleanly at the block's end; settings that lead to it."""
    begin = time.monotonic()
    options = {
        "listen_addresses": "",
        "port": str(_PORT),
        # On, so that the new timeline's beginning waits to be archived; without a command nothing is.
        "archive_mode": "on",
        "archive_command": "",
        "cluster_name": "restoring",
        "logging_collector": "off",
        "log_destination": "stderr",
        "lc_messages": "C",
    }
    with tempfile.TemporaryDirectory(prefix="restoring-") as home, (Path(home) / "server.log").open("wb") as log:
        options["unix_socket_directories"] = home
        program = _PROGRAMS / planned.archive_id.partition("-")[0] / "bin" / "postgres"
        command = [str(program), "-D", str(new), *(f"--{name}={value}" for name, value in options.items())]
        environment = {"PATH": configuration.PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            reachable = msgspec.structs.replace(settings, postgres_host=home, postgres_port=_PORT)
            _wait(reachable, server, Path(log.name))
            yield reachable
            tell("postgresql", f"has replayed {len(planned.segments)} segments of WAL", time.monotonic() - begin)
            server.send_signal(signal.SIGINT)
            if server.wait() != 0:
                raise PipelineError("the restored database does not end cleanly", detail=_reason(Path(log.name)))
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()


def _wait(settings: Settings, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server lets somebody in. Raises PipelineError when it ends instead."""
    while True:
        if server.poll() is not None:
            raise PipelineError("the restored database does not start", detail=_reason(log))
        with suppress(PassingFault):
            restoration.asked(settings, "SELECT 1")
            return
        time.sleep(_LOOK_SECONDS)


def _reason(log: Path) -> str:
    """What the server said last that was an error."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if any(word in line for word in ("FATAL:", "PANIC:", "ERROR:"))]
    return " | ".join(" ".join(line.split()) for line in (told or lines)[-3:])[-600:]


def _put_in_place(data: Path, new: Path, kept: Path) -> Path | None:
    """At every moment, also of a power cut, there is the old data directory or the new one. Raises OSError."""
    if not data.exists() or not any(data.iterdir()):
        with suppress(FileNotFoundError):
            data.rmdir()
        new.rename(data)
        _sync(data.parent)
        return None
    # By this name already while it is the new one: what is "restoring" is thrown away by the next restore.
    new.rename(kept)
    try:
        _exchange(kept, data)
    except OSError:  # a file system that cannot; a start notices when it was interrupted just here
        kept.rename(new)
        data.rename(kept)
        new.rename(data)
    _sync(data.parent)
    return kept


def _exchange(one: Path, other: Path) -> None:
    """Both names change hands at once."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one))


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
