"""What the engine says about the containers, as the lines of the status. The documents are like the engine's own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.containers import listing
from pipeline.errors import PipelineError
from pipeline.services import Service, joined, what_does_not_run

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
NEVER = "0001-01-01T00:00:00Z"

CONFIGURED: dict[str, Any] = {
    "settings": {"restart": "no"},
    "postgres": {"restart": "unless-stopped"},
    "setup": {"restart": "no"},
    "get-data": {"restart": "unless-stopped"},
    "add-label": {"restart": "unless-stopped", "scale": 1},
}


def container(service: str, number: int = 1, *, restarts: int = 0, once: bool = False, **state: Any) -> dict[str, Any]:
    return {
        "RestartCount": restarts,
        "HostConfig": {"RestartPolicy": {"Name": "no" if once else "unless-stopped", "MaximumRetryCount": 0}},
        "State": {
            "Status": "running",
            "OOMKilled": False,
            "ExitCode": 0,
            "Error": "",
            "StartedAt": "2026-01-02T11:55:00.124517175Z",
            "FinishedAt": NEVER,
            **state,
        },
        "Config": {
            "Labels": {
                "com.docker.compose.service": service,
                "com.docker.compose.container-number": str(number),
                "com.docker.compose.oneoff": "False",
            }
        },
    }


def healthy(service: str, number: int = 1, **given: Any) -> dict[str, Any]:
    return container(service, number, Health={"Status": "healthy", "FailingStreak": 0, "Log": []}, **given)


DONE = {"Status": "exited", "ExitCode": 0, "FinishedAt": "2026-01-02T11:54:00.5Z"}
ALL = [
    container("settings", once=True, **DONE),
    container("setup", once=True, **DONE),
    healthy("postgres"),
    healthy("get-data"),
    healthy("add-label"),
]


def read(containers: list[dict[str, Any]], **scale: int) -> list[Service]:
    configured = {**CONFIGURED, **{name.replace("_", "-"): {"scale": number} for name, number in scale.items()}}
    return listing.read(json.dumps({"services": configured}, indent=2) + json.dumps(containers), NOW)


def only(containers: list[dict[str, Any]], name: str) -> Service:
    (found,) = (one for one in read(containers) if one.name == name)
    return found


def test_every_container_is_listed_under_the_name_of_both_ways_and_what_is_done_is_not() -> None:
    assert read(ALL) == [
        Service("postgresql", "ok", "healthy, up 5 min"),
        Service("2-Add_Label-1", "ok", "healthy, up 5 min"),
        Service("get-data", "ok", "healthy, up 5 min"),
    ]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({}, ("ok", "runs, up 5 min")),
        ({"Health": {"Status": "starting", "Log": []}}, ("starting", "not healthy yet, up 5 min")),
        (
            {"Health": {"Status": "unhealthy", "Log": [{"Output": "error: it\nhangs\n"}, {"Output": ""}]}},
            ("failed", "unhealthy (error: it hangs), up 5 min"),
        ),
        (
            {"Status": "restarting", "ExitCode": 137, "OOMKilled": True, "restarts": 2},
            ("failed", "ended with 137 (it was out of memory) and is started again, restarted 2 times"),
        ),
        (
            {"Status": "exited", "ExitCode": 143, "FinishedAt": "2026-01-02T10:00:00Z"},
            ("stopped", "ended with 143 2 h ago"),
        ),
        (
            {"Status": "exited", "ExitCode": 128, "Error": "port is already allocated", "FinishedAt": NEVER},
            ("failed", "port is already allocated"),
        ),
        ({"Status": "created", "StartedAt": NEVER}, ("stopped", "made, not started")),
        ({"Status": "paused"}, ("stopped", "paused")),
    ],
)
def test_the_state_of_a_container_is_told_in_words(state: dict[str, Any], told: tuple[str, str]) -> None:
    assert only([container("get-data", **state)], "get-data") == ("get-data", *told)


def test_a_container_that_came_back_says_how_often() -> None:
    assert only([healthy("get-data", restarts=1)], "get-data").detail == "healthy, up 5 min, restarted 1 time"


def test_what_runs_once_is_listed_when_it_failed() -> None:
    failed = container("setup", once=True, Status="exited", ExitCode=2, FinishedAt="2026-01-02T11:54:00.5Z")
    assert only([failed], "setup") == ("setup", "failed", "ended with 2; see Administrator_scripts/Logs.sh setup")


def test_a_scaled_stage_shows_each_container_in_order_and_the_one_that_lacks() -> None:
    shown = read([*ALL, healthy("add-label", 12), healthy("add-label", 3)], add_label=4)
    assert [(one.name, one.state) for one in shown if one.name.startswith("2-")] == [
        ("2-Add_Label-1", "ok"),
        ("2-Add_Label-3", "ok"),
        ("2-Add_Label-12", "ok"),
        ("2-Add_Label-2", "stopped"),
    ]


def test_a_stage_scaled_to_0_is_shown_and_is_not_called_missing() -> None:
    shown = read(ALL[:-1], add_label=0)
    (stage,) = (one for one in shown if one.name.startswith("2-"))
    assert stage == (
        "2-Add_Label-1",
        "stopped",
        "scaled to 0; Administrator_scripts/Scale.sh 2-Add_Label 1 starts it",
    )
    assert what_does_not_run(shown) is None


def test_without_any_container_everything_is_stopped_and_the_remedy_is_told() -> None:
    shown = listing.read(json.dumps({"services": CONFIGURED}), NOW)
    assert {(one.state, one.detail) for one in shown} == {("stopped", "there is no container")}
    told = what_does_not_run(shown)
    assert told == "not running: postgresql, 2-Add_Label-1, get-data; ./Project_Start.sh starts what does not run"


def test_a_container_that_was_made_for_one_command_is_none_of_the_service() -> None:
    extra = container("get-data", 1, Status="created")
    extra["Config"]["Labels"]["com.docker.compose.oneoff"] = "True"
    assert only([extra, healthy("get-data")], "get-data").state == "ok"


def test_a_service_that_is_not_in_the_file_any_more_is_listed_too() -> None:
    assert only([*ALL, healthy("kafka-2")], "kafka-2").state == "ok"


def test_what_is_no_answer_of_the_engine_is_told() -> None:
    with pytest.raises(PipelineError, match="cannot be read"):
        listing.read("Cannot connect to the Docker daemon", NOW)


@pytest.mark.parametrize(
    ("process", "answer", "state"),
    [
        ("ok", "ok", "ok"),
        ("starting", "ok", "ok"),
        ("failed", "ok", "failed"),  # somebody else answers there
        ("ok", "failed", "failed"),
        ("starting", "failed", "starting"),
        ("stopped", "failed", "stopped"),
    ],
)
def test_a_server_is_ok_when_it_runs_and_answers(process: str, answer: str, state: str) -> None:
    (line,) = joined([Service("kafka", process, "its process")], [Service("kafka", answer, "its answer")])
    assert line.state == state
