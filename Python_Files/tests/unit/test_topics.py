"""The table of the stages: what has to be there for each of them, and what says so when it was forgotten."""

from __future__ import annotations

import re

import pytest

from pipeline import stages, steps, topics
from pipeline.operations import parts
from pipeline.settings import ROOT, Settings

SERVICE = re.compile(r"^  (add-[a-z-]+):\n((?:    .*\n)+)", re.MULTILINE)
SERVICES = dict(SERVICE.findall((ROOT / "docker-compose.yml").read_text(encoding="utf-8")))


def service_of(stage: str) -> str:
    return stage.partition("-")[2].lower().replace("_", "-")


@pytest.mark.parametrize("stage", topics.WRITES)
def test_a_stage_between_topics_has_a_step_and_a_door_of_its_name(stage: str) -> None:
    assert stage in steps.STEPS, f"steps.STEPS has no step for {stage}"
    door = ROOT / "Python_Files" / f"{stage}.py"
    assert door.exists(), f"{stage} has no door: Python_Files/{stage}.py is what its process runs"
    called = re.search(r'entry\.main\("(.+)", stages\.(\w+)\)', door.read_text(encoding="utf-8"))
    assert called, f"{door.name} does not call entry.main with the name of the stage and its function of stages.py"
    name, function = called.groups()
    assert name == stage, f"{door.name} says that it is {name}"
    assert hasattr(stages, function), f"stages.py has no {function}, which {door.name} runs"
    assert door.stat().st_mode & 0o111, f"{door.name} cannot be executed: chmod +x Python_Files/{door.name}"


@pytest.mark.parametrize("stage", topics.STAGES)
def test_a_stage_has_a_setting_for_its_processes(stage: str) -> None:
    name = parts.processes_setting(stage)
    assert name.lower() in Settings.__struct_fields__, f"settings.py has no {name.lower()}, the processes of {stage}"


@pytest.mark.parametrize("stage", topics.STAGES)
def test_a_stage_has_a_service_in_the_container_way(stage: str) -> None:
    name = service_of(stage)
    assert name in SERVICES, f"docker-compose.yml has no service {name}, so {stage} would not run in containers"
    said = SERVICES[name]
    door = topics.STORES.get(stage)
    command = f"3-Add_Database.py, --to, {door}]" if door else f"{stage}.py]"
    assert f"command: [python, Python_Files/{command}" in said, f"the service {name} does not run {command[:-1]}"
    setting = parts.processes_setting(stage)
    assert f"scale: ${{{setting}:-1}}" in said, f"the service {name} is not scaled by {setting}"
    assert "healthcheck: *pipeline-healthcheck" in said, f"the service {name} has no health check"


def test_no_service_is_left_of_a_stage_that_is_gone() -> None:
    assert SERVICES.keys() == {service_of(stage) for stage in topics.STAGES}


def test_every_topic_is_written_by_one_stage_and_read_by_the_next() -> None:
    assert len(set(topics.CHAIN)) == len(topics.CHAIN), "two stages write the same topic"
    assert [topics.READS[stage] for stage in topics.WRITES] == [(topic,) for topic in topics.CHAIN[:-1]]
    assert all(topics.READS[sink][0] == topics.CHAIN[-1] for sink in topics.STORES)


def test_what_a_stage_adds_to_the_largest_record_finds_room() -> None:
    most = [topics.MOST_BYTES[name] for name in topics.CHAIN]
    takes = {topic.name: int(topic.config["max.message.bytes"]) for topic in topics.ALL}
    assert most == sorted(set(most))
    assert all(takes[name] > topics.MOST_BYTES[name] for name in topics.MOST_BYTES)
    # A whole refused record with its headers fits into users.rejected.
    assert most[-1] < topics.REJECTED_RECORD_BYTES - 100_000
