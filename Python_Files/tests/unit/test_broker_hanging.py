"""What the coordinator's log says of a decision, and which open transactions hang."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from kafka import errors as kafka_errors

from pipeline import settings
from pipeline.broker import administration, hanging
from pipeline.broker import transaction_log as log
from pipeline.errors import Fenced, PassingFault

# As Kafka 4.3.1 wrote them, for producer 4 in epoch 3.
KEY = bytes.fromhex("0000000473312d30")
DECIDED = bytes.fromhex(
    "00010000000000000004000300003a98020305742e73310700000004000000050000000200000003000000000000000100135f5f636f6e73756d"
    "65725f6f666673657473020000000400000001a1ff9daa2b000001a1ff9da8cc0100080000000000000004"
)
DONE = bytes.fromhex("00010000000000000004000300003a980401000001a1ff9daa33000001a1ff9da8cc0100080000000000000004")
OLDER = bytes.fromhex(
    "00000000000000000004000300003a9803000000010001740000000200000001000000050000000000000000ffffffffffffffff"
)


def test_a_decision_is_read_as_kafka_wrote_it() -> None:
    assert log.transactional_id_of(KEY) == "s1-0"
    decided = log.entry_of(DECIDED)
    assert decided == log.Entry(
        "commit", frozenset({*(("t.s1", number) for number in range(6)), ("__consumer_offsets", 4)})
    )
    assert decided.decision is True
    done = log.entry_of(DONE)
    assert done == log.Entry("committed", frozenset())
    assert done.decision is None


def test_the_older_version_of_the_log_is_read_too() -> None:
    entry = log.entry_of(OLDER)
    assert entry == log.Entry("abort", frozenset({("t", 1), ("t", 5)}))
    assert entry.decision is False


def test_what_a_newer_kafka_may_write_is_left_alone() -> None:
    assert log.entry_of(b"\x00\x09" + DECIDED[2:]) is None
    assert log.transactional_id_of(b"\x00\x01\x00\x01x") is None


@pytest.mark.parametrize(
    ("name", "partition"), [("s3-0", 9), ("s1-0", 7), ("0-Get_Data-0", 1), ("polygenelubricants", 0), ("", 0)]
)
def test_the_log_is_looked_for_where_java_puts_it(name: str, partition: int) -> None:
    assert log.partition_of(name, 10) == partition


class Kafka:
    """Stands for the administrator's client; ``opened`` are the answers to one look after the other."""

    def __init__(self, state: str, *opened: list[tuple[str, int, int]], leader: int = 1) -> None:
        self._state, self._opened, self._leader = state, list(opened), leader

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        there = {"partition_index": 0, "leader_id": self._leader}
        return [{"name": "users.fetched", "partitions": [there]}, {"name": names[-1], "error_code": 3}]

    def describe_producers(self, partitions: list[Any], broker_id: int) -> dict[Any, Any]:
        assert broker_id == self._leader
        (where,) = partitions
        ones = [
            SimpleNamespace(
                producer_id=producer, producer_epoch=2, coordinator_epoch=4, current_transaction_start_offset=offset
            )
            for _, producer, offset in self._opened.pop(0)
        ]
        return {where: SimpleNamespace(active_producers=ones)}

    def list_transactions(self) -> dict[int, list[Any]]:
        return {1: [SimpleNamespace(producer_id=7, transactional_id="a-0", state=SimpleNamespace(value=self._state))]}

    def close(self) -> None: ...


