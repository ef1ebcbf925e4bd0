"""The client of NocoDB and what it sends, against a small server in this process that answers as NocoDB does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import person, settings, steps
from pipeline.errors import PassingFault
from pipeline.nocodb import columns
from pipeline.nocodb.client import Client, Refused
from pipeline.nocodb.columns import UserRow
from pipeline.nocodb.portraits import Portraits
from pipeline.settings import Settings

PASSWORD = "the-password-of-the-administrator"
SAMPLE = Path(__file__).parents[1] / "data" / "randomuser_200.json"
PEOPLE: list[dict[str, Any]] = json.loads(SAMPLE.read_text(encoding="utf-8"))["results"]

Answer = tuple[int, str, str]


def as_json(status: int, **body: object) -> Answer:
    return status, "application/json", json.dumps(body)


class Double(ThreadingHTTPServer):
    """Signs in whoever has the password, and answers the ``sessions`` that it knows as the test says."""

    def __init__(self) -> None:
        self.answer: Callable[[], Answer] = lambda: as_json(200, list=[])
        self.sessions: set[str] = set()
        self.signed_in = 0
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(
                    double.answer()
                    if self.headers.get("xc-auth") in double.sessions
                    else as_json(401, error="ERR_AUTHENTICATION_REQUIRED", message="Authentication required")
                )

            def do_POST(self) -> None:
                given = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if given["password"] != PASSWORD:
                    self.reply(as_json(400, msg="Invalid credentials"))
                    return
                double.signed_in += 1
                double.sessions.add(f"session-{double.signed_in}")
                self.reply(as_json(200, token=f"session-{double.signed_in}"))

            def reply(self, answer: Answer) -> None:
                status, kind, text = answer
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def double() -> Iterator[Double]:
    server = Double()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def given(double: Double, tmp_path: Path) -> Settings:
    secrets = dict.fromkeys(settings.secret_names(), "a-secret-of-the-tests")
    secrets["NOCODB_ENCRYPTION_KEY"] = "0123456789abcdef0123456789abcdef"
    secrets["NOCODB_ADMIN_PASSWORD"] = PASSWORD
    return settings.parse({**secrets, "NOCODB_PORT": str(double.server_port), "DATA_DIR": str(tmp_path)})


@pytest.fixture
def client(given: Settings) -> Iterator[Client]:
    client = Client(given)
    yield client
    client.close()


def test_it_signs_in_once_and_again_when_the_session_has_ended(client: Client, double: Double) -> None:
    assert client.every("/api/v2/meta/bases") == []
    assert client.every("/api/v2/meta/bases") == []
    assert double.signed_in == 1
    double.sessions.clear()
    assert client.every("/api/v2/meta/bases") == []
    assert double.signed_in == 2


@pytest.mark.parametrize(
    "answer",
    [
        # its database is away: not the fault of what was asked, although NocoDB says 400
        as_json(400, error="ERR_DATABASE_OP_FAILED", message="terminating connection", code="57P01"),
        as_json(400, error="ERR_DATABASE_OP_FAILED", message="connect ECONNREFUSED"),
        as_json(400, error="ERR_DATABASE_OP_FAILED", message="disk full", code="53100"),
        as_json(500, error="ERR_INTERNAL_SERVER", message="oops"),
        as_json(429, message="too many"),
        # while it starts, its routes are not there yet
        (404, "text/html", "<pre>Cannot GET</pre>"),
        (200, "text/html", "<!doctype html>"),
    ],
)
def test_what_may_succeed_later_is_a_passing_fault(client: Client, double: Double, answer: Answer) -> None:
    double.answer = lambda: answer
    with pytest.raises(PassingFault):
        client.call("GET", "/api/v2/tables/t/records")


@pytest.mark.parametrize(
    "answer",
    [
        as_json(400, error="FIELD_UNIQUE_CONSTRAINT_VIOLATION", message="already exists"),
        as_json(400, error="ERR_DATABASE_OP_FAILED", message="The date / time value is invalid.", code="22007"),
        as_json(400, error="ERR_DATABASE_OP_FAILED", code="22021"),
        as_json(400, msg='Invalid option(s) "ZZ" provided for column "Nationality".'),
        as_json(404, error="ERR_TABLE_NOT_FOUND", message="Table not found"),
    ],
)
def test_what_never_will_succeed_is_refused(client: Client, double: Double, answer: Answer) -> None:
    double.answer = lambda: answer
    with pytest.raises(Refused) as refused:
        client.call("GET", "/api/v2/tables/t/records")
    assert refused.value.status == answer[0]


def test_a_wrong_password_is_told_without_showing_it(double: Double, given: Settings) -> None:
    wrong = "a-wrong-password-of-somebody"
    client = Client(msgspec.structs.replace(given, nocodb_admin_password=wrong))
    with pytest.raises(PassingFault) as fault:
        client.call("GET", "/api/v2/meta/bases")
    client.close()
    assert "sign the administrator in" in fault.value.report()
    assert wrong not in fault.value.report()


def test_a_server_that_is_not_there_is_a_passing_fault(given: Settings, double: Double) -> None:
    client = Client(given)
    double.server_close()
    with pytest.raises(PassingFault):
        client.call("GET", "/api/v2/meta/bases")
    client.close()


def row(number: int = 0, **changed: Any) -> UserRow:
    plain = person.without_credentials(PEOPLE[number])
    value = steps.add_label(steps.add_timestamp(json.dumps({**plain, **changed}).encode(), 1_790_000_000_000), 0)
    return UserRow(person.decode(value, person.LabelledPerson), "the-fetch", "file")


def test_a_record_has_exactly_the_columns_that_the_table_is_made_with() -> None:
    made = [columns.definition(column)["column_name"] for column in columns.COLUMNS]
    assert len(set(made)) == len(made)
    assert columns.record(row(), None).keys() == set(made)


@pytest.mark.parametrize("number", range(200))
def test_a_record_says_what_the_api_said(number: int) -> None:
    told, sent = columns.record(row(number), None), PEOPLE[number]
    assert told["name"] == f"{sent['name']['first']} {sent['name']['last']}"
    assert told["e_mail"] == sent["email"]
    assert told["postcode"] == str(sent["location"]["postcode"])
    assert told["latitude"] == float(sent["location"]["coordinates"]["latitude"])
    assert told["nationality"] == sent["nat"]
    assert told["uuid"] == sent["login"]["uuid"]
    assert json.dumps(told), "it travels as JSON"


@pytest.mark.parametrize(
    "address",
    ["", "https://example.org/men/1.jpg", "https://randomuser.me/api/portraits/men/1.jpg?x", "file:///etc/passwd"],
)
def test_a_picture_from_elsewhere_is_left_out_and_nobody_is_asked_for_it(given: Settings, address: str) -> None:
    client = Client(given)
    portraits = Portraits(given, client)
    picture = {"large": address, "medium": "", "thumbnail": ""}
    try:
        assert portraits.attachment(row(picture=picture)) is None
    finally:
        portraits.close()
        client.close()
