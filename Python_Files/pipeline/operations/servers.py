"""Bringing the servers up and down: what Project_Initialize.sh and Project_Start.sh share."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from functools import partial

from pipeline import backup, broker, nocodb
from pipeline.database.connection import ready as postgresql_ready
from pipeline.database.migrations import migrate
from pipeline.errors import PassingFault, PipelineError
from pipeline.operations import (
    applied,
    kafka_server,
    leftovers,
    lock,
    nocodb_server,
    parts,
    places,
    ports,
    postgresql_server,
    readiness,
    supervision,
)
from pipeline.operations.lock import Busy
from pipeline.operations.parts import KAFKA, NOCODB, POSTGRESQL
from pipeline.operations.supervision import Supervisor
from pipeline.operations.telling import step, tell, warn
from pipeline.settings import Settings

# How long each server may take. After a crash PostgreSQL and Kafka first read what was written last.
SECONDS = {POSTGRESQL: 300, KAFKA: 180, NOCODB: 240}


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold the instance's lock, so that two starts or stops never work at once; waits for the other one to end."""
    what = "another start, stop or initialization"
    waits = partial(tell, "Wait", f"for {what} to end")
    with lock.held(settings.run / "operation.lock", Busy(f"{what} is running"), seconds=None, waits=waits):
        yield


def prepare(settings: Settings) -> None:
    """Make and configure what the servers need before they run: directories, PostgreSQL's cluster, Kafka's storage."""
    programs = places.installed()
    if not postgresql_server.is_made(settings):
        with step(POSTGRESQL, "cluster made"):
            postgresql_server.make(settings, programs)
    postgresql_server.configure(settings)
    kafka_server.configure(settings)
    if not kafka_server.is_formatted(settings):
        with step(KAFKA, "storage formatted"):
            kafka_server.format_storage(settings, programs)
        applied.forget(settings)  # its topics, when it was lost
    nocodb_server.directory(settings).mkdir(mode=0o700, exist_ok=True)
    supervision.configure(settings, parts.all_parts(settings, programs))


def start_supervisor(settings: Settings, only: Collection[str] = parts.NAMES) -> Supervisor:
    """Start the supervisor with no part running yet. Ends first what a supervisor that died has left over.

    Raises PipelineError when a port is not free: nothing has been started then.
    """
    left = leftovers.living(settings)
    if left:
        warn(f"{len(left)} processes were left over by a supervisor that died; they are ended first")
        leftovers.end(settings, tell=lambda what: tell("Leftover", what))
    ports.check(settings, [name for name in parts.PORTS if name in only])
    prepare(settings)
    supervision.start_daemon(settings)
    return Supervisor(settings)


def bring_up(
    settings: Settings, supervisor: Supervisor, only: Collection[str] = parts.NAMES, *, anew: bool = True
) -> None:
    """Start the servers and wait until each really works; ``anew`` applies tables, topics and the base on the way.

    PostgreSQL and Kafka come up side by side, NocoDB after PostgreSQL. Raises PipelineError for the first that fails.
    """
    given_up = threading.Event()
    chains: list[Callable[[], None]] = []
    if POSTGRESQL in only:
        chains.append(lambda: _postgresql_and_nocodb(settings, supervisor, only, anew, given_up))
    if KAFKA in only:
        chains.append(lambda: _kafka(settings, supervisor, anew, given_up))
    with ThreadPoolExecutor(max_workers=2) as together:
        try:
            for ended in as_completed([together.submit(chain) for chain in chains]):
                ended.result()
        except BaseException:
            given_up.set()  # the other one waits for nothing any more
            raise
    if anew and set(parts.SERVERS) <= set(only):
        applied.record(settings)


