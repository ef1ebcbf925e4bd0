"""The API's client and the reading of responses, against real loopback servers that really fail."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.person import CREDENTIALS, Person, decode, without_credentials
from pipeline.randomuser import Api, FetchFailed
from pipeline.response import NotAResponse, read, read_person
from pipeline.stand_in import serving

SAMPLE = (Path(__file__).parents[1] / "data" / "randomuser_200.json").read_bytes()
REAL = json.loads(SAMPLE)["results"]


def fetch(url: str, *, attempts: int = 1, seconds: float = 30, read_timeout: float = 10) -> Any:
    with Api(url, connect_timeout=2, read_timeout=read_timeout, sleep=lambda _: None) as api:
        return api.fetch(3, 1, "seed-x", deadline=time.monotonic() + seconds, attempts=attempts)


@contextmanager
def speaking(answer: bytes) -> Iterator[str]:
    """A server that answers every connection with these bytes and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("429", "rate_limited"),
        ("500", "server_error"),
        ("502", "server_error"),
        ("503", "server_error"),
        ("504", "server_error"),
        ("error", "api_error"),
        ("html", "html"),
        ("truncated", "truncated"),
        ("cut", "connection_cut"),
        ("empty", "empty"),
        ("wrong-page", "wrong_page"),
        ("wrong-count", "wrong_count"),
        ("wrong-seed", "wrong_seed"),
        ("slow", "timeout"),
    ],
)
def test_each_failure_is_told_by_its_own_reason(fault: str, reason: str) -> None:
    with serving(faults=[fault]) as server, pytest.raises(FetchFailed) as failed:
        fetch(server.url, read_timeout=0.2 if fault == "slow" else 10)
    assert failed.value.reason == reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "connection_cut"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "not_json"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "wrong_shape"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"results": 1}', "wrong_shape"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"results":[1]}', "wrong_shape"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "unexpected_status"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope", "connection_cut"),
    ],
)
def test_answers_of_no_api_are_told_apart_too(answer: bytes, reason: str) -> None:
    with speaking(answer) as url, pytest.raises(FetchFailed) as failed:
        fetch(url)
    assert failed.value.reason == reason


def test_an_unknown_version_is_not_found_and_nobody_listening_is_unreachable() -> None:
    with serving() as server:
        with pytest.raises(FetchFailed) as failed:
            fetch(server.url.replace("1.4", "7.7"), attempts=5)
        assert failed.value.reason == "not_found"
        gone = server.url
    with pytest.raises(FetchFailed) as failed:
        fetch(gone)
    assert failed.value.reason == "unreachable"
    with pytest.raises(FetchFailed) as failed:
        fetch("http://no-such-host.invalid/")
    assert failed.value.reason == "unreachable"


def test_a_passing_failure_is_tried_again_and_a_rate_limit_is_not() -> None:
    with serving(faults=["503:2", "empty:1"]) as server:
        assert len(fetch(server.url, attempts=10).uuids) == 3
        assert len(server.asked) == 4
    with serving(faults=["429"]) as server:
        with pytest.raises(FetchFailed):
            fetch(server.url, attempts=10)
        assert len(server.asked) == 1


def test_an_answer_that_drips_ends_with_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                while not done.wait(0.01):
                    try:
                        connection.sendall(b"x" * 70_000)
                    except OSError:
                        return

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(FetchFailed) as failed:
            fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/", seconds=0.4)
        done.set()
        assert failed.value.reason in ("timeout", "too_large")
        assert time.monotonic() - began < 5


def test_retries_end_with_the_deadline() -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    with serving(faults=["503"]) as server, Api(server.url, clock=lambda: clock[0], sleep=sleep) as api:
        with pytest.raises(FetchFailed):
            api.fetch(3, 1, "s", deadline=55)
        assert 4 < len(server.asked) < 60
    assert 20 < clock[0] <= 55


