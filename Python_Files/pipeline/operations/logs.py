"""Logs.sh: the end of the log files, of all parts or of one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from pipeline.errors import PipelineError, UsageError
from pipeline.settings import Settings


def of_part(settings: Settings, name: str | None) -> list[Path]:
    """The log files of a part, or of all. Raises UsageError for a name that has none."""
    every = sorted(settings.logs.glob("*.log")) if settings.logs.is_dir() else []
    if not every:
        raise PipelineError("there are no logs yet", detail=f"looked in {settings.logs}", hint="Start it first.")
    if name is None:
        return every
    # All processes of a stage: 2-Add_Label is 2-Add_Label-1.log, 2-Add_Label-2.log, ...
    found = [path for path in every if path.stem == name or path.stem.rpartition("-")[0] == name]
    if not found:
        raise UsageError(f"there is no log of {name!r}", hint=f"There are: {', '.join(p.stem for p in every)}.")
    return found


def show(settings: Settings, name: str | None, *, follow: bool, lines: int) -> NoReturn:
    """Become tail, which shows them."""
    # -F goes on with the new file when one is rotated.
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), "--"]
    os.execvp(command[0], [*command, *(str(path) for path in of_part(settings, name))])  # noqa: S606 - no shell wanted
