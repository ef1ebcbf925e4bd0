"""The last place in Kafka that held somebody: how far a missing person came."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from pipeline import broker, topics
from pipeline.records import Place
from pipeline.settings import Settings

NAMED = 100_000
"""Of how many people the places are held in memory (some 40 MB)."""

_CHAIN = (topics.STORED, topics.REJECTED, *reversed(topics.CHAIN[:-1]))


def last_places(settings: Settings, wanted: Collection[UUID]) -> dict[UUID, Place]:
    """The furthest topic that holds each of them, and the last place in it. Who is in none is left out.

    The topics are read from their beginnings, the last of the chain first, and only until everybody is found.
    Raises PassingFault.
    """
    left = set(wanted)
    found: dict[UUID, Place] = {}
    for topic in _CHAIN:
        if not left:
            break
        identity = broker.identities(settings, (topic,))[topic]
        for record in broker.waiting(settings, {(topic, number): 0 for number in range(identity.partitions)}):
            uuid = uuid_of(record.key)
            if uuid in left:
                found[uuid] = record.place
        left -= found.keys()
    return found


def uuid_of(key: bytes | None) -> UUID | None:
    """Whom a record is about, by its key; None for a record of another's making."""
    try:
        return UUID((key or b"").decode("ascii"))
    except ValueError:
        return None