def _postgresql_and_nocodb(
    settings: Settings, supervisor: Supervisor, only: Collection[str], anew: bool, given_up: threading.Event
) -> None:
    supervisor.start(POSTGRESQL, POSTGRESQL)
    readiness.wait(
        settings,
        POSTGRESQL,
        lambda: postgresql_answers(settings),
        SECONDS[POSTGRESQL],
        told="answers",
        given_up=given_up,
    )
    if anew:
        with step(POSTGRESQL, "tables and roles are up to date") as told:
            scripts = migrate(settings)
            if scripts:
                told(f"applied {', '.join(scripts)}")
    if NOCODB in only:
        supervisor.start(NOCODB, NOCODB)
    with step(POSTGRESQL, "WAL goes to the repository of the backups"):
        faults = backup.prepare(settings)[1]
    for fault in faults:
        warn(f"{fault.message}: {fault.detail}")
    if NOCODB not in only:
        return
    readiness.wait(settings, NOCODB, lambda: nocodb.ready(settings), SECONDS[NOCODB], told="answers", given_up=given_up)
    if anew:
        with step(NOCODB, "base, table and views are up to date") as told:
            made = nocodb.bootstrap(settings)
            if made:
                told(f"made {', '.join(made)}")


def postgresql_answers(settings: Settings) -> None:
    """Raises PassingFault unless PostgreSQL answers a query."""
    try:
        postgresql_ready(settings)
    except PassingFault as fault:
        # The password in .env was changed by hand, or the data came from elsewhere: .env is the truth.
        if "password authentication failed" in fault.detail:
            programs = postgresql_server.programs_for(settings, places.installed())
            postgresql_server.set_password(settings, programs / "psql")
        raise


def _kafka(settings: Settings, supervisor: Supervisor, anew: bool, given_up: threading.Event) -> None:
    supervisor.start(KAFKA, KAFKA)
    readiness.wait(
        settings, KAFKA, lambda: _kafka_answers(settings), SECONDS[KAFKA], told="serves metadata", given_up=given_up
    )
    if anew:
        with step(KAFKA, "topics are there") as told:
            names = broker.create_topics(settings)
            if names:
                told(f"created {len(names)} topic{'' if len(names) == 1 else 's'}: {', '.join(names)}")


def _kafka_answers(settings: Settings) -> None:
    # The client waits longer and longer between its attempts to connect; asking the port costs nothing.
    try:
        socket.create_connection((settings.kafka_host, settings.kafka_port), timeout=2).close()
    except OSError as error:
        raise PassingFault("Kafka does not listen yet", detail=f"Kafka's port: {error.strerror}") from None
    broker.ready(settings)


def bring_down(settings: Settings) -> None:
    """End everything in order, within 30 seconds, and see that nothing is left; no harm when nothing runs."""
    daemon = supervision.daemon(settings)
    if daemon is not None:
        with suppress(PipelineError):
            supervisor = Supervisor(settings)
            for names, seconds in parts.ENDING:
                end_parts(supervisor, names, seconds)
            supervisor.shut_down()
        with suppress(Exception):
            daemon.wait(5)
    left = leftovers.living(settings)
    if left:
        leftovers.end(settings, seconds=5, tell=lambda what: tell("Leftover", what))
        left = leftovers.living(settings)
    if left:
        raise PipelineError(
            "processes do not end",
            detail=", ".join(f"{process.name()} ({process.pid})" for process in left),
        )


def end_parts(supervisor: Supervisor, names: Collection[str], seconds: int) -> None:
    """Tell the parts to end, and wait for it; the supervisor kills what has not ended after its own seconds."""
    begin = time.monotonic()
    running = [one for one in supervisor.processes() if one.part in names and one.state not in _ENDED]
    for process in running:
        supervisor.stop(process.part, process.name)
    told: set[str] = set()
    while time.monotonic() - begin < seconds + 2:
        left = {one.name for one in supervisor.processes() if one.part in names and one.state not in _ENDED}
        for process in running:
            if process.name not in left and process.name not in told:
                told.add(process.name)
                tell(process.name, "ended", time.monotonic() - begin)
        if not left:
            return
        time.sleep(0.1)


_ENDED = frozenset(("STOPPED", "EXITED", "FATAL"))
