"""Room on the disk of the data: warned of while there still is some."""

from __future__ import annotations

import logging
import shutil

from pipeline.log import event
from pipeline.settings import Settings

logger = logging.getLogger(__name__)


def warning(settings: Settings) -> str | None:
    """What to say when less than DISK_WARN_MB is left on the disk of the data, or None."""
    try:
        return shortage(settings)
    except OSError as error:
        return f"{settings.data} cannot be looked at: {error}"


def shortage(settings: Settings) -> str | None:
    """The same; raises OSError when there is no such place."""
    free_mb = shutil.disk_usage(settings.data).free // 2**20
    if free_mb >= settings.disk_warn_mb:
        return None
    return f"the disk of {settings.data} has only {free_mb} MiB left (DISK_WARN_MB={settings.disk_warn_mb})"


class Watch:
    """Says in the log when the room gets short and when it is enough again, once each."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._short = False

    def look(self) -> None:
        told = warning(self._settings)
        if told and not self._short:
            event(logger, logging.WARNING, told)
        elif self._short and not told:
            event(logger, logging.INFO, "there is room on the disk again")
        self._short = bool(told)