def of_others(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(administration, "Administrator", lambda **_: kafka)
    return hanging.of_others(settings.parse(dict.fromkeys(settings.secret_names(), "s" * 32)))


OPEN = [("users.fetched", 7, 100)]


@pytest.mark.parametrize(
    ("state", "looks", "found"),
    [
        ("CompleteCommit", [OPEN, OPEN], ["a-0"]),
        ("Empty", [OPEN, OPEN], ["a-0"]),
        ("Ongoing", [OPEN, OPEN], []),
        ("PrepareCommit", [OPEN, OPEN], []),
        # It was about to be ended, and was; or the next one has begun since.
        ("CompleteCommit", [OPEN, []], []),
        ("CompleteCommit", [OPEN, [("users.fetched", 7, 130)]], []),
        ("CompleteCommit", [[("users.fetched", 7, -1)]], []),
        # Nobody knows this producer.
        ("CompleteCommit", [[("users.fetched", 8, 5)], [("users.fetched", 8, 5)]], []),
    ],
)
def test_only_what_stays_open_although_it_is_complete_hangs(
    state: str, looks: list[list[tuple[str, int, int]]], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert of_others(Kafka(state, *looks), monkeypatch) == found


def test_while_a_partition_has_no_leader_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PassingFault, match="without a leader"):
        of_others(Kafka("Empty", OPEN, leader=-1), monkeypatch)


EVERYTHING = settings.parse(dict.fromkeys(settings.secret_names(), "s" * 32))


def test_an_open_transaction_whose_producer_nobody_knows_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = [("users.fetched", 8, 5)]
    with caplog.at_level("WARNING"):
        assert of_others(Kafka("Empty", one, one), monkeypatch) == []
    assert "whose producer nobody knows" in caplog.text


class Begun(NamedTuple):
    """The producer id of a Writer, and its epoch: what Kafka stands open of is of epoch 2."""

    producer_id: int = 7
    epoch: int = 3


@pytest.mark.parametrize("decided", [{}, {("users.fetched", 0): False}, {("users.fetched", 0): True}])
def test_what_hangs_is_ended_as_decided_and_rather_twice_than_lost(
    decided: dict[tuple[str, int], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []
    monkeypatch.setattr(administration, "Administrator", lambda **_: Kafka("Empty", [*OPEN, ("users.fetched", 8, 5)]))
    monkeypatch.setattr(hanging, "decisions", lambda *_: decided)
    monkeypatch.setattr(
        hanging, "_mark", lambda _, one, committed: ended.append((one.producer_id, one.offset, committed))
    )
    hanging.mend_own(EVERYTHING, "a-0", Begun())
    assert ended == [(7, 100, decided.get(("users.fetched", 0), True))]


@pytest.mark.parametrize("epoch", [1, 2])
def test_what_another_process_has_begun_since_is_left_alone(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administration, "Administrator", lambda **_: Kafka("Ongoing", OPEN))
    monkeypatch.setattr(hanging, "_mark", lambda *_: pytest.fail("it ended what is under way"))
    with pytest.raises(Fenced):
        hanging.mend_own(EVERYTHING, "a-0", Begun(epoch=epoch))


class Log:
    """Stands for a consumer of the coordinator's log, which reads no further than ``reached``."""

    def __init__(self, states: list[int], reached: int) -> None:
        entries = [DECIDED[:16] + bytes([state]) + DECIDED[17:] for state in states]
        self.records = [SimpleNamespace(key=KEY, value=entry, offset=number) for number, entry in enumerate(entries)]
        self.reached = reached

    def partitions_for_topic(self, _: str) -> set[int]:
        return {0}

    def beginning_offsets(self, ones: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(ones, 0)

    def end_offsets(self, ones: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(ones, len(self.records))

    def position(self, _: Any) -> int:
        return self.reached

    def close(self, **_: Any) -> None: ...


COMMIT, ABORT, COMMITTED, ABORTED = 2, 3, 4, 5
WHERE = ("t.s1", 3)


def decided(one: Log, monkeypatch: pytest.MonkeyPatch) -> Mapping[tuple[str, int], bool]:
    monkeypatch.setattr(log, "plain_consumer", lambda *_: one)
    monkeypatch.setattr(log, "read", lambda *_: iter(one.records[: one.reached]))
    return log.decisions(EVERYTHING, "s1-0", frozenset([WHERE]))


def test_the_last_decision_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decided(Log([COMMIT, COMMITTED, ABORT, ABORTED], 4), monkeypatch) == {WHERE: False}


@pytest.mark.parametrize("reached", [0, 2, 3])
def test_a_log_that_could_not_be_read_to_its_end_decides_nothing(reached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(kafka_errors.KafkaTimeoutError):
        decided(Log([COMMIT, COMMITTED, ABORT, ABORTED], reached), monkeypatch)
