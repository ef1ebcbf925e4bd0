"""The sinks alone, stopped and started while everything else goes on."""

from __future__ import annotations

from pipeline import topics
from pipeline.backup.exchange import Sinks
from pipeline.errors import PipelineError
from pipeline.operations import parts, places, readiness, servers, start, supervision
from pipeline.operations.supervision import Supervisor
from pipeline.settings import Settings

STAGES = (topics.TO_POSTGRESQL, topics.TO_NOCODB)
_SECONDS = 90


def native(settings: Settings) -> Sinks:
    """Those processes of the sinks that run when they are stopped are started again; none when nothing runs."""
    ran: dict[str, list[str]] = {}

    def stop() -> None:
        if supervision.daemon(settings) is None:
            return
        with servers.alone(settings):
            supervisor = Supervisor(settings)
            for process in supervisor.processes():
                if process.part in STAGES and process.state in ("RUNNING", "STARTING", "BACKOFF"):
                    ran.setdefault(process.part, []).append(process.name)
            seconds = next(seconds for names, seconds in parts.ENDING if STAGES[0] in names)
            servers.end_parts(supervisor, STAGES, seconds)

    def begin() -> None:
        if not ran:
            return
        places.installed()
        with servers.alone(settings):
            supervisor = Supervisor(settings)
            for part, processes in ran.items():
                for process in processes:
                    supervisor.start(part, process)
            try:
                for part, processes in ran.items():
                    readiness.wait(
                        settings,
                        part,
                        lambda part=part, processes=processes: start.has_partitions(  # type: ignore[misc]
                            settings, supervisor, part, processes
                        ),
                        _SECONDS,
                        told="has its partitions again",
                        processes=tuple(processes),
                    )
            except PipelineError as error:
                error.hint = error.hint or "./Project_Start.sh starts what does not run."
                raise

    return Sinks(stop, begin)
