"""Whether a container does its work, asked from inside of it."""

from __future__ import annotations

from pathlib import Path

from pipeline import broker, topics
from pipeline.errors import PassingFault, UsageError
from pipeline.settings import Settings

_ESTABLISHED = "01"


def check(settings: Settings, name: str) -> None:
    """Return when the container does its work. Raises PassingFault that says what it lacks."""
    if name == topics.GET_DATA:
        broker.ready(settings)
        return
    if name not in topics.STAGES:
        raise UsageError(f"there is no stage {name!r}", hint=f"They are: {', '.join(topics.STAGES)}.")
    # Looked at before this process opens a connection of its own: a stage that is paused, because a server it needs is
    # away, has let go of Kafka.
    if connections_to(settings.kafka_port) == 0:
        raise PassingFault(f"{name} is not connected to Kafka")
    if not broker.group_ready(settings, name):
        raise PassingFault(f"the group {name} has not dealt out its partitions")


def connections_to(port: int, tables: Path = Path("/proc/net")) -> int:
    """How many connections to a port, of whichever host, this container has: its network is its own."""
    count = 0
    for table in (tables / "tcp", tables / "tcp6"):
        if table.exists():
            for line in table.read_text(encoding="ascii").splitlines()[1:]:
                _, _, remote, state = line.split()[:4]
                count += state == _ESTABLISHED and int(remote.rpartition(":")[2], 16) == port
    return count
