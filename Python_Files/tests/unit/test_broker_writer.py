"""A transaction that the Kafka client loses is given up in time, and nothing of it goes on in the background."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from pipeline import settings
from pipeline.broker import Position, Writer, connection, endings, hanging, publisher, writer
from pipeline.errors import PassingFault
from pipeline.records import Outgoing

SECRETS = dict.fromkeys(settings.secret_names(), "s" * 32)
RECORD = Outgoing("users.fetched", b"key", b"value", 0, ())


class Step:
    """What the client gives to wait for; ``finished`` or, as after the loss of a coordinator, never."""

    def __init__(self, finished: bool) -> None:
        self._latch = threading.Event()
        if finished:
            self._latch.set()

    def wait(self, timeout_ms: float | None = None) -> bool:
        return self._latch.wait(None if timeout_ms is None else timeout_ms / 1000)

    def get(self, timeout: float | None = None) -> SimpleNamespace:
        if not self._latch.wait(timeout):
            raise kafka_errors.KafkaTimeoutError("not sent")
        return SimpleNamespace(topic_partition=TopicPartition(RECORD.topic, 0))


class Epoch(NamedTuple):
    producer_id: int = 1
    epoch: int = 0


class LosingClient:
    """Stands for the Kafka client; the step named ``lost`` is never finished."""

    lost = ""

    def __init__(self, **_: Any) -> None:
        self._transaction_manager = self._sender = self._client = self
        self.producer_id_and_epoch = Epoch()
        self.forced = False

    def await_ready(self, node: str, timeout_ms: int = 0) -> bool:
        raise kafka_errors.KafkaConnectionError(f"{node} is not ready")

    def init_transactions(self) -> None: ...
    def begin_transaction(self) -> None: ...
    def wakeup(self) -> None: ...

    def send(self, *_: Any, **__: Any) -> Step:
        return Step(self.lost != "send")

    def send_offsets_to_transaction(self, *_: Any) -> Step:
        return Step(self.lost != "offsets")

    def begin_commit(self) -> Step:
        return Step(self.lost != "commit")

    def close(self, timeout: float) -> None:
        if self.lost == "send":
            raise kafka_errors.KafkaTimeoutError("records are left")

    def force_close(self) -> None:
        self.forced = True


class Member:
    generation_id, member_id, group_id = 1, "member", "tests"


@pytest.fixture(autouse=True)
def _nothing_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer.hanging, "mend_own", lambda *_: None)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Writer:
    monkeypatch.setattr(writer, "KafkaProducer", LosingClient)
    monkeypatch.setattr(writer, "TRANSACTION_TIMEOUT_MS", 300)
    monkeypatch.setattr(endings.Endings, "of_offsets", lambda *_: TopicPartition(hanging.OFFSETS, 1))
    return Writer(settings.parse(SECRETS), "tests-0")


@pytest.mark.parametrize("lost", ["send", "offsets", "commit"])
def test_a_step_that_never_ends_is_given_up_when_the_transaction_is_too_old(
    lost: str, made: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LosingClient, "lost", lost)
    begin = time.monotonic()
    with pytest.raises(PassingFault):
        made.commit([RECORD], {("users.fetched", 0): Position(1)}, Member())
    assert 0.2 < time.monotonic() - begin < 3


def test_what_ends_in_time_is_committed(made: Writer) -> None:
    made.commit([RECORD], {("users.fetched", 0): Position(1)}, Member())


def test_a_coordinator_that_is_away_costs_no_request(made: Writer) -> None:
    # With an exception here the client would forget what it was about to send.
    assert made._producer._client.await_ready("coordinator-2", timeout_ms=1) is False


def test_a_client_that_will_not_close_is_made_to_end(made: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LosingClient, "lost", "send")
    client = made._producer
    made.close()
    assert client.forced


@pytest.mark.parametrize(("lost", "published"), [("send", True), ("commit", False)])
def test_a_fetch_is_sent_again_only_when_nothing_of_it_can_have_been_committed(
    lost: str, published: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[LosingClient] = []

    class LosingOnce(LosingClient):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.lost = "" if made else lost
            made.append(self)

    monkeypatch.setattr(writer, "KafkaProducer", LosingOnce)
    monkeypatch.setattr(writer, "TRANSACTION_TIMEOUT_MS", 300)
    with publisher(settings.parse({**SECRETS, "DATA_DIR": str(tmp_path)}), "tests") as ours:
        if published:
            ours.publish([RECORD])
        else:
            with pytest.raises(PassingFault):
                ours.publish([RECORD])
    assert len(made) == 1 + published


def test_every_broker_is_asked_and_one_that_is_back_is_found_soon() -> None:
    made = connection.client(settings.parse({**SECRETS, "KAFKA_BROKERS": "3", "KAFKA_HOST": "kafka"}), "tests")
    assert made["bootstrap_servers"] == ["kafka:9092", "kafka-2:9092", "kafka-3:9092"]
    assert made["reconnect_backoff_max_ms"] <= 1_000


def test_a_client_waits_for_a_silent_broker_for_seconds_only() -> None:
    made = KafkaConnectionManager(NetworkSelector(), **connection.client(settings.parse(SECRETS), "tests"))
    assert made.socket_connection_setup_timeout_ms("any") <= 2_000
    assert made.config["socket_connection_setup_timeout_max_ms"] <= 4_000
