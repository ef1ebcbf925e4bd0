"""What can be said of the database's code without a database: names of queries, lines of COPY, odd values."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from pipeline import topics
from pipeline.database import users
from pipeline.database.queries import query
from pipeline.database.rejected import rejected_row
from pipeline.database.values import moment, text
from pipeline.feed import plan
from pipeline.records import Incoming, Place
from pipeline.settings import ROOT


def test_the_copied_columns_are_the_tables_columns_but_the_one_with_a_clock() -> None:
    script = (ROOT / "Database-Init" / "02_tables.sql").read_text(encoding="utf-8")
    table = script.split("CREATE TABLE pipeline.users (")[1].split("\n);")[0]
    columns = [line.split()[0] for line in table.splitlines() if line.strip() and "CONSTRAINT" not in line]
    assert columns == [*users.COLUMNS, "created_at"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "\\N"),
        ("a\tb", "a\\tb"),
        ("a\nb\rc", "a\\nb\\rc"),
        ("\\N", "\\\\N"),
        ("\\.", "\\\\."),
        (7, "7"),
        ("", ""),
    ],
)
def test_copy_lines_cannot_be_broken_by_their_text(value: object, expected: str) -> None:
    assert users.copy_line([value, "x"]) == f"{expected}\tx\n"


def test_every_query_says_what_it_is_for() -> None:
    for name in ("store_new", "advance_offset", "count_stores"):
        assert re.match(r"-- \w", query(name))
    with pytest.raises(KeyError):
        query("no_such_query")


def test_forged_headers_of_a_rejected_record_are_stored_as_far_as_they_can_be() -> None:
    headers = (
        (topics.STAGE, b"\x00\xff"),
        (topics.ORIGIN_OFFSET, b"9" * 400),
        (topics.ORIGIN_PARTITION, b"-1"),
        (topics.ORIGIN_TIMESTAMP, b"999999999999999"),
    )
    record = Incoming(Place(topics.REJECTED, 0, 1), b"not a uuid", None, -5, headers)
    row = rejected_row(
        record, stage=record.header(topics.STAGE), reason="", message="m", origin=None, rejected_at=None,  # type: ignore[arg-type]
        source_topic=1,
    )  # fmt: skip
    assert row["stage"] == "\\u0000\\xff"
    assert row["reason"] == "unknown"
    assert (row["offset"], row["partition"], row["fetched_at"], row["uuid"]) == (None, None, None, None)


def test_moments_beyond_the_calendar_are_none() -> None:
    assert moment(10**18) is None
    assert moment(None) is None
    assert text("a\0b") == "a\\u0000b"


def test_what_the_feed_tells_of_a_run_is_what_the_store_reads() -> None:
    told = plan.Fetch(
        fetch_id="f", source="stand-in", kind="scheduled", seed="s", page=1,
        due=plan.iso_minute(datetime(2026, 11, 21, 5, 29, tzinfo=UTC)), requested=10, received=1, rejected=0,
        uuids=[str(UUID(int=5))], arrived_at="2026-11-21T05:29:16.817Z", nationalities=["DE", "US"],
    )  # fmt: skip
    read = msgspec.json.decode(msgspec.json.encode(told), type=users.FetchRecord)
    assert read.due == datetime(2026, 11, 21, 5, 29, tzinfo=UTC)
    assert (read.nationalities, read.uuids) == (["DE", "US"], [UUID(int=5)])
