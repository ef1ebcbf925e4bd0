"""Whether the volumes belong to the users that the services run as; asked before any of them starts."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.backup import gone, unfinished
from pipeline.errors import PipelineError
from pipeline.operations import lock
from pipeline.operations.lock import Busy
from pipeline.settings import Settings

MOUNTED = Path("/volumes")
RESTORING = "PIPELINE_RESTORE_KEY"
"""In the environment of what a restore runs."""


@dataclass(frozen=True)
class User:
    """Whom a service runs as, which is fixed by its image, and what of the volume's top it uses; nothing means all."""

    name: str
    uid: int
    uses: tuple[str, ...] = ()


OWNERS = {
    "postgres-data": User("PostgreSQL", 999, ("data",)),  # an image may bring more, such as a folder of its version
    "kafka-data": User("Kafka", 1000),
    "kafka-2-data": User("Kafka", 1000),
    "kafka-3-data": User("Kafka", 1000),
    "nocodb-data": User("NocoDB", 0),
    "pipeline-data": User("the stages", 10001),
}


def check(settings: Settings, mounted: Path = MOUNTED, owners: Mapping[str, User] = OWNERS) -> None:
    """Raise PipelineError for the first volume that holds something of another user: its service could not use it.

    An empty one is no fault, whoever owns it: the engine gives it to its service when that first mounts it. Only what
    lies at the top is looked at, for what a service has made is all its own.
    """
    for name, user in owners.items():
        volume = mounted / name
        strangers = _strangers(volume, user) if volume.is_dir() else []
        if strangers:
            full = f"{settings.compose_project_name}_{name}"
            image = f"{settings.compose_project_name}/pipeline:0.1.0"
            what = "it" if strangers[0] == volume else f"{strangers[0].name!r} in it"
            raise PipelineError(
                f"the volume {full} belongs to somebody else",
                detail=f"{what} is of uid {strangers[0].lstat().st_uid}; "
                f"{user.name}, whose data it holds, has uid {user.uid}",
                hint=f"If the data is this installation's: docker run --rm --user 0 --volume {full}:/volume {image} "
                f"chown -R {user.uid}:{user.uid} /volume. Else set COMPOSE_PROJECT_NAME in .env to another name.",
            )


def _strangers(volume: Path, user: User) -> list[Path]:
    inside = sorted(path for path in volume.iterdir() if path.name != "lost+found")
    used = [path for path in inside if not user.uses or path.name in user.uses]
    found = [path for path in used if path.lstat().st_uid != user.uid]
    top = volume.stat()
    if inside and top.st_uid != user.uid and not top.st_mode & stat.S_IWOTH:
        found.append(volume)
    return found


def refuse_half_restored(settings: Settings, mounted: Path = MOUNTED) -> None:
    """Raise PipelineError when a server must not start now: a restore is at work, or the data is gone and can be had.

    ``settings`` are those inside. A server without data begins an empty cluster, which is in a restore's way. The first
    step of a restore itself says so, and is let through.
    """
    if os.environ.get(RESTORING):
        return
    if lock.is_held(unfinished.lock_file(settings)):
        raise Busy("a restore is running", hint="Try again when it has ended.")
    top = mounted / "postgres-data"
    if (top / "data" / "PG_VERSION").exists() or not top.is_dir():
        return
    volume = f"{settings.compose_project_name}_postgres-data"
    kept = sorted(path.name for path in top.glob("data-before-restore-*"))
    if kept:
        image = f"{settings.compose_project_name}/pipeline:0.1.0"
        raise PipelineError(
            "PostgreSQL's data directory is gone, and what it was before a restore is there",
            detail=f"in the volume {volume} there is {kept[-1]} and no data; nothing was started",
            hint=f"{gone.REMEDY} restores it. To use what is there instead: docker run --rm --user 0 "
            f"--volume {volume}:/volume {image} mv /volume/{kept[-1]} /volume/data",
        )
    if gone.has_backups(settings):
        raise PipelineError(
            "the database is gone, and its backups are there; no new one is made in its place",
            detail=f"the volume {volume} holds no database; BACKUP_DIR holds the backups of one",
            hint=f"{gone.REMEDY} brings it back. To begin anew without anybody, move what is in BACKUP_DIR elsewhere.",
        )
