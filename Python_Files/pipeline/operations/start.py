"""Project_Start.sh: everything up, really ready, and the first people in both stores."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from pipeline import broker, room, status, topics
from pipeline.backup import gone, restoration, unfinished
from pipeline.errors import PipelineError
from pipeline.feed import sources
from pipeline.operations import applied, first_people, kafka_server, parts, places, readiness, servers, supervision
from pipeline.operations.parts import Part
from pipeline.operations.supervision import Supervisor
from pipeline.operations.telling import tell, warn
from pipeline.settings import ROOT, Settings, env_file

_STAGE_SECONDS = 90
_API_SECONDS = 60
_SETTLED_SECONDS = 30


def start(settings: Settings, *, offline: bool = False, only: Collection[str] = parts.NAMES) -> None:
    """Start what does not run, wait until all of it is ready, fetch the first people, and say where to look.

    When a part does not get ready, what this start has started is ended again. Raises PipelineError.
    """
    places.make(settings)
    begin = time.monotonic()
    with servers.alone(settings):
        left = unfinished.cut_off(settings)
        restoration.settle(settings, left)
        gone.refuse(settings)
        _refuse_without_kafka(settings)
        every = [part for part in parts.all_parts(settings, places.installed()) if part.name in only]
        ran = supervision.daemon(settings) is not None
        if ran and not _missing(settings, Supervisor(settings), every):
            unfinished.settle(settings, left)
            tell("Pipeline", "runs already; nothing was changed")
            if offline != sources.offline_file(settings).exists():
                warn("randomuser.me or the stand-in: that is chosen at a start; call ./Project_Stop.sh first")
            where_to_look(settings)
            return
        _choose_feed(settings, offline)
        try:
            supervisor = Supervisor(settings) if ran else servers.start_supervisor(settings, only)
            servers.bring_up(settings, supervisor, only, anew=not applied.is_current(settings))
            if parts.POSTGRESQL in only:
                unfinished.settle(settings, left)
            _stages_up(settings, supervisor, every)
        except BaseException:
            if not ran and supervision.daemon(settings) is not None:
                tell("Pipeline", "does not start; what was started is ended again")
                servers.bring_down(settings)
            raise
        if set(only) == set(parts.NAMES):
            first_people.fetch(
                settings,
                supervision.environment(settings),
                when_late=lambda: _refuse_what_died(settings, supervisor),
            )
        _stays_up(settings, supervisor, every)
    tell("Pipeline", "runs", time.monotonic() - begin)
    where_to_look(settings)


def _refuse_without_kafka(settings: Settings) -> None:
    """Kafka cannot be given new storage by a supervisor that goes on starting it without any."""
    if supervision.daemon(settings) is not None and not kafka_server.is_formatted(settings):
        raise PipelineError(
            "Kafka's data is gone",
            detail=f"there is no meta.properties below {kafka_server.directory(settings)}",
            hint="./Project_Stop.sh, then ./Project_Start.sh makes its topics anew; Administrator_scripts/Ledger.sh "
            "names whom it had alone.",
        )


def _missing(settings: Settings, supervisor: Supervisor, every: Sequence[Part]) -> list[str]:
    """The processes that are to run and neither run nor have just been started."""
    running = {process.name for process in supervisor.processes() if process.state in ("RUNNING", "STARTING")}
    return [name for part in every for name in parts.wanted(settings, part) if name not in running]


def _choose_feed(settings: Settings, offline: bool) -> None:
    short = room.warning(settings)
    if short:
        warn(short)
    switch = sources.offline_file(settings)
    if offline:
        switch.touch(mode=0o600)
        warn("--offline: the bundled stand-in of the API serves, until a start without --offline")
    elif switch.exists():
        switch.unlink()
        tell("Feed", "randomuser.me again: this start is without --offline")


def _stages_up(settings: Settings, supervisor: Supervisor, every: Sequence[Part]) -> None:
    """Start the stages together and wait until each has its partitions; then the read API and the scheduler."""
    stages = [part for part in every if part.name in topics.STAGES]
    for part in stages:
        for process in parts.wanted(settings, part):
            supervisor.start(part.name, process)
    for part in stages:
        wanted = parts.wanted(settings, part)
        if wanted:
            readiness.wait(
                settings,
                part.name,
                lambda part=part, wanted=wanted: has_partitions(settings, supervisor, part.name, wanted),  # type: ignore[misc]
                _STAGE_SECONDS,
                told="has its partitions",
                processes=wanted,
            )
        else:
            tell(part.name, "is scaled to 0 processes and does not run")
    for part in every:
        if part.name == parts.API:
            supervisor.start(part.name, part.name)
            readiness.wait(settings, part.name, lambda: status.ask_api(settings), _API_SECONDS, told="answers")
        if part.name == parts.SCHEDULER:
            supervisor.start(part.name, part.name)
            readiness.wait(settings, part.name, lambda: is_running(supervisor, (parts.SCHEDULER,)), 30, told="runs")


def _stays_up(settings: Settings, supervisor: Supervisor, every: Sequence[Part]) -> None:
    """Wait for what has not run for long enough to be taken for running, for Status.sh says the same from then on."""
    for part in every:
        wanted = parts.wanted(settings, part)
        if not is_running(supervisor, wanted, long_enough=True):
            readiness.wait(
                settings,
                part.name,
                lambda wanted=wanted: is_running(supervisor, wanted, long_enough=True),  # type: ignore[misc]
                _SETTLED_SECONDS,
                told="stays up",
                processes=wanted,
            )


def is_running(supervisor: Supervisor, processes: Collection[str], *, long_enough: bool = False) -> bool:
    """Whether the supervisor takes all of them for running; unless ``long_enough``, also those just started."""
    states = {process.name: process.state for process in supervisor.processes()}
    fine = ("RUNNING",) if long_enough else ("RUNNING", "STARTING")
    return all(states.get(name) in fine for name in processes)


def has_partitions(settings: Settings, supervisor: Supervisor, stage: str, processes: Collection[str]) -> bool:
    """Whether all processes of the stage live and its group has dealt its partitions out."""
    return is_running(supervisor, processes) and broker.group_ready(settings, stage)


def _refuse_what_died(settings: Settings, supervisor: Supervisor) -> None:
    """Raise PipelineError when a part that was started is not running any more."""
    missing = _missing(settings, supervisor, parts.all_parts(settings, places.installed()))
    if missing:
        raise PipelineError(f"{', '.join(missing)} does not run any more", hint="See Logs.sh.")


def where_to_look(settings: Settings) -> None:
    """What a person opens next."""
    addresses = status.urls(settings)
    print(
        f"""
  People      {addresses["nocodb"]}
  Login       {settings.nocodb_admin_email}, password: NOCODB_ADMIN_PASSWORD in {env_file()}
  Page        {addresses["page"]}
  API         {addresses["api"]}
  PostgreSQL  {settings.postgres_host}:{settings.postgres_port}, database pipeline, role pipeline_reader
  Status      Administrator_scripts/Status.sh, logs: Administrator_scripts/Logs.sh, end: ./Project_Stop.sh
  At boot     a systemd unit is in the README ("Start at boot"); its ExecStart is {ROOT / "Project_Start.sh"}""",
        flush=True,
    )
