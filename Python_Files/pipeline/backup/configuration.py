"""What PostgreSQL and pgBackRest are told about backups: two configuration files and the places that they name."""

from __future__ import annotations

import os
import shlex
import shutil
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.settings import Settings

STANZA = "main"

# Programs are looked for where the supervisor's parts find them, whatever the shell of the caller has.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What BACKUP_DIR holds: pgBackRest's own directory, the list of restore points, the settings file's copies.
_OURS = ("repository", "restore_points.jsonl", "configuration")
# What the names of directories with the backups of former clusters begin with.
_ASIDE = "set-aside-"

# After at most so many seconds what was committed leaves for the repository, however quiet the database is.
ARCHIVE_TIMEOUT_SECONDS = 60


def config_file(settings: Settings) -> Path:
    return settings.run / "pgbackrest.conf"


def repository(settings: Settings) -> Path:
    """pgBackRest's own directory; nothing else is in it."""
    return settings.backup / _OURS[0]


def journal_file(settings: Settings) -> Path:
    return settings.backup / _OURS[1]


def copies(settings: Settings) -> Path:
    """The directory with the copies of the settings file."""
    return settings.backup / _OURS[2]


def _work(settings: Settings) -> Path:
    """Where pgBackRest notes what it is doing."""
    return settings.data / "pgbackrest"


def cluster(settings: Settings) -> tuple[Path, Path]:
    """PostgreSQL's data directory, and the one with its socket."""
    if settings.pipeline_mode == "docker":
        return Path("/var/lib/postgresql/data"), Path("/var/run/postgresql")  # as in docker-compose.yml
    return settings.data / "postgresql", settings.run


def prepared_file(settings: Settings) -> Path:
    """It names the repository that this cluster's WAL goes to, since the day it was prepared."""
    return _work(settings) / "prepared"


def program() -> str:
    """pgBackRest with its path; the bare name while it is not installed."""
    return shutil.which("pgbackrest", path=PATH) or "pgbackrest"


def archiving_conf(settings: Settings) -> str:
    """The lines of PostgreSQL's configuration that send its WAL to the repository.

    The command fails, and PostgreSQL keeps the WAL and tries again, for as long as the repository cannot be written.
    """
    command = shlex.join([program(), f"--config={config_file(settings)}", f"--stanza={STANZA}", "archive-push"])
    # A % of a path would be a placeholder to PostgreSQL, and a quote would end the value.
    value = (command.replace("%", "%%") + " %p").replace("\\", "\\\\").replace("'", "''")
    return (
        "# Generated from .env at every start.\n"
        "archive_mode = on\n"
        f"archive_command = '{value}'\n"
        f"archive_timeout = {ARCHIVE_TIMEOUT_SECONDS}\n"
    )


def pgbackrest_conf(settings: Settings) -> str:
    """What is in pgbackrest.conf. No secret: PostgreSQL lets its own user in by the socket without a password.

    Base backups are full ones. Without block incremental, which is not finished in the versions that systems have, an
    incremental one copies every table file that changed, and while a table is smaller than 1 GB that is all of it: it
    would cost as much, and depend on another one besides.

    Retention is by time: a base backup goes when it is older than so many days AND another one is as old as that too,
    so that every moment of these days can be restored; from the second one on there are always two. WAL goes with the
    base backup before it. ``archive-push-queue-max`` must stay unset: past it WAL is dropped and called archived.
    """
    work = _work(settings)
    values = {
        "repo1-path": repository(settings),
        "repo1-retention-full-type": "time",
        "repo1-retention-full": settings.backup_retention_days,
        "repo1-bundle": "y",
        "compress-type": "zst",
        "compress-level": 3,
        "process-max": 2,
        "start-fast": "y",
        "spool-path": work / "spool",
        "lock-path": work / "lock",
        "log-path": settings.logs,
        # Its files are not rotated: they get what went wrong and nothing more.
        "log-level-file": "warn",
        "log-level-console": "warn",
        "log-level-stderr": "off",
    }
    data, socket = cluster(settings)
    server = {
        "pg1-path": data,
        "pg1-socket-path": socket,
        "pg1-port": settings.postgres_port,
        "pg1-user": "postgres",
    }
    lines = ["# Generated from .env at every start.", "[global]"]
    lines += [f"{name}={value}" for name, value in values.items()]
    # Only sending is asynchronous: when reading, a restored copy beside the original would share queue and lock.
    lines += ["", "[global:archive-push]", "archive-async=y"]
    lines += ["", f"[{STANZA}]"]
    lines += [f"{name}={value}" for name, value in server.items()]
    return "\n".join(lines) + "\n"


