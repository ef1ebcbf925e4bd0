"""What every end of Kafka shares: the client's settings, positions, and which of Kafka's errors pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, KafkaConsumer
from kafka import errors as kafka_errors
from kafka.net.manager import KafkaConnectionManager

from pipeline.broker.foreign import headers_of
from pipeline.errors import Fenced, PassingFault
from pipeline.records import Incoming, Place
from pipeline.settings import Settings

TRANSACTION_TIMEOUT_MS = 15_000
SESSION_TIMEOUT_MS = 15_000

# A broker whose machine or container is gone refuses nothing, it is silent: by default the client waits for its answer
# for ten seconds, then for twenty, while the group and the transactions stand still. It takes no such setting from us.
KafkaConnectionManager.DEFAULT_CONFIG |= {
    "socket_connection_setup_timeout_ms": 2_000,
    "socket_connection_setup_timeout_max_ms": 4_000,
}


class _LeavingNothing:
    """The client's threads and sockets end also when it cannot be made, while Kafka is away (3.0.12 leaves them)."""

    _client: Any

    def __init__(self, **configs: Any) -> None:
        try:
            super().__init__(**configs)
        except BaseException:
            with suppress(Exception):
                self._client.close()
            raise


class Administrator(_LeavingNothing, KafkaAdminClient):  # type: ignore[misc]  # the client has no types
    """The questions and orders of an administrator."""


class Consumer(_LeavingNothing, KafkaConsumer):  # type: ignore[misc]
    """Reads topics."""


Partition = tuple[str, int]
"""A topic's name and a partition's number."""


class Count(NamedTuple):
    """How many records a stage has taken from one partition, and how many of them it refused; ever."""

    processed: int = 0
    rejected: int = 0


class Position(NamedTuple):
    """Where a partition's next record is, and how many were taken up to there."""

    offset: int
    taken: Count = Count()


@contextmanager
def passing() -> Iterator[None]:
    """Tell Kafka's errors apart: who lost its work to another is fenced; all else may succeed later."""
    try:
        yield
    except kafka_errors.ProducerFencedError as error:
        raise Fenced("another process has this transactional id now", detail=str(error)) from error
    except kafka_errors.KafkaError as error:
        raise PassingFault("Kafka could not do it now", detail=f"{type(error).__name__}: {error}") from error


def client(settings: Settings, name: str) -> dict[str, Any]:
    return {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "client_id": name,
        # A broker that is back is found again soon.
        "reconnect_backoff_max_ms": 1_000,
    }


def count_from(metadata: str | None) -> Count:
    try:
        processed, rejected = (metadata or "0,0").split(",")
        return Count(int(processed), int(rejected))
    except ValueError:
        return Count()


def incoming(record: Any) -> Incoming:
    """The client's record as ours."""
    return Incoming(
        Place(record.topic, record.partition, record.offset),
        record.key,
        record.value,
        record.timestamp,
        headers_of(record),
    )
