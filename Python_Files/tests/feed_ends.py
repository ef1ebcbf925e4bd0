"""The feed's ends in memory: a broker that holds what is published, settings without a server, clocks moved by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import topics
from pipeline.errors import PassingFault
from pipeline.records import Incoming, Outgoing, Place
from pipeline.settings import Settings, parse, secret_names

NOON = datetime(2026, 11, 21, 12, 0, 3, tzinfo=UTC).timestamp()


class Broker:
    """Holds what is published, one list a transaction; its tail is what a broker would give."""

    def __init__(self) -> None:
        self.transactions: list[list[Outgoing]] = []
        self.down = False

    def publish(self, records: Sequence[Outgoing]) -> None:
        if self.down:
            raise PassingFault("the broker cannot be reached")
        self.transactions.append(list(records))

    def of(self, topic: str) -> list[Outgoing]:
        return [record for records in self.transactions for record in records if record.topic == topic]

    @property
    def fetches(self) -> list[dict[str, Any]]:
        return [json.loads(record.value or b"") for record in self.of(topics.FETCHES)]

    def tail(self) -> list[Incoming]:
        if self.down:
            raise PassingFault("the broker cannot be reached")
        return [
            Incoming(Place(topics.FETCHES, 0, at), record.key, record.value, record.timestamp_ms, record.headers)
            for at, record in enumerate(self.of(topics.FETCHES))
        ]


def settings_of(folder: Path, url: str = "http://127.0.0.1:1/api/1.4/", **more: str) -> Settings:
    values = dict.fromkeys(secret_names(), "x" * 32)
    made = parse({**values, "DATA_DIR": str(folder), "API_URL": url, "API_CONNECT_TIMEOUT": "1", **more})
    made.run.mkdir(parents=True, exist_ok=True)
    return made


class Time:
    """Both clocks of a run: sixty seconds to a minute, moved by hand."""

    def __init__(self, seconds: float = NOON) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds
