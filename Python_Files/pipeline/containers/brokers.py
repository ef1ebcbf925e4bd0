"""Whether Kafka's data and the brokers that are to start fit each other: their number is chosen once."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.containers import volumes
from pipeline.errors import SettingsError
from pipeline.operations import kafka_server
from pipeline.settings import Settings

STORED = volumes.MOUNTED / "kafka-data"
"""The first broker's data, to be looked at only."""

_PAGE = 'docs/containers.md, "Moving to three brokers"'


def made_with(data: Path) -> int | None:
    """How many brokers the data of the first one were made with; None while it has none."""
    try:
        quorum = json.loads((data / "__cluster_metadata-0" / "quorum-state").read_text(encoding="utf-8"))
        voters = quorum.get("currentVoters")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError):
        # What cannot be read here is for Kafka to judge.
        return None
    return len(voters) if voters else None


def check(settings: Settings, handed: Path, data: Path | None = None) -> None:
    """Raises SettingsError, before anything starts, when another number of brokers is to start than the data are of."""
    wanted, made = settings.kafka_brokers, made_with(data or STORED)
    if made is not None and made != wanted:
        raise SettingsError(
            f"Kafka's data is of {made} {'brokers' if made > 1 else 'broker'}, and KAFKA_BROKERS is {wanted}",
            detail="records would be lost, so nothing was changed and nothing was started",
            hint=f"Set KAFKA_BROKERS={made} in .env and call ./Project_Start.sh; to change the number: {_PAGE}.",
        )
    hosts = [kafka_server.host_of(settings, node) for node in range(1, wanted + 1)]
    if not all((handed / host).is_dir() for host in hosts):
        raise SettingsError(
            f"KAFKA_BROKERS is {wanted}, and docker-compose.yml alone has 1",
            hint="Call ./Project_Start.sh, or docker compose -f docker-compose.yml -f docker-compose.cluster.yml up.",
        )
