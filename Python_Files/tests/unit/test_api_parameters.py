"""Parameters of the read API: what is wrong is refused by its name, and what is right is read as it was meant."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api import lists, parameters, users
from pipeline.api.answers import Refusal
from pipeline.api.bound import Bound

DECLARED = users._DECLARED


def read(query: str | bytes) -> dict[str, object]:
    return parameters.read(query.encode() if isinstance(query, str) else query, DECLARED)


def test_nothing_given_is_the_first_ten_newest_first() -> None:
    values = read("")
    assert (values["page"], values["limit"], values["sort"]) == (1, 10, "-fetched_at")
    assert {name for name, value in values.items() if value is not None} == {"page", "limit", "sort"}


@pytest.mark.parametrize(
    ("query", "name", "told"),
    [
        ("page=0", "page", "from 1"),
        ("page=-1", "page", "from 1"),
        ("page=1.5", "page", "whole number"),
        ("page=", "page", "whole number"),
        ("page", "page", "whole number"),
        ("page=%D9%A1", "page", "whole number"),  # a digit one, in Arabic
        ("page=99999999999999999999999999", "page", "whole number"),
        ("limit=101", "limit", "to 100"),
        ("limit=0", "limit", "to 100"),
        ("limit=ten", "limit", "to 100"),
        ("sort=email", "sort", "one of"),
        ("sort=uuid;DROP TABLE users", "sort", "one of"),
        ("nationality=de", "nationality", "capital"),
        ("nationality=DEU", "nationality", "capital"),
        ("nationality=D%0A", "nationality", "capital"),
        ("gender=other", "gender", "female, male"),
        ("company=", "company", "1 to 200"),
        (f"company={'x' * 201}", "company", "1 to 200"),
        ("company=a%00b", "company", "1 to 200"),  # PostgreSQL's text has no U+0000
        ("search=ab", "search", "3 to 100"),
        ("fetched_since=yesterday", "fetched_since", "time zone"),
        ("fetched_since=2026-11-21T08:00:00", "fetched_since", "time zone"),  # of which place?
        ("fetched_since=2026-02-30T08:00:00Z", "fetched_since", "time zone"),
        ("fetched_until=2026-11-21", "fetched_until", "time zone"),
        ("as_of=1", "as_of", "time zone"),
        ("page=1&page=1", "page", "more than once"),
        ("page=1&%70age=2", "page", "more than once"),
        ("pages=2", "pages", "no parameter"),
        ("PAGE=2", "PAGE", "no parameter"),
        ("company=%ff%fe", "company", "not UTF-8"),
        ("company=%C3", "company", "not UTF-8"),
        ("%ff=1", "query", "not UTF-8"),
        (f"company={'x' * 5000}", "query", "4096"),
    ],
)
def test_what_is_wrong_is_refused_with_400_by_its_name(query: str, name: str, told: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(query)
    assert caught.value.status == 400
    assert caught.value.parameter == name
    assert told in caught.value.message


def test_bytes_that_are_not_escaped_are_read_all_the_same() -> None:
    assert read("company=Müller & Co".replace("&", "%26"))["company"] == "Müller & Co"
    with pytest.raises(Refusal, match="not UTF-8"):
        read(b"company=\xff")


@pytest.mark.parametrize(
    "text",
    ["2026-11-21T08:00:00Z", "2026-11-21T09:00:00+01:00", "2026-11-21T09:00:00%2B01:00", "2026-11-21t08:00:00.000z"],
)
def test_a_moment_is_the_same_however_its_zone_is_written(text: str) -> None:
    assert read(f"fetched_since={text}")["fetched_since"] == datetime(2026, 11, 21, 8, tzinfo=UTC)


def test_html_and_sql_are_mere_text() -> None:
    for text in ("<script>alert(1)</script>", "' OR 1=1 --", "%(uuid)s", "100%_\\"):
        assert read(f"company={quote(text)}")["company"] == text


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_or_refused(raw: bytes) -> None:
    refused, values = None, {}
    try:
        values = parameters.read(raw, DECLARED)
    except Refusal as refusal:
        refused = refusal
    assert (refused.status == 400 and refused.parameter) if refused else set(values) == {one.name for one in DECLARED}


@given(st.text(min_size=1, max_size=200).filter(lambda text: "\0" not in text))
def test_every_text_comes_through_unchanged(text: str) -> None:
    assert parameters.read(f"company={quote(text)}".encode(), DECLARED)["company"] == text


def test_every_parameter_is_described_with_its_default() -> None:
    described = {one["name"]: one for one in parameters.described(*DECLARED)["parameters"]}
    assert described["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}
    assert all(one["description"] for one in described.values())
    assert [one.name for one in lists.COMMON] == ["page", "limit", "as_of"]


def test_the_bound_says_when_to_come_again() -> None:
    moment = [0.0]
    bound = Bound(2, 60, now=lambda: moment[0])
    bound.take("fetches")
    moment[0] = 20.5
    bound.take("fetches")
    with pytest.raises(Refusal) as caught:
        bound.take("fetches")
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "40"})
    moment[0] = 60.0
    bound.take("fetches")
