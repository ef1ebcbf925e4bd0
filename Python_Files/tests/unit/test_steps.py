"""The steps: the moment of the fetch, and the same company for the same person for ever."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

from pipeline import steps
from pipeline.errors import Rejected
from pipeline.settings import NATIONALITIES

DATA = Path(__file__).parents[1] / "data"
PEOPLE = json.loads((DATA / "randomuser_200.json").read_text(encoding="utf-8"))["results"]
VALUE = json.dumps(PEOPLE[0], ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("timestamp_ms", "expected"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        (253_370_764_799_999, "9998-12-31T23:59:59.999Z"),
    ],
)
def test_fetched_at_is_the_timestamp_of_the_record(timestamp_ms: int, expected: str) -> None:
    assert json.loads(steps.add_timestamp(VALUE, timestamp_ms))["fetched_at"] == expected


@pytest.mark.parametrize("timestamp_ms", [-1, 253_370_764_800_000])
def test_a_moment_that_no_store_can_hold_is_refused(timestamp_ms: int) -> None:
    with pytest.raises(Rejected) as refused:
        steps.add_timestamp(VALUE, timestamp_ms)
    assert refused.value.reason == "wrong_timestamp"


def test_a_step_done_twice_gives_the_same_bytes() -> None:
    once = steps.add_timestamp(VALUE, 5)
    assert steps.add_timestamp(once, 5) == once
    labelled = steps.add_label(once, 5)
    assert steps.add_label(labelled, 5) == labelled


def test_a_label_needs_the_moment_of_the_fetch() -> None:
    with pytest.raises(Rejected, match="fetched_at"):
        steps.add_label(VALUE, 0)


def test_companies_are_those_of_the_golden_file() -> None:
    """A Faker release that changes its lists is noticed here, before it changes anybody's company."""
    golden = json.loads((DATA / "companies.json").read_text(encoding="utf-8"))
    assert len(golden) == 200
    assert {uuid: steps.company(UUID(uuid), nat) for uuid, (nat, _) in golden.items()} == {
        uuid: company for uuid, (_, company) in golden.items()
    }


def test_companies_do_not_depend_on_who_came_before() -> None:
    uuids = [UUID(person["login"]["uuid"]) for person in PEOPLE]
    forwards = [steps.company(uuid, "DE") for uuid in uuids]
    assert [steps.company(uuid, "DE") for uuid in reversed(uuids)] == forwards[::-1]


def test_every_nationality_has_a_locale_that_names_companies() -> None:
    assert set(steps.LOCALES) == set(NATIONALITIES)
    for nationality in (*NATIONALITIES, "XX"):
        assert steps.company(UUID(int=1), nationality)
