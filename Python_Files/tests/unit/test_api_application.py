"""The read API while nothing else runs: what it refuses, what it says then, and that its description is whole."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from pipeline import settings
from pipeline.api import application
from pipeline.database import figures, queries
from pipeline.metrics import names
from pipeline.settings import ROOT

SECRETS = {name: f"{name.lower()}-{'s' * 32}"[:32] for name in settings.secret_names()}
TOKEN = {"Authorization": f"Bearer {SECRETS['API_TOKEN']}"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # held and not listened on, so that a connection to it is refused
        port = str(nobody.getsockname()[1])
        given = {
            "POSTGRES_PORT": port,
            "API_HOSTS": "people.example.net",
            "DATA_DIR": str(tmp_path_factory.mktemp("data")),
        }
        yield TestClient(application.create(settings.parse({**SECRETS, **given})), raise_server_exceptions=False)


@pytest.mark.parametrize(
    "address", ["/api/users", "/api/users/6ba7b810-9dad-11d1-80b4-00c04fd430c8", "/api/ledger", "/api/kpis/latency"]
)
def test_without_the_database_it_is_503_with_when_to_ask_again(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert not [secret for secret in SECRETS.values() if secret in answer.text]


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/api/users?page=0", 400),
        ("GET", "/api/users/x", 400),
        ("GET", "/api/users/%ff", 400),
        ("GET", "/api/ingest/x", 400),
        ("GET", "/api/rejected/0", 400),
        ("GET", "/api/rejected/9223372036854775808", 400),
        ("POST", "/api/rejected/one/replay", 400),
        ("GET", "/api/kpis/x", 404),
        ("GET", "/api", 404),
        ("GET", "/docs/assets/../../settings.py", 404),
        ("DELETE", "/api/users", 405),
        ("GET", "/api/rejected/1/replay", 405),
    ],
)
def test_what_is_wrong_is_told_before_any_server_is_asked(
    client: TestClient, method: str, address: str, status: int
) -> None:
    answer = client.request(method, address, headers=TOKEN)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]


@pytest.mark.parametrize("address", ["/", "/api/kpis", "/openapi.json", "/metrics", "/api/users/x", "/nowhere"])
def test_head_is_get_without_its_content(client: TestClient, address: str) -> None:
    with client.stream("GET", address) as got:
        pass
    head = client.head(address)
    assert (head.status_code, head.content) == (got.status_code, b"")
    told = [name for name in got.headers if name not in ("content-length", "date")]
    assert [head.headers[name] for name in told] == [got.headers[name] for name in told]
    if address != "/metrics":  # which counts the questions, too
        assert head.headers.get("content-length") == got.headers.get("content-length")


def test_an_order_needs_the_token_before_anything_else_is_looked_at(client: TestClient) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {SECRETS['API_TOKEN']}"}):
        answer = client.post("/api/ingest?what=this", content=b"{", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_every_answer_that_can_come_is_in_the_description(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/users", "/api/users/{uuid}", "/api/ingest", "/api/rejected/{id}/replay"} <= set(paths)
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert {"400", "503"} <= set(operation["responses"]), f"{method} {path}"
            assert "422" not in operation["responses"], f"{method} {path}"
            names = [one["name"] for one in operation.get("parameters", ())]
            assert len(names) == len(set(names)), f"{method} {path}"
            assert set(re.findall(r"\{(\w+)\}", path)) <= set(names), f"{method} {path}"
            if method == "post":
                assert operation["security"]
                assert {"401", "429"} <= set(operation["responses"])


def test_every_figure_is_a_function_and_a_view_of_the_database() -> None:
    script = (ROOT / "Database-Init" / "11_kpis.sql").read_text(encoding="utf-8")
    for name, figure in figures.ALL.items():
        assert f"CREATE VIEW pipeline.kpi_{name} AS" in script
        assert f"CREATE FUNCTION pipeline.{figure.source.partition('(')[0]}(" in script
    assert len(re.findall("CREATE VIEW", script)) == len(figures.ALL)
    assert queries.query("ledger_of")


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000", "192.168.1.7", "api:8000",
             "page.localhost", "people.example.net", "People.Example.Net:443"]
)  # fmt: skip
def test_it_answers_by_its_own_names(client: TestClient, host: str) -> None:
    assert client.get("/api/kpis", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["attacker.example", "127.0.0.1.attacker.example:8000", "localhost.attacker.example", "example.net", "[::1",
             "people.example.net.attacker.example"]
)  # fmt: skip
@pytest.mark.parametrize("address", ["/api/users", "/metrics", "/", "/docs"])
def test_a_strangers_page_that_points_its_name_here_reads_nothing(client: TestClient, host: str, address: str) -> None:
    answer = client.get(address, headers={"Host": host})
    assert answer.status_code == 421
    assert "API_HOSTS" in answer.json()["hint"]
    assert answer.headers["x-frame-options"] == "DENY"


def test_requests_are_counted_by_route_and_not_by_what_somebody_asked_for(client: TestClient) -> None:
    def counted(handler: str, status: str) -> float:
        value = names.API.get_sample_value(
            "http_requests_total", {"method": "GET", "handler": handler, "status": status}
        )
        return value or 0.0

    found, person = counted("/api/kpis", "200"), counted("/api/users/{uuid}", "400")
    client.get("/api/kpis")
    for number in range(5):
        client.get(f"/api/users/nobody-{number}")
        client.get(f"/nowhere/{number}")
    assert counted("/api/kpis", "200") == found + 1
    assert counted("/api/users/{uuid}", "400") == person + 5
    handlers = {
        sample.labels["handler"] for family in names.API.collect() for sample in family.samples if sample.labels
    }
    assert not [handler for handler in handlers if "nowhere" in handler or "nobody" in handler]
