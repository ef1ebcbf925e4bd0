"""Bad input: what anybody may put into a topic, case by case, and how a foreign producer gets it there."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple
from uuid import UUID, uuid4

from hypothesis import strategies as st
from kafka import KafkaProducer
from kafka.record.default_records import DefaultRecordBatchBuilder

from conftest import DATA
from pipeline import topics
from pipeline.settings import Settings

PEOPLE: list[dict[str, Any]] = json.loads((DATA / "randomuser_200.json").read_text(encoding="utf-8"))["results"]
MOMENT = 1_700_000_000_123
SQL = "'; DROP TABLE pipeline.users; --"
HTML = "<script>alert(1)</script>&amp;<b>\\u0041"

Header = tuple[bytes, bytes | None]


class Bad(NamedTuple):
    """A case: what it puts into a topic for the person ``uuid``.

    ``reason``: as what it is to be refused; none: this is a person, who is to be stored. ``only``: the one stage that
    refuses it, while the other store takes the person.
    """

    name: str
    value: bytes | None
    uuid: UUID
    reason: str = ""
    only: str = ""
    headers: tuple[Header, ...] | None = None
    """None: the usual ones."""
    key: bytes | None = b""
    """Empty: the uuid, as usual."""
    timestamp_ms: int = MOMENT


def somebody(uuid: UUID, /, **changed: Any) -> dict[str, Any]:
    """A person in the shape of users.labelled, which the topics before it take too."""
    person = copy.deepcopy(PEOPLE[0])
    login = {"uuid": str(uuid), "username": "somebody"}
    person |= {"login": login, "fetched_at": "2023-11-14T22:13:20.123Z", "company": "Company"}
    for path, value in changed.items():
        *outer, last = path.split("__")
        place = person
        for step in outer:
            place = place[step]
        place[last] = value
    return person


def texts(thing: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every field of text in a person that a person could have written, with where it stands."""
    kept = {"uuid", "date", "fetched_at", "nat", "gender", "latitude", "longitude", "large", "medium", "thumbnail"}
    for name, value in thing.items():
        if isinstance(value, dict):
            yield from texts(value)
        elif isinstance(value, str) and name not in kept:
            yield thing, name


def full_of(text: str, uuid: UUID) -> dict[str, Any]:
    person = somebody(uuid)
    for place, name in texts(person):
        place[name] = text
    return person


class _Cases:
    """Collects cases, each with a person of its own."""

    def __init__(self) -> None:
        self.made: list[Bad] = []

    def add(self, name: str, reason: str, value: Any, uuid: UUID | None = None, **more: Any) -> None:
        """A value: bytes and None as they are, else as JSON."""
        given = value if value is None or isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
        self.made.append(Bad(name, given, uuid or uuid4(), reason, **more))

    def field(self, case: str, reason: str, only: str = "", /, **changes: Any) -> None:
        """A person with some fields changed."""
        uuid = uuid4()
        self.add(case, reason, somebody(uuid, **changes), uuid, only=only)

    def raw(self, case: str, reason: str, by: str, only: str = "", /, text: bool = False, **changes: Any) -> None:
        """A person with ``by`` in the place of MARK, which no library of JSON would write there."""
        uuid = uuid4()
        marked = json.dumps(somebody(uuid, **changes))
        assert "MARK" in marked
        value = marked.replace("MARK" if text else '"MARK"', by).encode("utf-8", "surrogateescape")
        self.add(case, reason, value, uuid, only=only)

    def headers(self, case: str, *given: Header, **more: Any) -> None:
        """A good person in odd company."""
        uuid = uuid4()
        self.add(case, "", somebody(uuid), uuid, headers=given, **more)


def cases() -> list[Bad]:
    """Every case once."""
    made = _Cases()
    _add_no_people(made)
    _add_wrong_people(made)
    _add_odd_people(made)
    _add_odd_headers(made)
    return made.made


def _add_no_people(made: _Cases) -> None:
    whole = json.dumps(somebody(uuid4())).encode()
    made.add("not UTF-8", "not_utf8", b"\xff\xfe\x00{}")
    made.add("not JSON", "not_json", b"{not json")
    made.add("JSON cut off", "not_json", whole[:-7])
    made.add("a person and more", "not_json", whole + b" {}")
    made.add("an array", "wrong_shape", b"[" + whole + b"]")
    made.add("null", "wrong_shape", b"null")
    made.add("a number", "wrong_shape", b"42")
    made.add("20,000 levels", "too_deep", b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}")
    made.add("an empty message", "empty", b"")
    made.add("a tombstone", "empty", None)
    made.add("spaces", "not_json", b"   ")