def make_place(settings: Settings, owner: tuple[int, int] | None = None) -> None:
    """Make the directory of the backups, closed to other users; safe to repeat.

    ``owner`` (uid, gid) is given by root, who makes it for another user: that user may not be allowed to where
    BACKUP_DIR points. Raises PipelineError when it cannot be made, is not the caller's own, or holds something else.
    """
    place = settings.backup
    try:
        place.mkdir(parents=True, exist_ok=True)
        found = {entry.name for entry in place.iterdir()} - {"lost+found"}
        if found and not any(name in _OURS or name.startswith(_ASIDE) for name in found):
            raise PipelineError(
                "the directory of the backups holds something that is not of this project",
                detail=f"BACKUP_DIR is {place}; among others there is {min(found)!r}",
                hint="Set BACKUP_DIR to an empty or a new directory.",
            )
        if owner is not None:
            # What another user has put something into is that user's.
            if found and place.stat().st_uid not in (owner[0], os.geteuid()):
                raise PipelineError(
                    "the directory of the backups belongs to another user",
                    detail=f"BACKUP_DIR is {place}, of uid {place.stat().st_uid}; wanted is uid {owner[0]}",
                    hint=f"If the backups in it are this installation's: chown -R {owner[0]}:{owner[1]} on it. "
                    "Else set BACKUP_DIR to an empty or a new directory.",
                )
            _give(place, owner)
        if place.stat().st_mode & 0o777 != 0o700:
            place.chmod(0o700)
    except OSError as error:
        raise PipelineError(
            "the directory of the backups cannot be used",
            detail=f"BACKUP_DIR is {place}: {error.strerror}",
            hint="Let it belong to the user that runs the pipeline, or run ./Project_Initialize.sh as root, which "
            "makes it for that user; or set BACKUP_DIR to another one.",
        ) from None


def _give(place: Path, owner: tuple[int, int]) -> None:
    """To its user, with what root has copied into it: backups brought from another machine. Raises OSError."""
    ours = [place / name for name in _OURS if (place / name).exists()]
    for tree in ours:
        if tree.lstat().st_uid != owner[0]:
            for path in (*tree.rglob("*"), tree):  # itself last: what is cut short is done again
                os.chown(path, *owner, follow_symlinks=False)
    if place.stat().st_uid != owner[0]:
        os.chown(place, *owner)


def set_aside(place: Path) -> Path | None:
    """Move the backups of a cluster that is given up out of the next one's way; where they are now, if there were any.

    ``place`` is the directory of the backups. For a reset, with nothing running. Raises OSError.
    """
    if not (place / _OURS[0]).exists():
        return None
    aside = place / f"{_ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    aside.mkdir(mode=0o700)
    for name in _OURS:
        if (place / name).exists():
            (place / name).rename(aside / name)
    return aside


def remove(place: Path) -> None:
    """Delete the backups in this directory, also those that were set aside, and nothing else. Raises OSError."""
    for entry in place.iterdir():
        if entry.name not in _OURS and not entry.name.startswith(_ASIDE):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def kinds(place: Path) -> set[str]:
    """What is in this directory: "current" backups, and some that were "set aside". Raises OSError."""
    names = [entry.name for entry in place.iterdir()]
    found = {"current"} if _OURS[0] in names else set()
    return found | ({"set aside"} if any(name.startswith(_ASIDE) for name in names) else set())


def write_configuration(settings: Settings) -> None:
    """Make the directories and pgbackrest.conf; safe to repeat, needs no server. Raises PipelineError."""
    make_place(settings)
    work = _work(settings)
    try:
        for directory in (settings.run, settings.logs, work, work / "spool", work / "lock", repository(settings)):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, text = config_file(settings), pgbackrest_conf(settings)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_private(path, text.encode())
    except OSError as error:
        raise PipelineError("pgBackRest cannot be configured", detail=f"{error.filename}: {error.strerror}") from None


def write_private(path: Path, content: bytes) -> None:
    """Put ``content`` into ``path``, readable by its owner alone, whole or not at all. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
