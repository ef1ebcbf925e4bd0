"""Looking at positions and ends again and again, over connections that are kept."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from kafka import TopicPartition

from pipeline.broker.connection import Administrator, Partition, Position, client, count_from, passing
from pipeline.broker.looking import plain_consumer, read
from pipeline.errors import PassingFault
from pipeline.settings import Settings

ANSWER_MS = 5_000


class Watch:
    """Each question raises PassingFault; the watch is then of no more use: close it and make a new one."""

    def __init__(self, settings: Settings) -> None:
        self._brokers = [one.rpartition(":") for one in settings.bootstrap_servers.split(",")]
        limits: dict[str, Any] = {"request_timeout_ms": ANSWER_MS, "bootstrap_timeout_ms": ANSWER_MS}
        self.reach()
        with passing():
            self._admin = Administrator(**client(settings, "watch"), **limits)
            try:
                self._consumer = plain_consumer(settings, **limits)
            except BaseException:
                self._admin.close()
                raise

    def reach(self) -> None:
        """Raises PassingFault at once when no broker listens: the client itself would try for half a minute."""
        for host, _, port in self._brokers:
            with suppress(OSError):
                socket.create_connection((host, int(port)), timeout=2).close()
                return
        raise PassingFault("Kafka does not answer", detail="no broker listens")

    def positions(self, group: str) -> dict[Partition, Position]:
        """What a transforming stage has committed, per partition; nothing of partitions that it has not begun."""
        with passing():
            offsets = self._admin.list_group_offsets(group)[group]
        return {
            (one.topic, one.partition): Position(its.offset, count_from(its.metadata))
            for one, its in offsets.items()
            if its.offset >= 0
        }

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The end of what is committed in each partition, as an offset."""
        with passing():
            found = self._consumer.end_offsets([TopicPartition(*one) for one in partitions], timeout_ms=ANSWER_MS)
        return {(one.topic, one.partition): offset for one, offset in found.items()}

    def count(self, positions: Mapping[Partition, int], seconds: float) -> int | None:
        """The committed records from these positions on, by reading them; None when ``seconds`` are too few for it."""
        start = {TopicPartition(*one): offset for one, offset in positions.items()}
        with passing():
            begin = self._consumer.beginning_offsets(list(start), timeout_ms=ANSWER_MS)
            start = {one: max(offset, begin[one]) for one, offset in start.items()}
            end = self._consumer.end_offsets(list(start), timeout_ms=ANSWER_MS)
            counted = sum(1 for _ in read(self._consumer, start, seconds))
            behind = [one for one in self._consumer.assignment() if self._consumer.position(one) < end[one]]
            self._consumer.unsubscribe()
        return None if behind else counted

    def close(self) -> None:
        """Let go; never raises."""
        with suppress(Exception):
            self._consumer.close(autocommit=False)
        with suppress(Exception):
            self._admin.close()
