"""The directories that backups lie in: what is in one, who may look into it, and how one is given up."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pipeline.errors import PipelineError
from pipeline.settings import Settings

# What such a directory holds: pgBackRest's own directory, the list of restore points, the settings file's copies, what
# is in NocoDB's own directory.
_OURS = ("repository", "restore_points.jsonl", "configuration", "files")
# What the names of directories with the backups of former clusters begin with.
_ASIDE = "set-aside-"


def views(settings: Settings) -> list[Settings]:
    """The settings once for each directory of backups, as if it were the only one: BACKUP_DIR and BACKUP_DIR_2.

    Whatever is asked with one of these is answered by that directory alone, so that the other one may be broken.
    """
    first = msgspec.structs.replace(settings, backup_dir_2="")
    if settings.backup_2 is None:
        return [first]
    return [first, msgspec.structs.replace(first, backup_dir=str(settings.backup_2))]


def repository(settings: Settings) -> Path:
    """pgBackRest's own directory; nothing else is in it."""
    return settings.backup / _OURS[0]


def journal_file(settings: Settings) -> Path:
    return settings.backup / _OURS[1]


def copies(settings: Settings) -> Path:
    """The directory with the copies of the settings file."""
    return settings.backup / _OURS[2]


def stored(settings: Settings) -> Path:
    """The directory with what is in NocoDB's own directory."""
    return settings.backup / _OURS[3]


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


def make_places(settings: Settings, owner: tuple[int, int] | None = None) -> list[Settings]:
    """The same for every directory of backups; those that can be used. Raises PipelineError when none can.

    One of two that cannot be used now, such as a disk that is not mounted, is no reason not to start.
    """
    usable: list[Settings] = []
    faults: list[PipelineError] = []
    for view in views(settings):
        try:
            make_place(view, owner)
            repository(view).mkdir(mode=0o700, exist_ok=True)
            if owner is not None and repository(view).stat().st_uid == os.geteuid():
                os.chown(repository(view), *owner)
            usable.append(view)
        except PipelineError as error:
            faults.append(error)
        except OSError as error:
            faults.append(
                PipelineError("the directory of the backups cannot be used", detail=f"{view.backup}: {error.strerror}")
            )
    if not usable:
        raise faults[0]
    return usable


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
    make_durable(path.parent)


def make_durable(directory: Path) -> None:
    """What was renamed in this directory survives a power cut. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
