"""The second half of Project_Initialize.sh: the data. What comes before it is installed by the shell scripts."""

from __future__ import annotations

from pipeline.backup import gone, restoration, unfinished
from pipeline.operations import applied, kafka_server, places, postgresql_server, servers, supervision
from pipeline.operations.supervision import Supervisor
from pipeline.operations.telling import tell
from pipeline.settings import Settings


def initialize(settings: Settings) -> None:
    """Make the data what this version of the project needs; what is there stays.

    Runs the servers for as long as that takes, unless they run already. Raises PipelineError.
    """
    places.make(settings)
    with servers.alone(settings):
        # Before a missing data directory is taken for one that was never made.
        restoration.settle(settings, unfinished.cut_off(settings))
        made = postgresql_server.is_made(settings) and kafka_server.is_formatted(settings)
        if made and applied.is_current(settings):
            tell("Data", "everything is up to date")
            return
        if gone.database_is_gone(settings):
            tell("Data", gone.told(settings))
            return
        if supervision.daemon(settings) is not None:
            servers.bring_up(settings, Supervisor(settings))
            tell("Data", "up to date; stop and start it once, so that the new version runs")
            return
        supervisor = servers.start_supervisor(settings)
        try:
            servers.bring_up(settings, supervisor)
        finally:
            servers.bring_down(settings)
        tell("Data", "up to date; ./Project_Start.sh starts the pipeline")
