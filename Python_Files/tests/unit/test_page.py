"""The page: what its collector keeps, what a stream tells, what is served; with servers that are away."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from conftest import free_ports
from pipeline.metrics import files
from pipeline.page import assets, chain, events, exposition, routes, snapshot
from pipeline.page.charts import Series, Span
from pipeline.page.ledger import Ledger
from pipeline.page.portraits import Portraits
from pipeline.page.snapshot import Collector, Snapshot
from pipeline.settings import Settings, parse, secret_names


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of an instance whose servers are all away."""
    postgres, kafka, nocodb = free_ports(3)
    return msgspec.structs.replace(
        parse(dict.fromkeys(secret_names(), "x" * 32)),
        data_dir=str(tmp_path),
        postgres_port=postgres,
        kafka_port=kafka,
        nocodb_port=nocodb,
    )


class Rows:
    """A cursor that answers one question after the other with what it was given."""

    def __init__(self, *answers: list[tuple[Any, ...]]) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def execute(self, text: str, values: dict[str, Any] | None = None) -> None:
        self.asked.append(values or {})
        self._rows = self.answers.pop(0)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._rows)

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None


# --- the sections ---


def test_a_section_is_told_again_only_when_it_has_changed() -> None:
    kept = Snapshot()
    kept.tell("people", [1])
    number, sections = kept.since(0)
    assert sections == {"people": "[1]"}
    kept.tell("people", [1])
    assert kept.since(number) == (number, {})
    kept.tell("people", [2])
    assert kept.since(number)[1] == {"people": "[2]"}


def test_whoever_listens_is_woken_by_a_change_and_not_after_leaving() -> None:
    kept, woken = Snapshot(), []
    with kept.listening(lambda: woken.append(1)):
        kept.tell("at", 1)
        kept.tell("at", 1)
        assert kept.readers == 1
    kept.tell("at", 2)
    assert (len(woken), kept.readers) == (1, 0)


def test_text_of_the_people_cannot_end_an_event() -> None:
    assert "\n" not in snapshot.as_text({"first": "a\n\nevent: x\r\ndata: y\u2028"})


async def _some(stream: AsyncIterator[bytes], count: int) -> list[str]:
    return [(await anext(stream)).decode() for _ in range(count)]


def test_a_reader_gets_everything_first_and_then_what_changes(settings: Settings) -> None:
    async def read() -> tuple[list[str], list[str]]:
        collector = Collector(settings)
        collector.snapshot.tell("people", ["a"])
        collector.snapshot.tell("at", 1)
        stream = events.stream(collector)
        first = await _some(stream, 3)
        collector.snapshot.tell("at", 2)
        then = await _some(stream, 1)
        await stream.aclose()  # type: ignore[attr-defined]
        assert collector.snapshot.readers == 0
        return first, then

    first, then = asyncio.run(read())
    assert first[1:] == ['event: people\ndata: ["a"]\n\n', "event: at\ndata: 1\n\n"]
    assert then == ["event: at\ndata: 2\n\n"]


def test_a_stream_with_nothing_new_says_that_it_lives(settings: Settings) -> None:
    async def read() -> list[str]:
        stream = events.stream(Collector(settings), alive_seconds=0.01)
        return await _some(stream, 3)

    assert asyncio.run(read())[1:] == ["event: alive\ndata: 1\n\n"] * 2


def test_a_stream_ends_when_the_process_is_told_to_end(settings: Settings) -> None:
    async def bounded() -> list[bytes]:
        ended = iter((False, False, True))
        return [one async for one in events.stream(Collector(settings), lambda: next(ended), 0.01)]

    assert len(asyncio.run(bounded())) == 3


# --- the chain ---


def families(tmp_path: Path, told_at: float, state: str) -> list[Any]:
    text = (
        "# TYPE pipeline_process_state gauge\n"
        f'pipeline_process_state{{stage="2-Add_Label",instance="0",state="{state}"}} 1\n'
        'pipeline_process_state{stage="2-Add_Label",instance="0",state="starting"} 0\n'
        "# TYPE pipeline_process_told_timestamp_seconds gauge\n"
        f'pipeline_process_told_timestamp_seconds{{stage="2-Add_Label",instance="0"}} {told_at}\n'
    )
    files.directory(tmp_path).mkdir()
    (files.directory(tmp_path) / "2-Add_Label-0.prom").write_text(text)
    return files.read(tmp_path)


