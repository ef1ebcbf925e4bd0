"""Where things are: the data directory's rooms, and the programs that are installed."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline import backup
from pipeline.errors import PipelineError
from pipeline.settings import ROOT, Settings

MARKER = ".randomuser-pipeline"
_MARKER_TEXT = "The data of a Randomuser pipeline. Administrator_scripts/Reset.sh empties this directory.\n"

# A socket's path may have 107 bytes, and PostgreSQL and supervisord add names of their own to the directory's.
_LONGEST = 80


@dataclass(frozen=True)
class Installed:
    """The programs that the native way runs."""

    java: Path
    kafka: Path
    nocodb: Path
    postgresql: Path


@cache
def installed() -> Installed:
    """Ask the scripts, which install them, where the programs are. Raises PipelineError when one is missing."""
    question = (
        '. Administrator_scripts/lib.sh; printf "%s\\n" "$(find_java)" "$(kafka_directory "$PIPELINE_CACHE_DIR")" '
        '"$(nocodb_directory "$PIPELINE_CACHE_DIR")" "$(find_postgresql)"'
    )
    answer = subprocess.run(["bash", "-c", question], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = answer.stdout.splitlines()
    if len(lines) != 4:
        raise PipelineError("the installed programs cannot be found", detail=answer.stderr.strip()[-300:])
    found = Installed(*(Path(line) for line in lines))
    for name, path in (("Java", found.java), ("Kafka", found.kafka / "libs"), ("PostgreSQL", found.postgresql)):
        if not path.is_absolute() or not path.exists():
            raise PipelineError(
                f"{name} is not installed",
                detail=f"looked for {path}" if path.is_absolute() else "",
                hint="Run ./Project_Initialize.sh.",
            )
    return found


def make(settings: Settings, owner: tuple[int, int] | None = None) -> None:
    """Make the data directory and its rooms, all closed to other users; safe to repeat.

    ``owner`` is given by root, who makes them for another user. Raises PipelineError for a directory that holds
    something else, that belongs to somebody else, or whose path is too long for a socket.
    """
    data = settings.data
    if len(os.fsencode(settings.run)) > _LONGEST:
        raise PipelineError(
            "the path of the data directory is too long for the sockets in it",
            detail=f"{settings.run} has {len(os.fsencode(settings.run))} bytes, at most {_LONGEST} are possible",
            hint="Set DATA_DIR to a shorter path, or move the project to one.",
        )
    try:
        # The container way may have put its backups there; whose they are is looked at below.
        if (
            data.is_dir()
            and not (data / MARKER).exists()
            and set(data.iterdir()) - {settings.backup, settings.backup_2}
        ):
            raise PipelineError(
                "the data directory holds something that is not of this project",
                detail=f"DATA_DIR is {data}",
                hint="Set DATA_DIR to an empty or a new directory.",
            )
        for directory in (data, settings.logs, settings.run):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
        if not (data / MARKER).exists():
            (data / MARKER).write_text(_MARKER_TEXT, encoding="utf-8")
        if owner is not None:
            _give(data, owner)
            if not settings.backup.exists():
                # Elsewhere, perhaps, where that user may make nothing.
                settings.backup.mkdir(mode=0o700, parents=True)
                os.chown(settings.backup, *owner)
        backup.make_places(settings, owner)
    except PermissionError as error:
        raise PipelineError(
            "the data directory cannot be written",
            detail=str(error),
            hint="It belongs to another user: start the pipeline as that user, or as root.",
        ) from None


def _give(data: Path, owner: tuple[int, int]) -> None:
    """All of the data to its user; the walk is needed only when the pipeline ran as another user before."""
    if data.stat().st_uid == owner[0] and (data / "run").stat().st_uid == owner[0]:
        return
    os.chown(data, *owner)
    for folder, directories, names in os.walk(data):
        for name in directories + names:
            os.chown(Path(folder) / name, *owner, follow_symlinks=False)
