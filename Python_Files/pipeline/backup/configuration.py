"""What PostgreSQL and pgBackRest are told about backups: two configuration files and the places that they name."""

from __future__ import annotations

import shlex
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

from pipeline.backup.place import (
    copies,
    journal_file,
    make_place,
    make_places,
    repository,
    stored,
    views,
    write_private,
)
from pipeline.errors import PipelineError
from pipeline.settings import Settings

__all__ = [
    "ARCHIVE_TIMEOUT_SECONDS",
    "PATH",
    "STANZA",
    "archiving_conf",
    "cluster",
    "config_file",
    "copies",
    "errors_of_pushing",
    "journal_file",
    "lock_file",
    "make_place",
    "pgbackrest_conf",
    "prepared",
    "prepared_file",
    "program",
    "push_config_file",
    "receiving",
    "repository",
    "stored",
    "views",
    "write_configuration",
    "write_private",
]

STANZA = "main"

# Programs are looked for where the supervisor's parts find them, whatever the shell of the caller has.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# After at most so many seconds what was committed leaves for the repository, however quiet the database is.
ARCHIVE_TIMEOUT_SECONDS = 60


def push_config_file(settings: Settings) -> Path:
    """What PostgreSQL's archive_command reads: all repositories that WAL goes to. docker-compose.yml names it too."""
    return settings.run / "pgbackrest.conf"


def config_file(settings: Settings) -> Path:
    """The same for one repository alone, that of BACKUP_DIR: whatever is not sending WAL."""
    path = bytes(repository(settings))
    return settings.run / f"pgbackrest-{zlib.crc32(path):08x}.conf"


def _work(settings: Settings) -> Path:
    """Where pgBackRest notes what it is doing."""
    return settings.data / "pgbackrest"


def cluster(settings: Settings) -> tuple[Path, Path]:
    """PostgreSQL's data directory, and the one with its socket."""
    if settings.pipeline_mode == "docker":
        return Path("/var/lib/postgresql/data"), Path("/var/run/postgresql")  # as in docker-compose.yml
    return settings.data / "postgresql", settings.run


def prepared_file(settings: Settings) -> Path:
    """It names the repositories that this cluster's WAL goes to, one a line, since the day each was prepared."""
    return _work(settings) / "prepared"


def prepared(settings: Settings) -> list[str]:
    """The repositories that were once prepared for this cluster, those of other days too."""
    path = prepared_file(settings)
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def lock_file(settings: Settings) -> Path:
    """Held by pgBackRest for as long as it takes a base backup."""
    return _work(settings) / "lock" / f"{STANZA}-backup.lock"


def errors_of_pushing(settings: Settings) -> Path:
    """Where pgBackRest leaves, per segment, why it could not be sent."""
    return _work(settings) / "spool" / "archive" / STANZA / "out"


def receiving(settings: Settings) -> list[Settings]:
    """The directories whose repositories WAL is sent to: the first, and the second once it can take any.

    One that was never prepared would have every segment refused. One that was, and is gone, stays: PostgreSQL keeps
    the WAL for it.
    """
    first, *others = views(settings)
    known = prepared(settings)
    return [first, *(view for view in others if str(repository(view)) in known)]


def program() -> str:
    """pgBackRest with its path; the bare name while it is not installed."""
    return shutil.which("pgbackrest", path=PATH) or "pgbackrest"


def archiving_conf(settings: Settings) -> str:
    """The lines of PostgreSQL's configuration that send its WAL to the repository.

    The command fails, and PostgreSQL keeps the WAL and tries again, for as long as the repository cannot be written.
    """
    command = shlex.join([program(), f"--config={push_config_file(settings)}", f"--stanza={STANZA}", "archive-push"])
    # A % of a path would be a placeholder to PostgreSQL, and a quote would end the value.
    value = (command.replace("%", "%%") + " %p").replace("\\", "\\\\").replace("'", "''")
    return (
        "# Generated from .env at every start.\n"
        "archive_mode = on\n"
        f"archive_command = '{value}'\n"
        f"archive_timeout = {ARCHIVE_TIMEOUT_SECONDS}\n"
    )


def pgbackrest_conf(settings: Settings, repositories: Sequence[Settings]) -> str:
    """What pgBackRest is told, with these repositories, one of each view.

    No secret: PostgreSQL lets its own user in by the socket without a password.

    Base backups are full ones. Without block incremental, which is not finished in the versions that systems have, an
    incremental one copies every table file that changed, and while a table is smaller than 1 GB that is all of it: it
    would cost as much, and depend on another one besides.

    Retention is by time: a base backup goes when it is older than so many days AND another one is as old as that too,
    so that every moment of these days can be restored; from the second one on there are always two. WAL goes with the
    base backup before it. ``archive-push-queue-max`` must stay unset: past it WAL is dropped and called archived.
    """
    work = _work(settings)
    values: dict[str, object] = {}
    for number, view in enumerate(repositories, 1):
        values |= {
            f"repo{number}-path": repository(view),
            f"repo{number}-retention-full-type": "time",
            f"repo{number}-retention-full": settings.backup_retention_days,
            f"repo{number}-bundle": "y",
        }
    values |= {
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


def write_configuration(settings: Settings) -> None:
    """Make the directories and the configurations; safe to repeat, needs no server.

    Raises PipelineError when nothing can be backed up.
    """
    make_places(settings)
    work = _work(settings)
    try:
        for directory in (settings.run, settings.logs, work, work / "spool", work / "lock"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        all_views = views(settings)
        known = prepared(settings)
        mine = [str(repository(view)) for view in all_views]
        if len(all_views) == 1 and set(known) - set(mine):
            # WAL does not go there any more: when it is given again, it begins with a base backup.
            write_private(prepared_file(settings), "".join(f"{one}\n" for one in known if one in mine).encode())
        texts = {config_file(view): pgbackrest_conf(settings, [view]) for view in all_views}
        texts[push_config_file(settings)] = pgbackrest_conf(settings, receiving(settings))
        for path, text in texts.items():
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                write_private(path, text.encode())
    except OSError as error:
        raise PipelineError("pgBackRest cannot be configured", detail=f"{error.filename}: {error.strerror}") from None
