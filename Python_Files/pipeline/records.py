"""What travels: a record as it is read from a topic, and one as it is sent to a topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pipeline import topics

Headers = tuple[tuple[str, bytes], ...]


class Place(NamedTuple):
    """Where a record stands in Kafka."""

    topic: str
    partition: int
    offset: int


class Incoming(NamedTuple):
    """A record as read: ``timestamp_ms`` is its own, in milliseconds since 1970, UTC."""

    place: Place
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers

    def header(self, name: str) -> str:
        """The text of the first header of this name, or ''. Bytes that are not UTF-8 are shown escaped."""
        for key, value in self.headers:
            if key == name:
                return (value or b"").decode("utf-8", "backslashreplace")
        return ""

    @property
    def fetch_id(self) -> str:
        return self.header(topics.FETCH_ID)

    @property
    def source(self) -> str:
        return self.header(topics.SOURCE)


class Outgoing(NamedTuple):
    """A record to send."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = ()


class Publisher(Protocol):
    """Sends records. ``publish`` returns when all of them are committed in one transaction, or raises and none is.

    Raises PassingFault when the broker cannot be reached or does not answer in time, and PipelineError that names the
    record when one is larger than its topic takes (then nothing was sent).
    """

    def publish(self, records: Sequence[Outgoing]) -> None: ...
