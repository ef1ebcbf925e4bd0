"""Whether the volumes belong to the users that the services run as; asked before any of them starts."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.settings import Settings

MOUNTED = Path("/volumes")


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
