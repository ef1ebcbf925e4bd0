"""Scale.sh: how many processes a stage has, now and at every later start."""

from __future__ import annotations

from pipeline.operations import parts, places, readiness, servers, start, supervision
from pipeline.operations.supervision import Supervisor
from pipeline.operations.telling import tell
from pipeline.settings import Settings

_SECONDS = 60


def scale(settings: Settings, stage: str, number: int) -> None:
    """Record the number; if the pipeline runs, start or end processes until it is so. Raises UsageError, PipelineError.

    The processes that stay are not stopped: they merely share the partitions anew.
    """
    places.make(settings)
    with servers.alone(settings):
        parts.set_scale(settings, stage, number)
        if supervision.daemon(settings) is None:
            tell(stage, f"will have {number} processes at the next start")
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
            told=f"has {number} process{'' if number == 1 else 'es'}",
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
