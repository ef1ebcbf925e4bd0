"""The loop's own decisions: what a batch becomes, and that a refused record keeps its bytes and its place."""

from __future__ import annotations

from pipeline import topics
from pipeline.broker import Count, Position
from pipeline.errors import PassingFault, Rejected
from pipeline.records import Incoming, Place
from pipeline.stage import Faults
from pipeline.transform import transform


def record(
    offset: int, value: bytes | None, partition: int = 0, headers: tuple[tuple[str, bytes], ...] = ()
) -> Incoming:
    return Incoming(Place("in", partition, offset), b"key", value, 1000 + offset, headers)


def step(value: bytes | None, timestamp_ms: int) -> bytes:
    if value == b"bad":
        raise Rejected("bad_one", "it is bad")
    return (value or b"") + b"!"


def test_good_records_go_on_with_key_timestamp_and_headers() -> None:
    outgoing, taken = transform([record(7, b"a", headers=(("fetch-id", b"f"),))], "stage", "out", step, {})
    assert [tuple(one) for one in outgoing] == [("out", b"key", b"a!", 1007, (("fetch-id", b"f"),))]
    assert taken == {("in", 0): Position(8, Count(1, 0))}


def test_a_refused_record_keeps_its_bytes_and_says_who_refused_it_and_where_it_stood() -> None:
    outgoing, taken = transform([record(7, b"bad", headers=(("fetch-id", b"f"),))], "stage", "out", step, {})
    assert outgoing[0].topic == topics.REJECTED
    assert outgoing[0].value == b"bad"
    assert dict(outgoing[0].headers) == {
        "fetch-id": b"f", "stage": b"stage", "reason": b"bad_one", "message": b"it is bad",
        "origin-topic": b"in", "origin-partition": b"0", "origin-offset": b"7", "origin-timestamp-ms": b"1007",
    }  # fmt: skip
    assert taken == {("in", 0): Position(8, Count(1, 1))}


def test_forged_headers_do_not_hide_who_refused_a_record() -> None:
    forged = (("stage", b"somebody else"), ("origin-offset", b"99"))
    outgoing, _ = transform([record(7, b"bad", headers=forged)], "stage", "out", step, {})
    assert dict(outgoing[0].headers)["stage"] == b"stage"
    assert [name for name, _ in outgoing[0].headers].count("origin-offset") == 1


def test_counts_go_on_from_what_was_committed_in_each_partition() -> None:
    batch = [record(7, b"a"), record(3, b"bad", partition=1), record(9, b"b")]
    _, taken = transform(batch, "stage", "out", step, {("in", 0): Count(100, 5)})
    assert taken == {("in", 0): Position(10, Count(102, 5)), ("in", 1): Position(4, Count(1, 1))}


def test_pauses_grow_to_half_a_minute_and_begin_anew_after_work_was_done() -> None:
    faults = Faults()
    pauses = [faults.met(PassingFault("down")) for _ in range(12)]
    assert 0.3 < pauses[0] <= 0.5
    assert 22 < pauses[-1] <= 30
    faults.over()
    assert faults.met(PassingFault("down")) <= 0.5
