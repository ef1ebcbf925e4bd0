"""The native side of a move: everything but the feed, PostgreSQL alone, and a new cluster to copy into."""

from __future__ import annotations

import subprocess

from pipeline.errors import PipelineError
from pipeline.feed import sources
from pipeline.operations import parts, places, ports, postgresql_server, servers, start, supervision
from pipeline.operations.supervision import Supervisor
from pipeline.operations.telling import step, tell
from pipeline.settings import Settings

_START_SECONDS = 60


def check(settings: Settings) -> None:
    """What a start of the servers here would stumble over. Raises PipelineError."""
    places.installed()
    # NocoDB's port is the same in both ways, and taken by the side that runs.
    ports.check(settings, [parts.POSTGRESQL, parts.KAFKA])


def run_without_feed(settings: Settings) -> None:
    """Everything runs but the schedule, so that what is on the way arrives. Raises PipelineError."""
    if supervision.daemon(settings) is None:
        everything = [name for name in parts.NAMES if name != parts.SCHEDULER]
        start.start(settings, offline=sources.offline_file(settings).exists(), only=everything)
    else:
        with servers.alone(settings):
            servers.end_parts(Supervisor(settings), (parts.SCHEDULER,), 13)


def end_all_but_postgresql(settings: Settings) -> None:
    """PostgreSQL runs on, and nobody writes."""
    with servers.alone(settings):
        for names, seconds in parts.ENDING:
            if parts.POSTGRESQL not in names:
                servers.end_parts(Supervisor(settings), names, seconds)


def prepare(settings: Settings) -> None:
    """Make a cluster and run it, to be copied into. Its WAL goes nowhere yet. Raises PipelineError."""
    programs = places.installed()
    with step(parts.POSTGRESQL, "cluster made and started"):
        postgresql_server.make(settings, programs)
        postgresql_server.configure(settings)
        _control(settings, "start", "-w", "-t", str(_START_SECONDS), "-o", "-c archive_mode=off")


def end(settings: Settings) -> None:
    """End the server of ``prepare``; no harm when it does not run. Raises PipelineError when it stays."""
    if (postgresql_server.directory(settings) / "postmaster.pid").exists():
        _control(settings, "stop", "-w", "-m", "fast")
        tell(parts.POSTGRESQL, "the new cluster's server ended")


def _control(settings: Settings, verb: str, *arguments: str) -> None:
    program = postgresql_server.programs_for(settings, places.installed()) / "pg_ctl"
    log = settings.logs / "postgresql.log"
    done = subprocess.run(
        [str(program), verb, "-D", str(postgresql_server.directory(settings)), "-s", "-l", str(log), *arguments],
        # Marked as this instance's, so that a later start finds and ends what a killed move has left.
        env=supervision.environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the server inherits it, and a pipe would never end
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise PipelineError(f"PostgreSQL's new cluster does not {verb}", hint=f"Its log file is {log}.")
