"""How every program of the pipeline begins and ends: settings, log lines, errors as people read them, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from pipeline import log, settings
from pipeline.errors import PipelineError
from pipeline.settings import Settings


def become_owner(loaded: Settings) -> None:
    """Called by root, go on as the owner of the data, so that no file of root's ever stands in the owner's way."""
    if os.geteuid() != 0 or not loaded.data.exists():
        return
    owner = loaded.data.stat()
    if owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def main(name: str, work: Callable[[Settings], int | None]) -> int:
    """Run ``work`` with the settings; its exit code, or the one of the PipelineError that it raised (1 or 2).

    An error that nobody expected is not caught: it ends the process with its traceback.
    """
    try:
        loaded = settings.load()
        become_owner(loaded)
        log.start(name, level=loaded.log_level)
        return work(loaded) or 0
    except PipelineError as error:
        print(error.report(), file=sys.stderr)
        return error.exit_code
