"""Taking a base backup: room first, and no half of one is left."""

from __future__ import annotations

import fcntl
import os
import shutil

from pipeline.backup import configuration, repository
from pipeline.backup.repository import BaseBackup, Contents
from pipeline.errors import PipelineError
from pipeline.settings import Settings

# So much stays free of base backups.
_WAL_BYTES = 64 << 20
_LABEL = "[0-9]" * 8 + "-" + "[0-9]" * 6 + "F*"
_MAKE_ROOM = (
    "Make room there, give the backups another disk (BACKUP_DIR), or lower BACKUP_RETENTION_DAYS. The WAL is archived "
    "all the same for as long as there is room."
)


def take(settings: Settings, contents: Contents) -> BaseBackup:
    """A full base backup, and what retention lets go afterwards. Raises as run does, and for too little room.

    One that fails is cleared away, for its half would keep the disk full, and WAL would find no room.
    """
    _check_room(settings, contents)
    try:
        repository.run(settings, "backup", "--type=full")
    except PipelineError as error:
        full = shutil.disk_usage(configuration.repository(settings)).free < _WAL_BYTES
        clear_away_halves(settings)
        if full:  # pgBackRest itself does not always say so
            raise PipelineError(
                "the disk was full before the base backup was complete", detail=error.detail, hint=_MAKE_ROOM
            ) from error
        raise
    return repository.read(settings).backups[-1]


def _check_room(settings: Settings, contents: Contents) -> None:
    """For another one as large as the last, and for WAL beside it. What is past retention goes first."""
    wanted = _WAL_BYTES + (contents.backups[-1].repository_bytes if contents.backups else 0)
    place = configuration.repository(settings)
    if shutil.disk_usage(place).free < wanted and contents.backups:
        repository.run(settings, "expire")
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise PipelineError(
            "there is no room for another base backup",
            detail=f"{place} has {free >> 20} MiB left, {wanted >> 20} MiB are needed",
            hint=_MAKE_ROOM,
        )


def clear_away_halves(settings: Settings) -> None:
    """Remove base backups that were cut short, by a full disk or a kill, unless one is being taken. Raises OSError."""
    lock = configuration.lock_file(settings)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as pgBackRest does
        for entry in (configuration.repository(settings) / "backup" / configuration.STANZA).glob(_LABEL):
            if entry.is_dir() and not entry.is_symlink() and not (entry / "backup.manifest").exists():
                shutil.rmtree(entry)
    except BlockingIOError:
        pass  # one is at work
    finally:
        os.close(handle)
