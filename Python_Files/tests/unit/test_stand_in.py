"""The stand-in keeps the contract of the API, with its traps."""

from __future__ import annotations

import json
import struct
import unicodedata
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from pipeline.settings import NATIONALITIES
from pipeline.stand_in import FAULT_KINDS, PORTRAIT_TYPE, api, portrait, serving, some_people
from pipeline.stand_in.server import StandIn

NOW = datetime(2026, 11, 21, tzinfo=UTC)
REAL = json.loads((Path(__file__).parents[1] / "data" / "randomuser_200.json").read_bytes())


def leaves(thing: Any, path: str = "") -> list[str]:
    if isinstance(thing, dict):
        return [leaf for key, value in thing.items() for leaf in leaves(value, f"{path}.{key}")]
    return [path]


@pytest.fixture(scope="module")
def server() -> Any:
    with serving(window_records=10**9) as running:
        yield running


@pytest.fixture(scope="module")
def crowd() -> list[dict[str, Any]]:
    return some_people(4000, "crowd", now=NOW)


def ask(server: StandIn, **query: Any) -> dict[str, Any]:
    answer = requests.get(server.url, params=query, timeout=10)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_record_has_the_real_keys_in_the_real_order(crowd: list[dict[str, Any]]) -> None:
    shape = leaves(REAL["results"][0])
    assert len(shape) == 34
    assert all(leaves(person) == shape for person in crowd)


@pytest.mark.parametrize("nationality", NATIONALITIES)
def test_types_and_id_names_are_those_of_the_real_people(nationality: str) -> None:
    real = [person for person in REAL["results"] if person["nat"] == nationality]
    assert real
    for person in some_people(20, "types", nationalities=[nationality], now=NOW):
        assert person["nat"] == nationality
        assert type(person["location"]["postcode"]) is type(real[0]["location"]["postcode"])
        assert person["id"]["name"] == real[0]["id"]["name"]
        assert (person["id"]["value"] is None) == (real[0]["id"]["value"] is None)
        assert person["location"]["country"] == real[0]["location"]["country"]


def test_the_same_seed_and_page_give_the_same_people_but_for_their_ages() -> None:
    later = datetime(2031, 1, 1, tzinfo=UTC)
    before, after = some_people(50, "s", 3, now=NOW), some_people(50, "s", 3, now=later)
    assert before != after
    for person in (*before, *after):
        del person["dob"]["age"], person["registered"]["age"]
    assert before == after


def test_a_known_person_is_known_for_ever() -> None:
    person = some_people(1, "golden", 1, now=NOW)[0]
    assert [person["login"]["uuid"], person["name"]["first"], person["nat"], person["picture"]["large"]] == GOLDEN


GOLDEN = ["ccf1df16-3f59-479d-b88e-b33659852d67", "Matilda", "AU", "https://randomuser.me/api/portraits/women/7.jpg"]


def test_the_first_ten_of_two_hundred_are_the_ten_and_other_pages_are_others() -> None:
    assert some_people(200, "s", now=NOW)[:10] == some_people(10, "s", now=NOW)
    first, second = ({p["login"]["uuid"] for p in some_people(20, "s", page, now=NOW)} for page in (1, 2))
    assert not first & second
    # the API's own trap: seed and page are joined
    assert some_people(2, "s1", 2, now=NOW) == some_people(2, "s", 12, now=NOW)


def test_uuids_are_unique_and_records_have_the_real_size(crowd: list[dict[str, Any]]) -> None:
    assert len({person["login"]["uuid"] for person in crowd}) == len(crowd)
    sizes = [len(json.dumps(person, ensure_ascii=False, separators=(",", ":")).encode()) for person in crowd]
    assert 1050 <= sum(sizes) / len(sizes) <= 1130
    assert min(sizes) >= 980
    assert max(sizes) <= 1250


def test_all_nationalities_come_with_names_in_their_own_scripts(crowd: list[dict[str, Any]]) -> None:
    assert {person["nat"] for person in crowd} == set(NATIONALITIES)
    for nationality, script in {"IR": "ARABIC", "UA": "CYRILLIC", "IN": "DEVANAGARI", "TR": "LATIN"}.items():
        names = {person["name"]["first"][0] for person in crowd if person["nat"] == nationality}
        assert names
        assert all(unicodedata.name(letter).startswith(script) for letter in names)


def test_the_traps_of_the_text_are_there(crowd: list[dict[str, Any]]) -> None:
    text = json.dumps(crowd, ensure_ascii=False)
    streets = [person["location"]["street"]["name"] for person in crowd]
    assert "\u200c" in text  # Persian zero-width non-joiner
    assert any(street != street.strip() for street in streets)
    assert any("'" in person["email"] for person in crowd)
    assert any("'" in person["name"]["last"] for person in crowd)
    assert any('""' in person["location"]["city"] for person in crowd)
    assert any(person["login"]["password"] == "" for person in crowd)
    norwegians = [person["location"]["postcode"] for person in crowd if person["nat"] == "NO"]
    assert any(code.startswith("0") for code in norwegians)


