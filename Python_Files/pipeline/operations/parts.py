"""The parts that run: name, command line, how each one ends, how many processes it may have."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from pipeline import topics
from pipeline.operations import kafka_server, postgresql_server
from pipeline.operations.places import Installed
from pipeline.settings import ROOT, Settings

POSTGRESQL, KAFKA, NOCODB, API, SCHEDULER = "postgresql", "kafka", "nocodb", "api", "scheduler"
SERVERS = (POSTGRESQL, KAFKA, NOCODB)
NAMES = (*SERVERS, *topics.STAGES, API, SCHEDULER)
PORTS = (*SERVERS, API)
"""Whoever listens on a port."""

# The phases in which parts end, each given so many seconds before it is killed; together less than 30.
ENDING: tuple[tuple[tuple[str, ...], int], ...] = (
    ((*topics.STAGES, API, SCHEDULER), 13),
    ((NOCODB, KAFKA), 7),
    ((POSTGRESQL,), 8),
)


@dataclass(frozen=True)
class Part:
    """One program of the supervisor. ``most`` is how many processes it may have."""

    name: str
    command: tuple[str, ...]
    most: int = 1
    # PostgreSQL: SIGINT ends it at once and in order, SIGTERM would wait for clients that never leave.
    stop_signal: str = "TERM"

    @property
    def stop_seconds(self) -> int:
        return next(seconds for names, seconds in ENDING if self.name in names)

    @property
    def priority(self) -> int:
        """The supervisor itself ends parts from the highest to the lowest."""
        return 10 * next(3 - phase for phase, (names, _) in enumerate(ENDING) if self.name in names)

    def processes(self) -> tuple[str, ...]:
        """The names of all its processes, as the supervisor calls them within the group ``name``."""
        if self.most == 1:
            return (self.name,)
        return tuple(f"{self.name}-{number}" for number in range(1, self.most + 1))


def all_parts(settings: Settings, programs: Installed) -> tuple[Part, ...]:
    """Every part, servers first."""
    python = sys.executable
    doors = {
        **{stage: (f"{stage}.py",) for stage in topics.WRITES},
        **{stage: ("3-Add_Database.py", "--to", store) for stage, store in topics.STORES.items()},
    }
    stages = tuple(
        Part(name, (python, str(ROOT / "Python_Files" / door), *rest), most=settings.kafka_partitions)
        for name, (door, *rest) in doors.items()
    )
    return (
        Part(POSTGRESQL, tuple(postgresql_server.command(settings, programs)), stop_signal="INT"),
        Part(KAFKA, tuple(kafka_server.command(settings, programs))),
        # Its secrets are in its environment, which this step makes in memory; then it becomes NocoDB itself.
        Part(NOCODB, (python, "-m", "pipeline.operations", "run-nocodb")),
        *stages,
        Part(API, (python, "-m", "pipeline.api")),
        Part(SCHEDULER, (python, "-m", "pipeline.scheduler")),
    )


def processes_setting(stage: str) -> str:
    """The setting that says how many processes a stage has, such as ADD_LABEL_PROCESSES for 2-Add_Label."""
    return f"{stage.partition('-')[2].upper().replace('-', '_')}_PROCESSES"


def scale(settings: Settings) -> dict[str, int]:
    """How many processes each stage is to have."""
    return {stage: getattr(settings, processes_setting(stage).lower()) for stage in topics.STAGES}


def wanted(settings: Settings, part: Part) -> tuple[str, ...]:
    """The processes of the part that are to run."""
    return part.processes()[: scale(settings).get(part.name, 1)]
