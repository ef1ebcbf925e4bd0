"""Bad input: what anybody may put into a topic, case by case, and how a foreign producer gets it there."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple
from uuid import UUID, uuid4

from kafka import KafkaProducer
from kafka.record.default_records import DefaultRecordBatchBuilder

from conftest import DATA
from pipeline.settings import Settings

PEOPLE: list[dict[str, Any]] = json.loads((DATA / "randomuser_200.json").read_text(encoding="utf-8"))["results"]
MOMENT = 1_700_000_000_123
SQL = "'; DROP TABLE pipeline.users; --"
HTML = "<script>alert(1)</script>&amp;<b>\\u0041"

Header = tuple[bytes, bytes | None]


class Bad(NamedTuple):
    """A case: what it puts into a topic for the person ``uuid``; ``valid``: a person who is to be stored."""

    name: str
    value: bytes | None
    uuid: UUID
    valid: bool = False
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


def _json(thing: Any) -> bytes:
    return json.dumps(thing, ensure_ascii=False).encode()


def cases() -> list[Bad]:
    """Every case once, each with a person of its own."""
    made: list[Bad] = []

    def add(name: str, value: bytes | Any | None, uuid: UUID | None = None, **more: Any) -> None:
        given = value if value is None or isinstance(value, bytes) else _json(value)
        made.append(Bad(name, given, uuid or uuid4(), **more))

    def changed(case: str, valid: bool = False, **changes: Any) -> None:
        uuid = uuid4()
        add(case, somebody(uuid, **changes), uuid, valid=valid)

    def raw(case: str, marked: str, by: str, valid: bool = False, **changes: Any) -> None:
        """Something that no JSON library writes."""
        uuid = uuid4()
        text = json.dumps(somebody(uuid, **changes))
        assert marked in text
        add(case, text.replace(marked, by).encode("utf-8", "surrogatepass"), uuid, valid=valid)

    add("not UTF-8", b"\xff\xfe\x00{}")
    raw("not UTF-8 inside a text", '"MARK"', '"a\udc80b"', phone="MARK")
    add("not JSON", b"{not json")
    add("JSON cut off", _json(somebody(uuid4()))[:-7])
    add("two JSON values", b"{} {}")
    add("an array", [somebody(uuid4())])
    add("null", b"null")
    add("a number", b"42")
    changed("no uuid", login={"username": "somebody"})
    changed("a malformed uuid", login={"uuid": "not-a-uuid", "username": "somebody"})
    changed("a uuid that is a number", login={"uuid": 5, "username": "somebody"})
    changed("wrong types", name="Alice", phone=[1, 2], email={"a": 1})
    changed("a text as a number", location__street__number="857")
    raw("a number of 400 digits", '"MARK"', "1" * 400, location__street__number="MARK")
    raw("a number of 400 digits in a field of its own", '"MARK"', "1" * 400, valid=True, shoe="MARK")
    raw("a number of 5000 digits in a field of its own", '"MARK"', "1" * 5000, valid=True, shoe="MARK")
    raw("a number too large for a double in a field of its own", '"MARK"', "1e400", valid=True, shoe="MARK")
    raw("a number too large for PostgreSQL in a field of its own", '"MARK"', "1e200000", shoe="MARK")
    raw("NaN", '"MARK"', "NaN", location__postcode="MARK")
    raw("NaN in a field of its own", '"MARK"', "NaN", shoe="MARK")
    raw("Infinity in a field of its own", '"MARK"', "-Infinity", shoe="MARK")
    changed("\\u0000", phone="a\0b")
    changed("\\u0000 in the name of a field of its own", **{"a\0b": 1})
    raw("a lone surrogate", "MARK", "\\ud800", phone="MARK")
    raw("a lone surrogate in a field of its own", "MARK", "x\\udfff", shoe="MARK")
    raw("a pair of surrogates", "MARK", "\\ud83d\\ude00", valid=True, phone="MARK")
    add("20,000 levels", b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}")
    raw("20,000 levels in a field of its own", '"MARK"', "[" * 20_000 + "]" * 20_000, shoe="MARK")
    raw("500 levels in a field of its own", '"MARK"', "[" * 500 + "]" * 500, valid=True, shoe="MARK")
    uuid = uuid4()
    text = json.dumps(somebody(uuid))
    add("duplicate keys", ('{"phone":"first","phone":"second",' + text[1:-1] + ',"phone":"last"}').encode(), uuid,
        valid=True)  # fmt: skip
    changed("an impossible date", dob__date="2023-02-30T00:00:00Z")
    changed("a date without a time zone", registered__date="2023-02-03T00:00:00")
    changed("a date before the calendar", dob__date="0000-01-01T00:00:00Z")
    changed("a date at the end of the calendar", dob__date="9999-12-31T23:59:59Z")
    changed("an impossible place", location__coordinates__latitude="91.0")
    changed("another gender", gender="both")
    changed("a country of three letters", nat="DEU")
    add("an empty message", b"")
    add("a tombstone", None)
    add("spaces", b"   ")
    for name, hurt in (("SQL in every text", SQL), ("HTML in every text", HTML)):
        uuid = uuid4()
        add(name, full_of(hurt, uuid), uuid, valid=True)
    changed("control characters in a text", valid=True, phone="a\tb\nc\\N\r\x01\x7f\\.")

    def headers(name: str, *given: Header, key: bytes | None = b"", timestamp_ms: int = MOMENT) -> None:
        uuid = uuid4()
        add(name, somebody(uuid), uuid, valid=True, headers=given, key=key, timestamp_ms=timestamp_ms)

    headers("no headers")
    headers("headers without a value", (b"fetch-id", None), (b"source", None), (b"x", None))
    headers("headers that are not UTF-8", (b"fetch-id", b"\xff\xfe"), (b"source", b"\x00"), (b"x", b"\xff"))
    headers("a header whose name is not UTF-8", (b"\xff\xfename", b"x"), (b"source", b"forged"))
    headers("a header whose name is empty or has U+0000", (b"", b"x"), (b"a\0b", b"y"))
    headers("a fetch-id of 100,000 letters", (b"fetch-id", b"f" * 100_000))
    headers("headers of a refusal, forged", (b"stage", b"forged"), (b"reason", b"x" * 5000), (b"origin-offset", b"-1"))
    headers("a replay of nothing, forged", (b"replay-of", b"999999999999"), (b"replay-of", b"x"))
    headers("a thousand headers", *((b"h%d" % number, b"v") for number in range(1000)))
    headers("a key of other bytes", key=b"\xff\x00key")
    headers("no key", key=None)
    uuid = uuid4()
    add("a timestamp before 1970", somebody(uuid), uuid, valid=True, timestamp_ms=-1)
    return made


def large(size: int, uuid: UUID) -> bytes:
    """A valid person of ``size`` bytes that no compression makes smaller."""
    import base64
    import random

    person = json.dumps(somebody(uuid, shoe=""))
    bulk = base64.b64encode(random.Random(uuid.int).randbytes(size)).decode()[: size - len(person)]
    return json.dumps(somebody(uuid, shoe=bulk)).encode()


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
    """``send(topic, bad)``; everything has arrived when the block ends."""
    from kafka.record import memory_records

    own = memory_records.DefaultRecordBatchBuilder
    memory_records.DefaultRecordBatchBuilder = _AnyHeaders
    producer = KafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, acks="all", max_request_size=50_000_000, linger_ms=50, **more
    )
    sent = []

    def send(topic: str, bad: Bad, usual: Iterable[Header] = ()) -> None:
        ticket = uuid4().hex
        _AnyHeaders.given[ticket] = tuple(usual) if bad.headers is None else bad.headers
        sent.append(
            producer.send(
                topic,
                key=str(bad.uuid).encode() if bad.key == b"" else bad.key,
                value=bad.value,
                timestamp_ms=bad.timestamp_ms,
                headers=[("ticket", ticket.encode())],
            )
        )

    try:
        yield send
        for one in sent:
            one.get(timeout=60)
    finally:
        producer.close(timeout=10)
        memory_records.DefaultRecordBatchBuilder = own
        _AnyHeaders.given.clear()
