"""How every program of the pipeline begins and ends: settings, log lines, errors as people read them, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from pipeline import log, room, settings
from pipeline.errors import PassingFault, PipelineError
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


def _make_room(loaded: Settings) -> str:
    with suppress(OSError):
        if short := room.shortage(loaded):
            return f"Free some room: {short}."
    return ""


def main(
    name: str,
    work: Callable[[Settings], int | None],
    *,
    level: str = "",
    as_owner: bool = True,
    hint: str = "",
    unwritable: str = "",
) -> int:
    """Run ``work`` with the settings; its exit code, or the one of the PipelineError that it raised (1 or 2).

    ``level`` is that of the log lines, if not LOG_LEVEL; ``as_owner``: called by root, become the owner of the data.
    ``hint`` is told with a PassingFault that has none of its own; on a full disk it is that, for a server that cannot
    write does not always say why. An OSError is expected only where ``unwritable`` has
    words for it. An error that nobody expected is not caught: it ends the process with its traceback.
    """
    try:
        loaded = settings.load()
        if as_owner:
            become_owner(loaded)
        log.start(name, level=level or loaded.log_level)
        return work(loaded) or 0
    except PipelineError as error:
        if isinstance(error, PassingFault):
            error.hint = error.hint or _make_room(settings.load()) or hint
        print(error.report(), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if not unwritable:
            raise
        print(PipelineError(unwritable, detail=str(error)).report(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: it was interrupted", file=sys.stderr)
        return 130