@pytest.mark.parametrize(
    ("age", "expected"),
    [(1.0, {"2-Add_Label": {"paused": 1}}), (chain.LIVING_SECONDS + 1, {})],
    ids=["lives", "was killed"],
)
def test_the_state_of_a_process_is_told_as_long_as_it_lives(
    tmp_path: Path, age: float, expected: dict[str, dict[str, int]]
) -> None:
    now = time.time()
    assert chain.states_of(families(tmp_path, now - age, "paused"), now) == expected


def test_a_rate_is_of_what_was_seen_and_begins_anew_when_a_count_falls(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    looked = chain.Chain(settings)

    def rate_at(moment: float, count: int) -> float | None:
        clock[0] = moment
        return looked._rate("x", count)

    assert [rate_at(100, 50), rate_at(110, 70), rate_at(120, 70)] == [None, 2.0, 1.0]
    # The first look has left the minute: 20 records between 110 and 180 are none of it any more.
    assert rate_at(175, 70) == 0.0
    assert rate_at(176, 3) is None


# --- the ledger ---

NOBODY = [(None,) * 11]


def row(fetched: int, stored: int, left: int) -> list[tuple[int, ...]]:
    return [(fetched, stored, 0, 0, 0, left, stored, 0, 0, 0, left)]


def test_the_ledger_adds_what_is_recent_to_the_sum_of_what_is_not() -> None:
    ledger = Ledger()
    assert ledger.look(Rows(), {"postgresql": 0, "nocodb": 0}) is None
    ledger.add_up(Rows(row(100, 100, 0)))
    told = ledger.look(Rows(row(10, 7, 3)), {"postgresql": 3, "nocodb": 3})
    assert told is not None
    assert told["fetched"] == 110
    expected = {"stored": 107, "repeats": 0, "removed": 0, "rejected": 0, "on_the_way": 3, "missing": 0}
    assert told["postgresql"] == told["nocodb"] == expected


def test_the_sum_over_all_fetches_is_not_taken_at_every_look() -> None:
    ledger, cursor = Ledger(), Rows(NOBODY)
    for _ in range(3):
        ledger.add_up(cursor)
    assert len(cursor.asked) == 1


def test_somebody_is_missing_only_when_nothing_waits_at_two_looks_in_a_row() -> None:
    ledger = Ledger()
    ledger.add_up(Rows(NOBODY))

    def missing(left: int, waits: int | None) -> int:
        waiting = None if waits is None else {"postgresql": waits, "nocodb": waits}
        told = ledger.look(Rows(row(10, 10 - left, left)), waiting)
        assert told is not None
        of = told["postgresql"]
        assert of["missing"] + of["on_the_way"] == left
        missed: int = of["missing"]
        return missed

    looks = [(4, 4), (4, 0), (2, 0), (2, 0), (2, None), (2, 0)]
    assert [missing(*one) for one in looks] == [0, 0, 2, 2, 0, 0]


# --- the charts ---


def test_a_chart_has_a_piece_for_every_minute_and_asks_again_only_for_the_newest() -> None:
    series, now = Series(Span("hour", 300, 60)), 10_000 * 60.0 + 30
    last = 10_000 * 60
    first = Rows([(last - 120, 10, [0.5, 1.25])], [(last - 60, 4)])
    told = series.look(first, now)
    assert told["at"] == [last - 240, last - 180, last - 120, last - 60, last]
    assert told["postgresql"] == [0, 0, 10, 0, 0]
    assert told["nocodb"] == [0, 0, 0, 4, 0]
    assert told["median"] == [None, None, 0.5, None, None]
    assert told["slow"] == [None, None, 1.25, None, None]
    second = Rows([(last, 3, [2.0, 2.0])], [])
    told = series.look(second, now + 60)
    assert second.asked[0]["since"] == last - 60
    assert told["postgresql"] == [0, 10, 0, 3, 0]


# --- servers that are away ---


def test_servers_that_are_away_are_told_and_raise_nothing(settings: Settings) -> None:
    collector = Collector(settings)
    collector.look_at_chain()
    collector.look()
    collector.look_slowly()
    collector.look()
    servers = collector.snapshot.get("servers")
    assert servers["postgresql"]["fault"] == "PostgreSQL could not do it now"
    assert servers["nocodb"]["fault"] == "NocoDB does not answer"
    assert collector.snapshot.get("at") == pytest.approx(time.time(), abs=10)
    assert collector.snapshot.get("people") is None


def test_a_portrait_that_cannot_be_had_is_none(settings: Settings) -> None:
    assert Portraits(settings).get("men", 1) is None


# --- what is served ---


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    app = FastAPI()
    app.state.settings = settings
    app.include_router(routes.router)
    with TestClient(app) as made:
        yield made


def test_the_page_allows_nothing_but_files_of_its_own(client: TestClient) -> None:
    answer = client.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert answer.status_code == 200
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=|<style", answer.text)


@pytest.mark.parametrize("name", sorted(path.name for path in assets.STATIC.iterdir()))
def test_no_file_of_the_page_asks_anybody_else(client: TestClient, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 200
    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+", answer.text))
    # A name space of XML, and the addresses of portraits, which are taken apart and never asked.
    assert addresses <= {"http://www.w3.org"}
    for module in re.findall(r'from "\./([^"]+)"', answer.text):
        assert client.get(f"/page/{module}").status_code == 200
    assert "innerHTML" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/page/none.js",
        "/page/..%2f..%2fsettings.py",
        "/page/%2e%2e/routes.py",
        "/page/.hidden",
        "/page/portraits/men/100",
        "/page/portraits/dogs/1",
        "/page/portraits/men/-1",
        "/page/portraits/men/%F9%A1",
    ],
)
def test_what_is_not_there_is_404(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_page_too_many_is_told_to_come_later(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_READERS", 0)
    answer = client.get("/page/events")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")


def test_the_packages_of_another_place_are_found_by_the_environment(tmp_path: Path) -> None:
    assert assets.installed({"PIPELINE_PAGE_PACKAGES": str(tmp_path)}) == tmp_path


def samples(text: bytes) -> dict[str, float]:
    return {
        one.name + "".join(f"|{value}" for key, value in sorted(one.labels.items()) if key != "instance"): one.value
        for family in text_string_to_metric_families(text.decode())
        for one in family.samples
    }


def test_metrics_are_served_while_all_servers_are_away(client: TestClient) -> None:
    def ready() -> dict[str, float]:
        found = samples(client.get("/metrics").content)
        return found if "pipeline_server_up|postgresql" in found else {}

    until = time.monotonic() + 20
    while not (found := ready()) and time.monotonic() < until:
        time.sleep(0.1)
    assert found["pipeline_server_up|postgresql"] == 0
    assert found["process_resident_memory_bytes|api"] > 1e6
    assert not any(name.startswith(("pipeline_backup", "pipeline_stage_lag")) for name in found)


def test_metrics_tell_what_only_the_servers_know(settings: Settings) -> None:
    kept = Snapshot()
    kept.tell("servers", {name: {"fault": "", "since": None} for name in ("postgresql", "kafka", "nocodb")})
    kept.tell("chain", {"stages": [{"name": "2-Add_Label", "waits": 7}]})
    kept.tell("rejected", {"count": 3, "rows": []})
    account = {"stored": 8, "repeats": 1, "removed": 0, "rejected": 0, "on_the_way": 1, "missing": 0}
    kept.tell("ledger", {"fetched": 10, "postgresql": account, "nocodb": account})
    backup = {
        "last_backup": "2026-01-01T00:00:00+00:00", "last_wal": "2026-01-01T00:01:00+00:00", "last_proof": None,
        "rpo_seconds": 0.5, "rto_seconds": 9.0, "ok": False, "warnings": [], "archived_total": 12, "failed_total": 2,
    }  # fmt: skip
    kept.tell("backup", backup)
    found = samples(exposition.text(settings, kept, 1767225660.0))
    assert found["pipeline_stage_lag_records|2-Add_Label"] == 7
    assert found["pipeline_ledger_people|stored|nocodb"] == 8
    assert found["pipeline_rejected_open"] == 3
    assert found["pipeline_backup_age_seconds"] == 60
    assert found["pipeline_backup_archived_age_seconds"] == 0
    assert "pipeline_backup_proof_age_seconds" not in found
    assert found["pipeline_archiver_failures_total"] == 2
    assert found["pipeline_backup_ok"] == 0