def test_what_is_asked_for_stands_in_the_request() -> None:
    with serving() as server, Api(server.url) as api:
        given = api.fetch(7, 2, "a seed&x", ["NO", "IR"], deadline=time.monotonic() + 10)
        assert server.asked == ["/api/1.4/?results=7&page=2&seed=a+seed%26x&nat=no%2Cir"]
    assert {json.loads(person.value)["nat"] for person in given.people} <= {"NO", "IR"}


def test_the_real_people_come_through_whole_and_without_credentials() -> None:
    people = read(SAMPLE, 1).people
    assert len(people) == 200
    for real, person in zip(REAL, people, strict=True):
        assert person.refused is None
        assert person.uuid == real["login"]["uuid"]
        assert json.loads(person.value) == without_credentials(real)
        decode(person.value, Person)
        for name in CREDENTIALS:
            assert f'"{name}"'.encode() not in person.value
        for name in CREDENTIALS - {"password"}:  # a password can be a word that stands elsewhere
            assert real["login"][name].encode() not in person.value


def test_text_and_numbers_are_passed_on_as_they_were_written() -> None:
    record = REAL[0] | {"extra": "@@"}
    text = json.dumps(record).replace('"@@"', '[1.10, 1e2, "\\u00e9\\/", 12345678901234567890123]')
    value = read_person(text.encode()).value
    assert b'"extra":[1.10,1e2,"\\u00e9\\/",12345678901234567890123]' in value


def test_a_pretty_printed_response_becomes_compact() -> None:
    pretty = msgspec.json.format(SAMPLE, indent=2)
    assert [person.value for person in read(pretty, 1).people] == [person.value for person in read(SAMPLE, 1).people]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"7", "not_an_object"),
        (b"[1,2]", "not_an_object"),
        (b"{}", "no_uuid"),
        (b'{"login":{"uuid":"no uuid","password":"hunter2"}}', "no_uuid"),
        (b'{"login":7}', "no_uuid"),
        (b'{"login":{"uuid":"2d1f2a48-02c2-429d-afbf-c7805fedfcca"},"x":"\xff"}', "not_utf8"),
        (b'{"login":{"uuid":"2d1f2a48-02c2-429d-afbf-c7805fedfcca"},"x":"' + b"y" * 1_000_000 + b'"}', "too_large"),
    ],
)
def test_a_record_without_identity_is_refused_with_its_reason(record: bytes, reason: str) -> None:
    person = read_person(record)
    assert person.uuid is None
    assert person.refused is not None
    assert person.refused.reason == reason
    assert b"hunter2" not in person.value
    assert len(person.value) < 2_000
    json.loads(person.value)


def test_one_bad_record_does_not_hold_up_the_others() -> None:
    with serving(faults=["bad-record"]) as server:
        response = fetch(server.url)
    assert [person.refused is None for person in response.people] == [False, True, True]
    assert len(response.uuids) == 2


SECRET = "s3cr3t-w0rd"
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["login", "uuid", "a", "password", "sha1"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.sampled_from(REAL), st.sampled_from(sorted(CREDENTIALS)), values, st.booleans())
def test_no_credential_leaves_in_any_shape(person: Any, name: str, junk: Any, whole: bool) -> None:
    login = {**person["login"], name: SECRET, "more": {name: [SECRET, junk]}}
    record = {**person, "login": login, name: SECRET, "junk": [{name: SECRET}, junk]}
    if not whole:
        del login["uuid"]
    value = read_person(json.dumps(record, ensure_ascii=False).encode()).value
    assert SECRET.encode() not in value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"\n <html>", "html"),
        (SAMPLE[:1000], "truncated"),
        (b'{"error":"oh"}', "api_error"),
        (b'{"results":[],"info":{"seed":"d3adb33f","results":1,"page":1,"version":"1.4"}}', "empty"),
        (b'{"people":[]}', "wrong_shape"),
        (b'{"results":' + b"[" * 100_000, "not_json"),
    ],
)
def test_what_is_no_response_says_why(body: bytes, reason: str) -> None:
    with pytest.raises(NotAResponse) as failed:
        read(body, 1)
    assert failed.value.reason == reason
