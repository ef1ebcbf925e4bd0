"""Scale.sh: how many processes a stage has, now and at every later start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pipeline import settings as all_settings
from pipeline import topics
from pipeline.errors import UsageError
from pipeline.operations import env_file, parts, places, readiness, servers, start, supervision
from pipeline.operations.supervision import Supervisor
from pipeline.operations.telling import tell
from pipeline.settings import Settings

_SECONDS = 60


def record(path: Path, stage: str, number: int, environ: Mapping[str, str] = os.environ) -> None:
    """Write the number into the settings file at ``path``, for the caller may be the one who may write there.

    Raises UsageError for what cannot be, SettingsError when it cannot be written or would have no effect.
    """
    if stage not in topics.STAGES:
        raise UsageError(f"there is no stage {stage!r}", hint=f"The stages: {', '.join(topics.STAGES)}.")
    most = all_settings.parse({**all_settings.read_file(path), **environ}).kafka_partitions
    if not 0 <= number <= most:
        raise UsageError(
            f"a stage cannot have {number} processes",
            detail=f"allowed: 0 to {most}, the number of partitions (KAFKA_PARTITIONS)",
        )
    env_file.change(path, {parts.processes_setting(stage): str(number)}, environ)


def apply(settings: Settings, stage: str) -> None:
    """If the pipeline runs, start or end processes until it is as the settings say. Raises PipelineError.

    The processes that stay are not stopped: they merely share the partitions anew.
    """
    number = parts.scale(settings)[stage]
    counted = f"{number} process{'' if number == 1 else 'es'}"
    places.make(settings)
    with servers.alone(settings):
        if supervision.daemon(settings) is None:
            tell(stage, f"will have {counted} at the next start")
            return
        supervisor = Supervisor(settings)
        part = next(one for one in parts.all_parts(settings, places.installed()) if one.name == stage)
        wanted = parts.wanted(settings, part)
        surplus = [one for one in part.processes() if one not in wanted]
        for process in surplus:
            supervisor.stop(stage, process)
        for process in wanted:
            supervisor.start(stage, process)
        readiness.wait(
            settings,
            stage,
            lambda: _is_so(settings, supervisor, stage, wanted, surplus),
            _SECONDS,
            told=f"has {counted}",
            processes=wanted,
        )


def _is_so(settings: Settings, supervisor: Supervisor, stage: str, wanted: tuple[str, ...], surplus: list[str]) -> bool:
    processes = supervisor.processes()
    if any(process.pid for process in processes if process.name in surplus):
        return False
    # A process that has just been started has not asked for its partitions yet; a RUNNING one has lived five seconds.
    if any(process.state != "RUNNING" for process in processes if process.name in wanted):
        return False
    return not wanted or start.has_partitions(settings, supervisor, stage, wanted)