def _add_wrong_people(made: _Cases) -> None:
    made.field("no uuid", "wrong_shape", login={"username": "somebody"})
    made.field("a malformed uuid", "wrong_shape", login={"uuid": "not-a-uuid", "username": "somebody"})
    made.field("a uuid that is a number", "wrong_shape", login={"uuid": 5, "username": "somebody"})
    made.field("wrong types", "wrong_shape", name="Alice", phone=[1, 2], email={"a": 1})
    made.field("a text as a number", "wrong_shape", location__street__number="857")
    made.raw("a number of 400 digits", "wrong_shape", "1" * 400, location__street__number="MARK")
    made.raw("NaN", "not_json", "NaN", location__postcode="MARK")
    made.raw("NaN in a further field", "not_json", "NaN", shoe="MARK")
    made.raw("Infinity in a further field", "not_json", "-Infinity", shoe="MARK")
    made.raw("a number beyond PostgreSQL's", "refused_by_database", "1e200000", topics.TO_POSTGRESQL, shoe="MARK")
    made.raw("not UTF-8 in a text", "not_utf8", "a\udc80b", text=True, phone="MARK")
    made.field("\\u0000", "nul_character", phone="a\0b")
    made.field("\\u0000 in a further field's name", "nul_character", **{"a\0b": 1})
    made.raw("a lone surrogate", "not_json", "\\ud800", text=True, phone="MARK")
    made.raw("a lone surrogate in a further field", "not_json", "x\\udfff", text=True, shoe="MARK")
    made.raw("20,000 levels in a further field", "too_deep", "[" * 20_000 + "]" * 20_000, shoe="MARK")
    made.field("an impossible date", "wrong_shape", dob__date="2023-02-30T00:00:00Z")
    made.field("a date without a time zone", "wrong_shape", registered__date="2023-02-03T00:00:00")
    made.field("a date before the calendar", "wrong_shape", dob__date="0000-01-01T00:00:00Z")
    made.field("a date at the end of the calendar", "wrong_shape", dob__date="9999-12-31T23:59:59Z")
    made.field("an impossible place", "wrong_shape", location__coordinates__latitude="91.0")
    made.field("another gender", "wrong_shape", gender="both")
    made.field("a country of three letters", "wrong_shape", nat="DEU")
    made.field("a country that NocoDB has no choice for", "refused_by_nocodb", topics.TO_NOCODB, nat="ZZ")


def _add_odd_people(made: _Cases) -> None:
    made.raw("a further number of 400 digits", "", "1" * 400, shoe="MARK")
    made.raw("a further number of 5000 digits", "", "1" * 5000, shoe="MARK")
    made.raw("a further number too large for a double", "", "1e400", shoe="MARK")
    made.raw("a further field of 500 levels", "", "[" * 500 + "]" * 500, shoe="MARK")
    made.raw("a pair of surrogates", "", "\\ud83d\\ude00", text=True, phone="MARK")
    uuid = uuid4()
    text = json.dumps(somebody(uuid))
    made.add("duplicate keys", "", f'{{"phone":"first",{text[1:-1]},"phone":"last"}}'.encode(), uuid)
    for name, hurt in (("SQL in every text", SQL), ("HTML in every text", HTML)):
        uuid = uuid4()
        made.add(name, "", full_of(hurt, uuid), uuid)
    made.field("control characters in a text", "", phone="a\tb\nc\\N\r\x01\x7f\\.")


def _add_odd_headers(made: _Cases) -> None:
    made.headers("no headers")
    made.headers("headers without a value", (b"fetch-id", None), (b"source", None), (b"x", None))
    made.headers("headers that are not UTF-8", (b"fetch-id", b"\xff\xfe"), (b"source", b"\x00"), (b"x", b"\xff"))
    made.headers("a header's name that is not UTF-8", (b"\xff\xfename", b"x"), (b"source", b"forged"))
    made.headers("a header's name empty or with U+0000", (b"", b"x"), (b"a\0b", b"y"))
    made.headers("a fetch-id of 100,000 letters", (b"fetch-id", b"f" * 100_000))
    made.headers("a refusal, forged", (b"stage", b"forged"), (b"reason", b"x" * 5000), (b"origin-offset", b"-1"))
    made.headers("a replay, forged", (b"replay-of", b"1"), (b"replay-of", b"x"))
    made.headers("a replay of nothing, forged", (b"replay-of", b"9" * 19))
    made.headers("a thousand headers", *((b"h%d" % number, b"v") for number in range(1000)))
    made.headers("a key of other bytes", key=b"\xff\x00key")
    made.headers("no key", key=None)
    made.headers("a timestamp before 1970", timestamp_ms=-1)


