"""What is asked before something is done that nobody can undo."""

from __future__ import annotations

import sys

from pipeline.errors import PipelineError, UsageError


def confirm(yes: bool, hint: str = "Give --yes if that is meant.") -> None:
    """Return when ``yes`` was given or the person at the terminal types it.

    Raises UsageError with ``hint`` when nobody is there to ask, and PipelineError when the answer is another.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask", hint=hint)
    try:
        answer = input("Type yes to go on: ")
    except EOFError:
        answer = ""
    if answer.strip().lower() != "yes":
        raise PipelineError("nothing was changed: the answer was not yes")
