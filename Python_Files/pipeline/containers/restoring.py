"""Database/Restore.sh in containers, where none may stop another: steps, between which the script does that.

``go_on``, when all is planned, checked, told and agreed to: fetches the files beside the data directory, while
everything still runs. The script stops what uses PostgreSQL. ``finish``, with no server: replay and proof where the
files are, and only then the swap. The script starts what it stopped. ``complete``: both stores have everybody again.

The pipeline's database alone goes in one step, ``only_pipeline``, in which the script is asked to stop and start the
sinks. Planning, checks, losses, proof and exchange are those of the native way.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from pathlib import Path

import msgspec

from pipeline.backup import beside, configuration, repository, restore_command, scratch
from pipeline.backup.exchange import Sinks
from pipeline.backup.plan import Plan
from pipeline.backup.repository import BaseBackup
from pipeline.backup.target import Target
from pipeline.containers.volumes import RESTORING
from pipeline.errors import PipelineError
from pipeline.operations.telling import tell
from pipeline.settings import Settings

# The exit codes after which the script takes the next step.
FETCHED = 3
ONLY_PIPELINE = 4

STOP, START = "@stop the sinks", "@start the sinks"
"""Lines for the script, which answers each with a line: "ok", or what went wrong."""


class _Planned(msgspec.Struct):
    """What is to be done, and which run of the script it is for. ``repository`` is the one that the plan is for."""

    key: str
    target: Target
    base: BaseBackup
    archive_id: str
    segments: list[str]
    repository: str


def _note(settings: Settings) -> Path:
    return settings.run / "restore.plan"


def _moment(settings: Settings) -> Path:
    """Which moment was restored, for the step that puts the files back."""
    return settings.run / "restore.moment"


def go_on(settings: Settings, planned: Plan, *, only: bool) -> int:
    """Note what is to be done, and fetch the files of a whole restore; the exit code for the script.

    Raises PipelineError; nothing is left of the files then.
    """
    _note(settings).unlink(missing_ok=True)
    if not only:
        planned = beside.fetch(settings, planned)
    target, base, archive_id, segments, source, _ = planned
    key, place = os.environ.get(RESTORING, ""), str(configuration.repository(source))
    noted = _Planned(key, target, base, archive_id, segments, place)
    configuration.write_private(_note(settings), msgspec.json.encode(noted))
    return ONLY_PIPELINE if only else FETCHED


def _noted(settings: Settings) -> Plan:
    path = _note(settings)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Planned)
    except (OSError, msgspec.DecodeError) as error:
        raise PipelineError("nothing is planned that could be restored", detail=str(error)) from None
    if found.key != os.environ.get(RESTORING, ""):
        raise PipelineError("another restore has begun meanwhile", hint="Try again when it has ended.")
    path.unlink()
    views = configuration.views(settings)
    source = next((view for view in views if str(configuration.repository(view)) == found.repository), settings)
    return Plan(found.target, found.base, found.archive_id, found.segments, source)


def finish(settings: Settings) -> None:
    """Replay what was fetched, prove it, and put it in the place of the data directory.

    Raises PipelineError: the old data directory is in its place, untouched, and nothing is left of the new one.
    """
    repository.refuse_root()
    with restore_command.alone(settings), restore_command.without_backups(settings), scratch.signals_raise():
        planned = _noted(settings)
        old = beside.finish(settings, planned)
        configuration.write_private(_moment(settings), msgspec.json.encode(planned.target.moment))
    if old:
        volume = f"{settings.compose_project_name}_postgres-data"
        image = f"{settings.compose_project_name}/pipeline:0.1.0"
        tell("Old data", f"is {old.name} in the volume {volume}")
        remove = f"docker run --rm --user 0 --volume {volume}:/volume {image} rm -r /volume/{old.name}"
        tell("", f"when you do not need it any more: {remove}")


def put_back_files(settings: Settings) -> None:
    """NocoDB's files of the moment that was restored. What cannot be put back is told and raises nothing."""
    path = _moment(settings)
    moment = msgspec.json.decode(path.read_bytes(), type=datetime | None) if path.exists() else None
    restore_command.put_back_files(settings, moment)


def complete(settings: Settings, seconds: float) -> int:
    """The end of it, ``seconds`` after its beginning. The ledger's exit code. Raises PipelineError."""
    return restore_command.complete(settings, time.monotonic() - seconds)


def only_pipeline(settings: Settings) -> int:
    """The pipeline's database alone. The ledger's exit code. Raises PipelineError."""
    repository.refuse_root()
    with restore_command.alone(settings), restore_command.without_backups(settings), scratch.signals_raise():
        sinks = Sinks(lambda: _asked_for(STOP), lambda: _asked_for(START))
        return restore_command.restore_pipeline(settings, _noted(settings), sinks)


def _asked_for(what: str) -> None:
    """Raises PipelineError when the script cannot do it, or is not there any more."""
    print(what, flush=True)
    answer = sys.stdin.readline().strip()
    if answer != "ok":
        raise PipelineError(
            "the sinks do not do what they should",
            detail=answer or f"nobody answered to '{what[1:]}'",
            hint="./Project_Start.sh starts what does not run.",
        )