def large(size: int) -> Bad:
    """A valid person of ``size`` bytes that no compression makes smaller by more than a quarter."""
    uuid = uuid4()
    begin = json.dumps(somebody(uuid, shoe=""))
    letters = base64.b64encode(random.Random(uuid.int).randbytes(size)).decode()
    return Bad(f"{size:,} bytes", json.dumps(somebody(uuid, shoe=letters[: size - len(begin)])).encode(), uuid)


def blown_up(size: int) -> Bad:
    """A valid person of ``size`` bytes that are nearly none when they are compressed."""
    uuid = uuid4()
    return Bad(f"{size:,} bytes, compressed", json.dumps(somebody(uuid, shoe="x" * size)).encode(), uuid)


class _AnyHeaders(DefaultRecordBatchBuilder):  # type: ignore[misc]
    """What a client in another language may send: names that are no UTF-8, and headers without a value."""

    given: ClassVar[dict[str, tuple[Header, ...]]] = {}

    def append(self, offset: int, timestamp: int, key: Any, value: Any, headers: Any, **_: Any) -> Any:
        # The client passes a ticket; here are the headers that it stands for.
        tickets = [told for told in headers if told[0] == "ticket"]
        if not tickets:
            return super().append(offset, timestamp, key, value, headers)
        found = self.given[tickets[0][1].decode()]
        return super().append(offset, timestamp, key, value, [(_Name(name), told) for name, told in found])


class _Name:
    def __init__(self, name: bytes) -> None:
        self._name = name

    def encode(self, _: str) -> bytes:
        return self._name


@contextmanager
def foreign_producer(settings: Settings, **more: Any) -> Iterator[Any]:
    """``send(topic, bad)`` gives a future that says where it stands; everything has arrived when the block ends."""
    from kafka.record import memory_records

    own = memory_records.DefaultRecordBatchBuilder
    memory_records.DefaultRecordBatchBuilder = _AnyHeaders
    producer = KafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, acks="all", max_request_size=50_000_000, linger_ms=50, **more
    )
    sent = []

    def send(topic: str, bad: Bad, usual: Iterable[Header] = ()) -> Any:
        ticket = uuid4().hex
        _AnyHeaders.given[ticket] = tuple(usual) if bad.headers is None else bad.headers
        future = producer.send(
            topic,
            key=str(bad.uuid).encode() if bad.key == b"" else bad.key,
            value=bad.value,
            timestamp_ms=bad.timestamp_ms,
            headers=[("ticket", ticket.encode())],
        )
        sent.append(future)
        return future

    try:
        yield send
        for one in sent:
            one.get(timeout=60)
    finally:
        producer.close(timeout=10)
        memory_records.DefaultRecordBatchBuilder = own
        _AnyHeaders.given.clear()


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> Bad:
    """A person hurt at random: other values in some fields, other bytes in the text, or no person at all."""
    uuid = uuid4()
    thing = somebody(uuid)
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        place: Any = thing
        while True:
            name = draw(st.sampled_from(sorted(place)))
            if not isinstance(place[name], dict) or not place[name] or name == "login" or draw(st.booleans()):
                break
            place = place[name]
        if name != "login":
            place[name] = draw(_anything)
    if draw(st.booleans()):
        thing[draw(st.text(max_size=8))] = draw(_anything)
    thing["login"] = {"uuid": str(uuid), "username": draw(st.text(max_size=8))}
    value = json.dumps(thing, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        # Not within the uuid: it would be somebody else, whom nobody looks for.
        kept = value.index(str(uuid).encode())
        at = draw(st.integers(0, len(value) - 1).filter(lambda at: not kept - 2 <= at <= kept + 38))
        value = value[:at] + draw(st.binary(max_size=4)) + value[at + draw(st.integers(0, 1)) :]
    return Bad("made by chance", draw(st.binary(max_size=50)) if draw(st.integers(0, 9)) == 0 else value, uuid)
