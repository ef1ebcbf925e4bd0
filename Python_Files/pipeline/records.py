"""What travels: a record as it is read from a topic, and one as it is sent to a topic."""

from __future__ import annotations

import hashlib
import json
import re
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

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        named = sum(len(name.encode()) + len(value) for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + named


def fingerprint(value: bytes) -> bytes:
    """What is kept of bytes that must not be kept themselves: their length and hash, as JSON."""
    told = {"length": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    return json.dumps(told, separators=(",", ":")).encode()


_FINGERPRINT = re.compile(rb'\{"length":[0-9]+,"sha256":"[0-9a-f]{64}"\}')


def is_fingerprint(value: bytes | None) -> bool:
    """Whether this is no record, but the length and hash that were kept of one."""
    return _FINGERPRINT.fullmatch(value or b"") is not None


class Publisher(Protocol):
    """Sends records. ``publish`` returns when all of them are committed in one transaction, or raises and none is.

    Raises PassingFault when the broker cannot be reached or does not answer in time, and PipelineError that names the
    record when one is larger than its topic takes (then nothing was sent).
    """

    def publish(self, records: Sequence[Outgoing]) -> None: ...