@pytest.mark.parametrize("results", ["0", "5001", "abc", "-1", "1.5", ""])
def test_results_out_of_range_give_one_record(server: StandIn, results: str) -> None:
    answer = ask(server, results=results, seed="s")
    assert (len(answer["results"]), answer["info"]["results"]) == (1, 1)


def test_results_may_be_written_as_the_service_reads_numbers(server: StandIn) -> None:
    assert len(ask(server, results="1e3", seed="s")["results"]) == 1000


@pytest.mark.parametrize("page", ["0", "10001", "abc", "-3"])
def test_a_page_out_of_range_is_answered_as_page_one(server: StandIn, page: str) -> None:
    answer = ask(server, results=3, seed="s", page=page)
    assert answer["info"]["page"] == 1
    assert answer["results"] == ask(server, results=3, seed="s")["results"]


def test_one_wrong_nationality_lets_the_whole_filter_be_ignored(server: StandIn) -> None:
    assert {p["nat"] for p in ask(server, results=60, seed="s", nat="no,GB")["results"]} == {"NO", "GB"}
    assert len({p["nat"] for p in ask(server, results=60, seed="s", nat="no,xx")["results"]}) > 5


def test_gender_counts_only_without_a_seed(server: StandIn) -> None:
    assert {p["gender"] for p in ask(server, results=40, gender="female")["results"]} == {"female"}
    assert {p["gender"] for p in ask(server, results=40, gender="female", seed="s")["results"]} == {"female", "male"}


def test_inc_and_exc_choose_fields_without_changing_the_people(server: StandIn) -> None:
    whole = ask(server, results=5, seed="s")["results"]
    assert ask(server, results=5, seed="s", inc="name,nat")["results"] == [
        {"name": person["name"], "nat": person["nat"]} for person in whole
    ]
    assert [list(p) for p in ask(server, results=1, seed="s", exc="login,picture")["results"]] == [
        [field for field in whole[0] if field not in ("login", "picture")]
    ]


def test_a_seed_of_eighteen_characters_is_read_as_a_nationality_or_fails(server: StandIn) -> None:
    assert {p["nat"] for p in ask(server, results=9, seed="sixteen-letters-NO")["results"]} == {"NO"}
    assert requests.get(server.url, params={"seed": "x" * 18}, timeout=10).status_code == 500


def test_the_rate_limit_answers_429_without_retry_after_and_ends_with_its_window() -> None:
    time = [1000.0]
    assert api.RateLimit(clock=lambda: time[0]).take("me", 20_000) is None
    assert api.RateLimit(clock=lambda: time[0]).take("me", 20_001) == 20_001
    with serving(clock=lambda: time[0], window_records=20) as server:
        for _ in range(4):
            ask(server, results=5)
        refused = requests.get(server.url, params={"results": 1}, timeout=10)
        assert refused.status_code == 429
        assert "error" in refused.json()
        assert "Retry-After" not in refused.headers
        time[0] += 300
        ask(server, results=1)


def test_another_version_is_not_found_as_plain_text(server: StandIn) -> None:
    answer = requests.get(server.url.replace("1.4", "9.9"), timeout=10)
    assert (answer.status_code, answer.text) == (404, "Not Found")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_every_kind_of_failure_can_be_had_and_ends_after_its_count() -> None:
    for kind in FAULT_KINDS.keys() - {"slow"}:
        with serving(faults=[f"{kind}:1"]) as server:
            try:
                bad = requests.get(server.url, params={"results": 3, "seed": "s"}, timeout=10)
                failed = (
                    bad.status_code != 200
                    or bad.content != requests.get(server.url, params={"results": 3, "seed": "s"}, timeout=10).content
                )
            except requests.RequestException:
                failed = True
            assert failed, kind
            assert len(ask(server, results=3, seed="s")["results"]) == 3, kind


def pixels(png: bytes) -> tuple[int, bytes]:
    """Width and raw RGB bytes; every chunk's checksum is checked."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed, width = 8, b"", 0
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + content)
        if kind == b"IHDR":
            width = struct.unpack(">I", content[:4])[0]
        packed += content if kind == b"IDAT" else b""
        at += 12 + length
    return width, zlib.decompress(packed)


def test_portraits_are_pictures_of_their_own(server: StandIn) -> None:
    seen = {portrait(kind, number, "thumbnail") for kind in ("men", "women") for number in range(100)}
    assert len(seen) == 200
    width, raw = pixels(portrait("women", 63))
    assert width == 256
    assert len(raw) == 256 * (256 * 3 + 1)
    assert len({raw[at : at + 3] for at in range(1, len(raw) - 3, 769)}) > 3
    for path, size in (("women", "large"), ("med/women", "medium"), ("thumb/women", "thumbnail")):
        answer = requests.get(server.url.replace("1.4", f"portraits/{path}").rstrip("/") + "/63.jpg", timeout=10)
        assert answer.headers["Content-Type"] == PORTRAIT_TYPE
        assert answer.content == portrait("women", 63, size)


def test_there_are_no_more_than_two_hundred_portraits(server: StandIn) -> None:
    with pytest.raises(ValueError, match="no portrait"):
        portrait("men", 100)
    assert requests.get(server.url.replace("1.4/", "portraits/men/100.jpg"), timeout=10).status_code == 404
