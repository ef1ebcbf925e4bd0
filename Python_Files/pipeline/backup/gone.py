"""A database that is gone while its backups are there: an empty one in its place would hide them."""

from __future__ import annotations

import os

from pipeline.backup import configuration
from pipeline.errors import PipelineError
from pipeline.settings import Settings

REMEDY = "Database/Restore.sh --latest"


def database_is_gone(settings: Settings) -> bool:
    """Whether there is no cluster, and a repository holds a base backup of one. Of the native way."""
    if settings.pipeline_mode == "docker":
        return False  # the data is in a volume, which cannot be seen from here
    data, _ = configuration.cluster(settings)
    return not (data / "PG_VERSION").exists() and has_backups(settings)


def has_backups(settings: Settings) -> bool:
    """Whether a repository holds a base backup."""
    return any(_has_backups(view) for view in configuration.views(settings))


def _has_backups(settings: Settings) -> bool:
    backups = configuration.repository(settings) / "backup" / configuration.STANZA
    try:
        return any(entry.name.endswith("F") for entry in os.scandir(backups))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # what cannot be read may be all there is


def told(settings: Settings) -> str:
    """One line about it."""
    return f"the database is gone, its backups in {settings.backup} are not: {REMEDY} brings it back"


def refuse(settings: Settings) -> None:
    """Raises PipelineError when the database is gone."""
    if database_is_gone(settings):
        data, _ = configuration.cluster(settings)
        raise PipelineError(
            "the database is gone, and its backups are there; no new one is made in its place",
            detail=f"{data} holds no database; {settings.backup} holds the backups of one",
            hint=f"{REMEDY} brings it back. To begin anew without anybody, move what is in BACKUP_DIR elsewhere first.",
        )
