"""Whatever is in a record, a step gives bytes or a reason, and no store is handed what it cannot take."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatchBuilder

from bad_input import Bad, cases, mutated
from pipeline import broker, person, steps, topics
from pipeline.database import users
from pipeline.database.rejected import rejected_row
from pipeline.database.values import headers_as_json, headers_from_json
from pipeline.errors import Rejected
from pipeline.nocodb import UserRow, columns
from pipeline.person import LabelledPerson
from pipeline.records import Headers, Incoming, Place, is_fingerprint
from pipeline.transform import set_aside, transform

MOMENT = 1_700_000_000_123


def incoming(value: bytes | None, headers: Headers = (), key: bytes | None = b"k") -> Incoming:
    return Incoming(Place(topics.FETCHED, 0, 1), key, value, MOMENT, headers)


def goes_through(value: bytes | None) -> None:
    """As through the chain; every stage may refuse it."""
    record = incoming(value)
    try:
        labelled = steps.add_label(steps.add_timestamp(value, MOMENT), MOMENT)
        one = person.decode(labelled, LabelledPerson)
    except Rejected as fault:
        aside = set_aside(record, "stage", fault)
        assert aside.value == value
        assert dict(aside.headers)["reason"].decode().isidentifier()
        return
    line = users.copy_line(users.row(record, one, person.unknown_fields(labelled), 1))
    assert "\0" not in line
    assert line.count("\n") == 1
    assert line.count("\t") == len(users.COLUMNS) - 1
    line.encode("utf-8")
    json.dumps(columns.record(UserRow(one, "f", "s"), None)).encode("utf-8")


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_a_person_hurt_at_random_goes_through_or_is_refused(bad: Bad) -> None:
    goes_through(bad.value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.none())
def test_any_bytes_go_through_or_are_refused(value: bytes | None) -> None:
    goes_through(value)


@pytest.mark.parametrize("bad", cases(), ids=lambda bad: bad.name)
def test_every_case_is_decided_by_the_record_alone(bad: Bad) -> None:
    goes_through(bad.value)
    if bad.reason and not bad.only:
        with pytest.raises(Rejected) as refused:
            person.decode(bad.value, LabelledPerson)
        assert refused.value.reason == bad.reason


_headers = st.lists(st.tuples(st.text(max_size=10), st.binary(max_size=20)), max_size=4).map(tuple)


@settings(max_examples=200, deadline=None)
@given(
    _headers, st.binary(max_size=40) | st.none(), st.binary(max_size=40) | st.none(), st.integers(-(2**63), 2**63 - 1)
)
def test_any_record_among_the_refused_makes_a_row(
    headers: Headers, key: bytes | None, value: bytes | None, moment: int
) -> None:
    record = incoming(value, headers, key)._replace(timestamp_ms=moment)
    row = rejected_row(
        record, stage="", reason="", message="", origin=record, rejected_at=None, source_topic=1,  # type: ignore[arg-type]
    )  # fmt: skip
    assert not [one for one in row.values() if isinstance(one, str) and "\0" in one]
    assert "\\u0000" not in headers_as_json(headers).replace("\\\\u0000", "")
    back = headers_from_json(json.loads(headers_as_json(headers)))
    assert [value for _, value in back] == [value for _, value in headers]


def test_a_record_too_large_for_any_topic_is_set_aside_by_its_length_and_hash() -> None:
    value = json.dumps({"x": "y" * 3_000_000}).encode()
    headers = (("fetch-id", b"f" * 5000), ("other", b"o" * 3_000_000), ("source", b"s"))
    [aside], _ = transform(
        [incoming(value, headers, b"k" * 2000)], "stage", topics.TIMESTAMPED, lambda v, _: v or b"", {}
    )
    assert aside.topic == topics.REJECTED
    assert is_fingerprint(aside.value)
    assert aside.key is None
    assert aside.size < 20_000
    assert dict(aside.headers)["reason"] == b"too_large"


def batch_of(*names: bytes) -> bytes:
    class Name:
        def __init__(self, name: bytes) -> None:
            self.name = name

        def encode(self, _: str) -> bytes:
            return self.name

    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=10_000_000,
    )  # fmt: skip
    for offset, name in enumerate(names):
        builder.append(offset, MOMENT, b"key", b"value", [(Name(name), b"told")])
    return bytes(builder.build())


def test_a_headers_name_in_any_bytes_is_read_escaped_and_every_record_around_it_too() -> None:
    assert broker.Reader  # whoever imports the broker reads so
    read = list(memory_records.MemoryRecords(batch_of(b"good", b"\xff\xfe", "zoë".encode(), b"")))
    assert [one.headers for one in read[0]] == [
        [("good", b"told")], [("\\xff\\xfe", b"told")], [("zoë", b"told")], [("", b"told")],
    ]  # fmt: skip
