"""The supervisor: a real one, with small programs; and the processes that it leaves behind when it is killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline import settings
from pipeline.errors import PipelineError
from pipeline.operations import leftovers, parts, places, readiness, servers, supervision
from pipeline.operations.parts import Part
from pipeline.operations.supervision import Supervisor
from pipeline.settings import Settings

SECRETS = {name: f"{name.lower()}-{'s' * 32}"[:32] for name in settings.secret_names()}
SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
DIE = (sys.executable, "-c", "import sys; print('no such thing: 100%', file=sys.stderr); sys.exit(3)")


def until(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


@pytest.fixture
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An instance of small parts that bear the names of real ones."""
    made = settings.parse({**SECRETS, "DATA_DIR": str(tmp_path_factory.mktemp("i") / "d")})
    places.make(made)
    supervision.configure(made, [Part("kafka", SLEEP), Part("nocodb", DIE), Part("2-Add_Label", SLEEP, most=3)])
    return made


@pytest.fixture
def instance(stopped: Settings) -> Iterator[Settings]:
    """The same with its supervisor running."""
    supervision.start_daemon(stopped)
    yield stopped
    servers.bring_down(stopped)


def state_of(instance: Settings, name: str) -> supervision.Process:
    return next(process for process in Supervisor(instance).processes() if process.name == name)


def test_nothing_runs_until_it_is_started_and_then_what_was_asked_for(instance: Settings) -> None:
    supervisor = Supervisor(instance)
    assert {process.state for process in supervisor.processes()} == {"STOPPED"}
    for name in ("supervisor.sock", "supervisord.conf"):
        assert not (instance.run / name).stat().st_mode & 0o077, f"{name} is open to others"
    supervisor.start("2-Add_Label", "2-Add_Label-2")
    supervisor.start("2-Add_Label", "2-Add_Label-2")  # no harm
    until(lambda: state_of(instance, "2-Add_Label-2").pid)
    assert not state_of(instance, "2-Add_Label-1").pid


def test_what_dies_is_started_again(instance: Settings) -> None:
    Supervisor(instance).start("kafka", "kafka")
    until(lambda: state_of(instance, "kafka").pid)
    first = state_of(instance, "kafka").pid
    os.kill(first, signal.SIGKILL)
    until(lambda: state_of(instance, "kafka").pid not in (0, first))


def test_a_part_that_ends_again_and_again_is_told_with_its_last_words(
    instance: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_STARTS", 2)
    Supervisor(instance).start("nocodb", "nocodb")
    with pytest.raises(PipelineError) as caught:
        readiness.wait(instance, "nocodb", lambda: False, 30)
    assert "nocodb did not get ready" in caught.value.message
    assert "no such thing: 100%" in caught.value.detail
    assert "nocodb.log" in caught.value.hint


def test_bringing_down_leaves_no_process(instance: Settings) -> None:
    for process in ("2-Add_Label-1", "2-Add_Label-2"):
        Supervisor(instance).start("2-Add_Label", process)
    Supervisor(instance).start("kafka", "kafka")
    # The supervisor tells a pid from the fork on; between that and its exec a child has no environment to be known by.
    until(lambda: len(leftovers.living(instance)) == 4)
    pids = [process.pid for process in leftovers.living(instance)]
    servers.bring_down(instance)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert supervision.daemon(instance) is None


def test_what_a_killed_supervisor_leaves_over_is_found_and_ended(instance: Settings, tmp_path: Path) -> None:
    Supervisor(instance).start("kafka", "kafka")
    until(lambda: state_of(instance, "kafka").pid)
    child = state_of(instance, "kafka").pid
    daemon = supervision.daemon(instance)
    assert daemon is not None
    daemon.kill()
    until(lambda: supervision.daemon(instance) is None)
    other = settings.parse({**SECRETS, "DATA_DIR": str(tmp_path)})
    assert leftovers.living(other) == []
    until(lambda: [process.pid for process in leftovers.living(instance)] == [child])
    leftovers.end(instance)
    assert leftovers.living(instance) == []


def test_no_secret_stands_in_the_configuration_or_a_command_line(stopped: Settings) -> None:
    programs = places.Installed(java=Path("/j"), kafka=Path("/k"), nocodb=Path("/n"), postgresql=Path("/p/15/bin"))
    text = supervision.configuration(stopped, parts.all_parts(stopped, programs))
    assert not [name for name, secret in SECRETS.items() if secret in text]


def test_a_part_gets_the_settings_and_not_the_rest_of_the_environment(stopped: Settings) -> None:
    given = {"NOCODB_PORT": "8090", "https_proxy": "http://p:1", "AWS_SECRET": "x", "PATH": "/home/me/bin", "LANG": "C"}
    made = supervision.environment(stopped, given)
    assert made["NOCODB_PORT"] == "8090"
    assert made["https_proxy"] == "http://p:1"
    assert "AWS_SECRET" not in made
    assert "/home/me" not in made["PATH"]


def test_all_phases_of_the_end_fit_into_thirty_seconds() -> None:
    assert sum(seconds for _, seconds in parts.ENDING) < 30
    assert sorted(name for names, _ in parts.ENDING for name in names) == sorted(parts.NAMES)


def test_a_log_shown_to_a_person_has_no_secret_in_it(stopped: Settings) -> None:
    log = stopped.logs / "kafka.log"
    log.write_text(f"connecting with {stopped.postgres_password}\n")
    assert readiness.last_lines(stopped, log) == ["connecting with ***"]


def test_the_end_of_a_log_gives_the_reason_and_not_where_in_a_program_it_was(stopped: Settings) -> None:
    log = stopped.logs / "kafka.log"
    frames = "".join(f"\tat org.example.Some.method(Some.java:{number})\n" for number in range(30))
    log.write_text(f"ERROR it is full\njava.io.IOException: No space left on device\n{frames}\n")
    assert readiness.last_lines(stopped, log) == ["ERROR it is full", "java.io.IOException: No space left on device"]
