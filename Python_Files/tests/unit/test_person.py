"""The record: what is taken, what is refused and why, and that nothing else of it changes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Rejected
from pipeline.person import CREDENTIALS, Person, decode, unknown_fields, with_field, without_credentials

PEOPLE = json.loads((Path(__file__).parents[1] / "data" / "randomuser_200.json").read_text(encoding="utf-8"))["results"]


def encoded(person: Any) -> bytes:
    return json.dumps(person, ensure_ascii=False, separators=(",", ":")).encode()


def changed(path: str, value: Any) -> bytes:
    person = copy.deepcopy(PEOPLE[0])
    *way, last = path.split(".")
    part = person
    for name in way:
        part = part[name]
    part[last] = value
    return encoded(person)


def test_every_one_of_the_200_real_people_is_taken() -> None:
    for person in PEOPLE:
        assert str(decode(encoded(without_credentials(person)), Person).login.uuid) == person["login"]["uuid"]


def test_postcodes_are_taken_as_they_are() -> None:
    for person in PEOPLE:
        assert decode(encoded(person), Person).location.postcode == person["location"]["postcode"]
    assert decode(changed("location.postcode", "0071"), Person).location.postcode == "0071"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),  # a tombstone
        (b"", "empty"),
        (b"\xff\xfe{}", "not_utf8"),
        (b"{", "not_json"),
        (b"nonsense", "not_json"),
        (b"null", "wrong_shape"),
        (b"[]", "wrong_shape"),
        (b"{}", "wrong_shape"),
        (b'"text"', "wrong_shape"),
        (b"[" * 20_000 + b"]" * 20_000, "wrong_shape"),
        (b'{"gender":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "wrong_shape"),
        (b'{"unknown":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "too_deep"),
        (changed("login.uuid", "not-a-uuid"), "wrong_shape"),
        (changed("login.uuid", None), "wrong_shape"),
        (changed("gender", 5), "wrong_shape"),
        (changed("nat", "us"), "wrong_shape"),
        (changed("nat", "USA"), "wrong_shape"),
        (changed("dob.date", "2023-02-30T00:00:00.000Z"), "wrong_shape"),  # an impossible date
        (changed("dob.date", "2023-02-20T00:00:00.000"), "wrong_shape"),  # a moment nowhere
        (changed("registered.date", "0001-01-01T00:00:00+05:00"), "wrong_shape"),  # no moment of our calendar in UTC
        (changed("registered.date", "9999-12-31T23:00:00-05:00"), "wrong_shape"),
        (changed("location.coordinates.latitude", "north"), "wrong_shape"),
        (changed("location.coordinates.latitude", "NaN"), "wrong_shape"),
        (changed("location.postcode", -1), "wrong_shape"),
        (changed("location.postcode", 10**400), "wrong_shape"),  # a number of 400 digits
        (changed("location.street.number", 2**31), "wrong_shape"),  # PostgreSQL's integer ends before
        (changed("location.street.number", 1.5), "wrong_shape"),
        (encoded(PEOPLE[0]).replace(b'"age":48', b'"age":NaN'), "not_json"),
        (changed("name.first", "a\0b"), "nul_character"),
        (encoded(PEOPLE[0]).replace(b'"Rachel"', b'"\\ud800"'), "not_json"),  # a lone surrogate
    ],
)
def test_what_is_no_person_is_refused_with_its_reason(value: bytes | None, reason: str) -> None:
    with pytest.raises(Rejected) as refused:
        decode(value, Person)
    assert refused.value.reason == reason
    assert refused.value.message


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert decode(changed("name.first", "C:\\u0000"), Person).name.first == "C:\\u0000"


def test_html_sql_and_persian_are_taken_as_they_are() -> None:
    for name in ("<script>alert(1)</script>", "'); DROP TABLE users; --", "سپهر\u200cداد"):
        assert decode(changed("name.first", name), Person).name.first == name


def test_credentials_go_and_all_else_stays() -> None:
    for person in PEOPLE:
        kept = without_credentials(person)
        assert not CREDENTIALS & kept["login"].keys()
        assert {**kept, "login": {**kept["login"], **{n: person["login"][n] for n in CREDENTIALS}}} == person


def test_a_field_is_added_at_the_end_and_no_other_byte_changes() -> None:
    value = b'{"a":1.10,"b" : "\\u00e4", "c":[1e3, 2]}'
    assert with_field(value, "d", 'x"') == b'{"a":1.10,"b":"\\u00e4","c":[1e3, 2],"d":"x\\""}'


def test_a_field_that_is_there_is_replaced_so_that_a_replay_is_the_same() -> None:
    once = with_field(b'{"a":1}', "d", "x")
    assert with_field(once, "d", "x") == once


def test_fields_without_a_column_are_kept() -> None:
    person = {**PEOPLE[0], "shoe": {"size": 43}}
    assert {name: bytes(raw) for name, raw in unknown_fields(encoded(person)).items()} == {"shoe": b'{"size":43}'}
    assert unknown_fields(encoded(PEOPLE[0])) == {}
