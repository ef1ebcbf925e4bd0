"""The figures of the processes: counted, written, read again, put together; and never in the way of the work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from pipeline import stage, store, topics, transform
from pipeline.errors import Fenced, PassingFault, Rejected
from pipeline.metrics import files, names
from pipeline.records import Incoming, Place
from pipeline.settings import parse, secret_names
from pipeline.state import State


def value(name: str, registry: CollectorRegistry = names.STAGES, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


def read(run: Path, now: float | None = None) -> dict[tuple[str, str, str], float]:
    """Every sample by its name, stage and instance."""
    return {
        (one.name, one.labels["stage"], one.labels["instance"]): one.value
        for family in files.read(run, now)
        for one in family.samples
    }


@pytest.fixture
def own() -> tuple[CollectorRegistry, Counter, Histogram]:
    registry = CollectorRegistry()
    counter = Counter("own_total", "A count", registry=registry)
    return registry, counter, Histogram("own_seconds", "A time", buckets=(1, 10), registry=registry)


def test_a_batch_counts_its_records_by_topic_and_its_time() -> None:
    before = value("pipeline_records_in_total", topic="users.fetched")
    count, seconds = value("pipeline_batch_records_count"), value("pipeline_batch_duration_seconds_count")
    with names.batch(3, ["users.fetched", "users.fetched", "pipeline.fetches"]):
        pass
    assert value("pipeline_records_in_total", topic="users.fetched") == before + 2
    assert value("pipeline_batch_records_count") == count + 1
    assert value("pipeline_batch_duration_seconds_count") == seconds + 1


@pytest.mark.parametrize(("fault", "cause"), [(PassingFault("away"), "passing"), (Fenced("another"), "fenced")])
def test_a_batch_that_is_not_committed_counts_as_a_failure_and_not_as_records(fault: Exception, cause: str) -> None:
    before = value("pipeline_commit_failures_total", cause=cause), value("pipeline_batch_records_count")
    with pytest.raises(type(fault)), names.batch(1, ["users.fetched"]):
        raise fault
    after = value("pipeline_commit_failures_total", cause=cause), value("pipeline_batch_records_count")
    assert after == (before[0] + 1, before[1])


def test_what_a_stage_sends_on_and_what_it_refuses_are_counted_apart() -> None:
    before = value("pipeline_records_out_total", target="users.timestamped")
    refused = value("pipeline_records_rejected_total", reason="not_json")
    good = incoming(0, b"{}")

    def step(content: bytes | None, moment: int) -> bytes:
        if content != b"{}":
            raise Rejected("not_json", "no")
        return content

    outgoing, _ = transform.transform([good, incoming(1, b"x")], "1-Add_Timestamp", "users.timestamped", step, {})
    transform._count(outgoing)
    assert value("pipeline_records_out_total", target="users.timestamped") == before + 1
    assert value("pipeline_records_rejected_total", reason="not_json") == refused + 1


def incoming(offset: int, content: bytes, topic: str = topics.LABELLED, replay: bool = False) -> Incoming:
    headers = ((topics.REPLAY_OF, b"7"),) if replay else ()
    return Incoming(Place(topic, 0, offset), b"k", content, 1_000, headers)


class Repeat(NamedTuple):
    record: Incoming


class Written(NamedTuple):
    repeats: Sequence[Repeat]
    rejected: Sequence[tuple[Incoming, Rejected]]


def test_only_people_who_are_new_in_a_store_tell_how_long_their_way_was() -> None:
    batch = [
        incoming(0, b"new"),
        incoming(1, b"repeat"),
        incoming(2, b"refused"),
        incoming(3, b"again", replay=True),
        incoming(0, b"fetch", topic=topics.FETCHES),
    ]
    sink = store.Store.__new__(store.Store)
    sink._group = topics.TO_POSTGRESQL
    before = value("pipeline_end_to_end_seconds_count", names.SINKS)
    stored = value("pipeline_records_out_total", target="postgresql")
    repeats = value("pipeline_records_repeated_total", names.SINKS)
    sink._count(batch, Written([Repeat(batch[1])], [(batch[2], Rejected("wrong_shape", "no"))]))
    assert value("pipeline_end_to_end_seconds_count", names.SINKS) == before + 1
    assert value("pipeline_records_out_total", target="postgresql") == stored + 3
    assert value("pipeline_records_repeated_total", names.SINKS) == repeats + 1


def test_a_clock_that_is_ahead_gives_no_time_below_nought() -> None:
    before = value("pipeline_end_to_end_seconds_sum", names.SINKS)
    names.stored([5_000, 2_000], now=3.0)
    assert value("pipeline_end_to_end_seconds_sum", names.SINKS) == before + 1.0


def test_the_state_of_a_process_is_told_without_a_file_too() -> None:
    State(None).tell("paused", "Kafka is away")
    assert value("pipeline_process_state", names.COMMON, state="paused") == 1
    assert value("pipeline_process_state", names.COMMON, state="working") == 0


def test_each_process_has_a_file_with_its_stage_and_instance(tmp_path: Path, own: Any) -> None:
    registry, counter, _ = own
    counter.inc(4)
    for number in (0, 1):
        with files.telling(tmp_path, "2-Add_Label", (registry,), number):
            files.tell()
    found = read(tmp_path)
    assert found["own_total", "2-Add_Label", "0"] == found["own_total", "2-Add_Label", "1"] == 4
    assert found["process_resident_memory_bytes", "2-Add_Label", "0"] > 1e6


def test_the_files_of_a_service_with_a_volume_of_its_own_are_read_beside_the_others(
    tmp_path: Path, own: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, beside = tmp_path / "run", tmp_path / "beside"
    with files.telling(run, "scheduler", (own[0],)):
        files.tell()
    with monkeypatch.context() as service:
        service.setenv("PIPELINE_METRICS_DIR", str(beside))
        with files.telling(run, "scheduler", (own[0],), "backup"):
            files.tell()
    assert ("own_total", "scheduler", "backup") not in read(run)
    monkeypatch.setenv("PIPELINE_METRICS_BESIDE", str(beside))
    found = read(run)
    assert {"0", "backup"} <= {instance for _, stage, instance in found if stage == "scheduler"}


def test_a_file_that_nobody_writes_any_more_is_left_out_but_not_that_of_a_short_program(
    tmp_path: Path, own: Any
) -> None:
    with files.telling(tmp_path, "2-Add_Label", (own[0],)):
        pass
    with files.keeping(tmp_path, "0-Get_Data"):
        names.FETCHED_PEOPLE.labels("stand-in").inc()
    later = (files.directory(tmp_path) / "2-Add_Label-0.prom").stat().st_mtime + files.STALE_SECONDS + 1
    stages = {stage for _, stage, _ in read(tmp_path, later)}
    assert stages == {"0-Get_Data"}


def test_the_counts_of_a_short_program_go_on_from_run_to_run(tmp_path: Path) -> None:
    def run(people: int) -> float:
        names.FETCHED_PEOPLE.clear()
        with files.keeping(tmp_path, "0-Get_Data"):
            names.FETCHED_PEOPLE.labels("stand-in").inc(people)
        return read(tmp_path)["pipeline_fetched_people_total", "0-Get_Data", "0"]

    assert [run(10), run(5), run(1)] == [10, 15, 16]


def test_a_run_that_fails_is_counted_and_still_fails(tmp_path: Path) -> None:
    with pytest.raises(PassingFault), files.keeping(tmp_path, "0-Get_Data"):
        raise PassingFault("Kafka is away")
    assert (files.directory(tmp_path) / "0-Get_Data.kept.prom").exists()


@pytest.mark.parametrize("content", [b"", b"no metrics { at all", b"\xff\xfe\x00", b'pipeline_x{stage="a"'])
def test_a_damaged_file_hides_nobody_else(tmp_path: Path, own: Any, content: bytes) -> None:
    with files.telling(tmp_path, "2-Add_Label", (own[0],)):
        pass
    (files.directory(tmp_path) / "1-Add_Timestamp-0.prom").write_bytes(content)
    assert {stage for _, stage, _ in read(tmp_path)} == {"2-Add_Label"}


def test_metrics_that_cannot_be_written_stop_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "metrics").write_text("in the way")
    with files.telling(tmp_path, "2-Add_Label", (names.STAGES,)):
        for _ in range(3):
            files.tell(now=True)
    with files.keeping(tmp_path, "0-Get_Data"):
        pass
    assert [record.message.partition(" detail")[0] for record in caplog.records] == [
        "its metrics cannot be told",
        "its metrics cannot be told",
    ]


def test_a_process_writes_no_more_than_every_few_seconds(tmp_path: Path, own: Any) -> None:
    told = files.Told(tmp_path, "2-Add_Label", "0", (own[0],))
    told.tell()
    path = tmp_path / "2-Add_Label-0.prom"
    path.unlink()
    told.tell()
    assert not path.exists()


def test_the_loop_of_a_stage_tells_its_figures_while_it_is_paused(tmp_path: Path) -> None:
    stopping = stage.Stopping()

    def make() -> stage.Work:
        stopping.stop()
        raise PassingFault("Kafka is away")

    with files.telling(tmp_path, "2-Add_Label", (names.STAGES,)):
        stage.run(make, parse(dict.fromkeys(secret_names(), "x" * 32)), stopping, State(None))
        assert read(tmp_path)["pipeline_faults_total", "2-Add_Label", "0"] >= 1


def test_families_of_many_processes_become_one_that_the_format_allows(tmp_path: Path) -> None:
    def family(number: int) -> Any:
        registry = CollectorRegistry()
        Gauge("own_age_seconds", 'An "age"\nof something', ["of"], registry=registry).labels('a"b\\c\n').set(number)
        return next(iter(files.labelled(registry.collect(), {"instance": str(number)})))

    text = files.text(files.merged([family(0), family(1)])).decode()
    assert text.count("# TYPE own_age_seconds gauge") == 1
    (parsed,) = text_string_to_metric_families(text)
    assert [(one.labels["instance"], one.value) for one in parsed.samples] == [("0", 0.0), ("1", 1.0)]
    assert parsed.samples[0].labels["of"] == 'a"b\\c\n'
