"""The ledger and the reconciliation as far as they need no server: rows back into people, what is printed and asked."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from rich.console import Console

from conftest import DATA
from pipeline import person, reconciliation, steps
from pipeline.account import StoreAccount
from pipeline.database import users
from pipeline.ledger import Choice, Entry, Ledger, Totals, command, places
from pipeline.ledger.account import Missing
from pipeline.ledger.look import Nocodb
from pipeline.nocodb import UserRow, columns
from pipeline.records import Incoming, Place

PEOPLE: list[dict[str, Any]] = json.loads((DATA / "randomuser_200.json").read_text(encoding="utf-8"))["results"]


def test_a_row_becomes_the_very_person_that_nocodb_was_given_at_first() -> None:
    for plain in PEOPLE:
        value = steps.add_label(steps.add_timestamp(json.dumps(plain).encode(), 1_790_000_000_123), 0)
        one = person.decode(value, person.LabelledPerson)
        values = dict(
            zip(users.COLUMNS, users.row(Incoming(Place("t", 0, 0), None, value, 0, ()), one, {}, 1), strict=True)
        )
        for name in ("latitude", "longitude"):
            values[name] = float(values[name])
        values["postcode"] = str(values["postcode"])
        for name in ("date_of_birth", "registered_at", "fetched_at"):
            values[name] = datetime.fromisoformat(values[name]).astimezone(UTC)
        again = users.person_of(values)
        first = columns.record(UserRow(one, "f", "s"), None)
        assert columns.record(UserRow(again, "f", "s"), None) == first
        assert again.picture == one.picture, "the portrait is chosen by it"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T08:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00+02:00", datetime(2026, 1, 31, 6, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31).astimezone(UTC)),  # local time
    ],
)
def test_since_takes_dates_and_moments(text: str, expected: datetime) -> None:
    assert command.moment(text) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "8:00"])
def test_since_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        command.moment(text)


def test_fetch_and_since_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--fetch", "x", "--since", "2026-01-31"]) == 2
    assert "exclude each other" in capsys.readouterr().err
    assert Choice().all
    assert not Choice(fetch="x").all


@pytest.mark.parametrize("key", [None, b"", b"nobody", b"\xff\xfe", "ünïcode".encode()])
def test_a_key_that_is_no_uuid_is_nobody(key: bytes | None) -> None:
    assert places.uuid_of(key) is None


class Told:
    """What a Ledger tells, without one."""

    def __init__(self, *, missing: int = 0, strangers: int = 0, **unreachable: str) -> None:
        full = StoreAccount(7, 1, 1, 1, 0, 0)
        short = StoreAccount(7, 1, 1, 1, 0, missing)
        self.totals = Totals(10 + missing, full if not missing else short, full)
        self.unreachable = unreachable
        self.notes = Nocodb()
        self.strangers = strangers
        self.people = [
            Missing(uuid4(), "postgresql", f"run-{n}", Place("users.labelled", 3, n) if n % 2 == 0 else None)
            for n in range(missing)
        ]
        self.ok = not (missing or strangers or unreachable)

    def runs(self, newest: int | None = None) -> Iterator[Entry]:
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        yield Entry("run-1", "scheduled", "stand-in", moment, 10, 10, 0, None, 10, *self.totals[1:])
        yield Entry("run-2", "scheduled", "stand-in", None, 10, 0, 0, "time_out", 0, *[StoreAccount(*[0] * 6)] * 2)

    def missing(self) -> Iterator[Missing]:
        yield from self.people

    def extra(self) -> Iterator[tuple[UUID, str]]:
        for _ in range(self.strangers):
            yield uuid4(), "nocodb"


def shown(told: Told) -> str:
    out = io.StringIO()
    command.show(cast(Ledger, told), Choice(), Console(file=out, width=160))
    return out.getvalue()


def test_the_total_of_each_store_is_one_line() -> None:
    lines = shown(Told()).splitlines()
    sums = "10 fetched = 7 stored + 1 repeats + 1 removed + 1 rejected + 0 on the way + 0 missing"
    assert lines[:2] == [f"PostgreSQL  {sums}", f"NocoDB      {sums}"]
    assert lines[2].startswith("Everybody is accounted for")


def test_who_is_missing_is_shown_with_the_last_place_and_only_the_first_hundred() -> None:
    told = Told(missing=150)
    text = shown(told)
    assert f"{told.people[0].uuid}  not in PostgreSQL, last in users.labelled-3 at 0, of run-0" in text
    assert f"{told.people[1].uuid}  not in PostgreSQL, in no topic any more, of run-1" in text
    assert text.count("not in PostgreSQL") == command.SHOWN_NAMES
    assert "and 50 more; --json names all of them" in text
    assert "Everybody is accounted for" not in text


def test_who_was_never_fetched_and_who_could_not_be_asked_is_told() -> None:
    text = shown(Told(strangers=2, kafka="no brokers"))
    assert "never fetched, but in a store: 2" in text
    assert text.count("in NocoDB\n") == 2
    assert "Kafka does not answer" in text


@pytest.mark.parametrize("told", [Told(), Told(missing=3, strangers=2), Told(nocodb="refused")])
def test_the_json_has_its_promised_shape(told: Told) -> None:
    out = io.StringIO()
    command.write_json(cast(Ledger, told), out)
    read = json.loads(out.getvalue())
    assert list(read) == ["ok", "totals", "missing", "extra", "fetches", "unreachable"]
    assert read["ok"] is told.ok
    assert set(read["totals"]) == {"fetched", "postgresql", "nocodb"}
    for store in ("postgresql", "nocodb"):
        assert sum(read["totals"][store].values()) == read["totals"]["fetched"] - (
            len(told.people) if store == "nocodb" else 0
        )
    assert [one["uuid"] for one in read["missing"]] == [str(one.uuid) for one in told.people]
    assert all(set(one) == {"uuid", "store", "fetch_id", "topic", "partition", "offset"} for one in read["missing"])
    assert all(set(one) == {"uuid", "store"} for one in read["extra"])
    assert read["fetches"][0]["arrived_at"] == "2026-01-01T00:00:00+00:00"
    assert read["unreachable"] == list(told.unreachable)


def test_the_report_of_a_reconciliation_names_whom_it_concerned() -> None:
    report = reconciliation.Report()
    assert report.lines() == ["both stores agree; there was nothing to do"]
    assert report.ok
    report.note("written", [f"{n} Ann" for n in range(150)])
    lines = report.lines()
    assert lines[0] == "150 written to NocoDB again"
    assert lines[1] == "  0 Ann"
    assert lines[-1] == "  and 50 more"
    assert report.ok, "what was mended needs nobody's attention"
    report.note("extra", ["someone in NocoDB"])
    assert not report.ok
    assert report.as_object()["extra"] == {"people": 1, "names": ["someone in NocoDB"]}


def test_a_report_of_a_million_keeps_few_names() -> None:
    report = reconciliation.Report()
    for _ in range(5):
        report.note("written", ["Ann"] * 500)
    report.note("removed", ["Ben"], 300_000)
    assert report.counts["written"] == 2_500
    assert len(report.names["written"]) == 1_000
    assert report.counts["removed"] == 300_000


def test_people_that_nobody_may_take_for_removed_are_told_with_what_to_do() -> None:
    report = reconciliation.Report()
    report.note("unexplained", [uuid4()], 5_000)
    assert not report.ok
    assert "--bring-back" in report.lines()[-1]
    told = Told()
    told.notes = Nocodb(unexplained=5_000)
    assert "--accept" in shown(told)


def test_what_was_put_on_record_is_told() -> None:
    told = Told()
    told.notes = Nocodb(removed=2, returned=1)
    text = shown(told)
    assert "recorded now: 2 removed in NocoDB by a person" in text
    assert "recorded now: 1 brought back in NocoDB by a person" in text
