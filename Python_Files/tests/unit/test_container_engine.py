"""What the scripts of the container way tell before anything starts.

The engine is a program named docker, first in PATH, that says what an engine in that state says.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.settings import ROOT

DOCKER = """#!/bin/bash
case "$*" in
    "version "*)
        [[ -z "$HANGS" ]] || exec sleep 60
        if [[ -n "$SILENCE" ]]; then printf 'engine  \\n'; printf '%s\\n' "$SILENCE" >&2; exit 1; fi
        printf 'engine %s\\n' "${ENGINE_SAYS:-28.2.2 1.50}" ;;
    "compose version"*) [[ -n "$COMPOSE_SAYS" ]] || exit 1; printf '%s\\n' "$COMPOSE_SAYS" ;;
    "compose "*" config") printf '%b' "$CONFIG_SAYS" ;;
    "compose "*" ps "*) printf '%s' "$RUNNING" ;;
    "info "*MemTotal*) printf '%s\\n' "$(( ${MEMORY_MB:-8192} * 1048576 ))" ;;
    "info "*DockerRootDir*) printf '%s|%s\\n' "$ROOT_DIR" "$(uname -n)" ;;
    "volume inspect "*) [[ " $VOLUMES " == *" $3 "* ]] ;;
    "ps --filter publish"*) printf '%s\\n' "$HOLDER" ;;
    "ps --all"*working_dir*) printf '%s\\n' "$OTHER_FOLDER" ;;
    *) echo "docker $*: not known to this test" >&2; exit 99 ;;
esac
"""

CONFIG = """services:
  kafka:
    mem_limit: "4294967296"
    restart: unless-stopped
  add-label:
    mem_limit: "1073741824"
    scale: 3
  settings:
    mem_limit: "68719476736"
    restart: 'no'
networks:
  inside: {}
x-common:
  mem_limit: 256g
"""


@dataclass
class Machine:
    """A machine with a docker program, or without; every value is what that program says."""

    directory: Path
    says: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> Path:
        return self.directory / "env"

    def run(self, script: str, **says: str) -> subprocess.CompletedProcess[str]:
        given = {
            "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.directory),
            "PIPELINE_ENV_FILE": str(self.env),
            "DATA_DIR": str(self.directory / "data"),
            "COMPOSE_PROJECT_NAME": "testing",
            "COMPOSE_SAYS": "2.40.3",
            **says,
        }
        return subprocess.run(
            ["bash", "-c", f"set -Eeuo pipefail; cd {ROOT}; . Administrator_scripts/lib.sh; {script}"],
            env=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def check(self, function: str, **says: str) -> str:
        """What the check says when it fails; nothing when all is well."""
        done = self.run(f". Administrator_scripts/docker/compose.sh; {function}", **says)
        assert (done.returncode == 0) == (done.stderr == ""), done
        return done.stderr

    def choose(self, asked: str = "", **says: str) -> tuple[int, str]:
        done = self.run(f'. Administrator_scripts/way.sh; choose_way {asked}; echo "[$WAY]"', **says)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    return Machine(tmp_path)


def without_docker(machine: Machine) -> dict[str, str]:
    """A PATH with the programs that the scripts call, and no docker among them."""
    programs = machine.directory / "programs"
    programs.mkdir()
    for name in ("bash", "dirname", "sed", "tail", "head", "sort", "stat", "id", "grep", "awk", "paste", "cut", "cat"):
        (programs / name).symlink_to(shutil.which(name) or name)
    return {"PATH": str(programs)}


PERMISSION = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"
NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@pytest.mark.parametrize(
    ("says", "message", "hint"),
    [
        ({"SILENCE": NO_DAEMON}, "no container engine answers", "systemctl start docker"),
        ({"SILENCE": PERMISSION}, "this user may not use the container engine", "group docker"),
        ({"HANGS": "1", "ENGINE_SECONDS": "1"}, "in 1 s nothing came from the engine", "systemctl restart docker"),
        ({"COMPOSE_SAYS": ""}, "the container engine has no Compose", "docker-compose-plugin"),
        ({"COMPOSE_SAYS": "v2.23.3"}, "Compose is too old", "Update the plugin"),
        ({"COMPOSE_SAYS": "2.20.2+ds1-0ubuntu1"}, "it is 2.20.2+ds1-0ubuntu1", "Update the plugin"),
        # Before 5.6 Compose refuses start_interval for these; a newer one does without it, down to 20.10.
        ({"ENGINE_SAYS": "24.0.7 1.43"}, "the container engine is too old", "Update Docker Engine"),
        ({"ENGINE_SAYS": "19.03 1.40", "COMPOSE_SAYS": "5.6.1"}, "needs API 1.41", "Update Docker Engine"),
    ],
)
def test_an_engine_that_cannot_run_it_is_told_with_the_remedy(
    machine: Machine, says: dict[str, str], message: str, hint: str
) -> None:
    told = machine.check("check_engine", **says)
    assert told.startswith("error: ")
    assert message in told
    assert hint in told.partition("hint: ")[2]
    assert "--native" in told.partition("hint: ")[2]


@pytest.mark.parametrize(
    "says",
    [
        {},
        {"ENGINE_SAYS": "25.0.0 1.44", "COMPOSE_SAYS": "2.24.6+ds1-0ubuntu1~22.04.1"},
        {"ENGINE_SAYS": "27.4.0 1.47", "COMPOSE_SAYS": "v2.31.0-desktop.2"},
        {"ENGINE_SAYS": "20.10.24+dfsg1 1.41", "COMPOSE_SAYS": "5.6.1"},
        {"COMPOSE_SAYS": "dev"},
    ],
)
def test_an_engine_that_is_new_enough_is_taken(machine: Machine, says: dict[str, str]) -> None:
    assert machine.check("check_engine", **says) == ""


def test_a_machine_without_docker_is_told(machine: Machine) -> None:
    assert "the program docker is not installed" in machine.check("check_engine", **without_docker(machine))


def test_the_memory_that_is_needed_follows_the_limits_of_what_lasts(machine: Machine) -> None:
    done = machine.run(". Administrator_scripts/docker/compose.sh; needed_memory", CONFIG_SAYS=CONFIG)
    assert done.stdout == str((4096 + 3 * 1024) // 2)
    told = machine.check("check_memory", CONFIG_SAYS=CONFIG, MEMORY_MB="3583", KAFKA_MEMORY_MB="4096")
    assert "it has 3583 MiB, the services as they are set need 3584" in told
    assert "KAFKA_MEMORY_MB 4096" in told
    assert machine.check("check_memory", CONFIG_SAYS=CONFIG, MEMORY_MB="3584") == ""


def test_too_little_room_for_the_images_is_told(machine: Machine) -> None:
    assert machine.check("LEAST_ROOM_MB=1; check_room", ROOT_DIR=str(machine.directory)) == ""
    told = machine.check("LEAST_ROOM_MB=999999999; check_room", ROOT_DIR=str(machine.directory))
    assert f"MiB are free in {machine.directory}; the images need about 999999999" in told
    # The disk of an engine in a virtual machine cannot be seen from here.
    assert machine.check("LEAST_ROOM_MB=999999999; check_room", ROOT_DIR="/not/of/this/machine") == ""


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_in_use_is_told_with_who_has_it(machine: Machine, taken: int) -> None:
    told = machine.check("check_address", NOCODB_PORT=str(taken))
    assert f"port {taken} is in use" in told
    assert f"{os.getpid()}" in told or "somebody listens" in told
    told = machine.check("check_address", NOCODB_PORT=str(taken), HOLDER="shop-web-1")
    assert f"the container shop-web-1 listens on 127.0.0.1:{taken}" in told
    assert "Set NOCODB_PORT" in told


def test_the_port_of_the_read_api_is_looked_at_too(machine: Machine, taken: int) -> None:
    told = machine.check("check_address", API_PORT=str(taken))
    assert f"port {taken} is in use" in told
    assert "Set API_PORT" in told


def test_the_port_that_its_own_nocodb_has_is_no_fault(machine: Machine, taken: int) -> None:
    assert machine.check("check_address", NOCODB_PORT=str(taken), RUNNING="0123abcd") == ""


@pytest.mark.parametrize(
    ("host", "message"),
    [("203.0.113.7", "not an address of this machine"), ("my-machine.example", "allowed in the container way: an IP")],
)
def test_an_address_of_another_machine_is_told(machine: Machine, host: str, message: str) -> None:
    done = machine.run(". Administrator_scripts/docker/compose.sh; check_address", NOCODB_HOST=host)
    assert message in done.stderr
    assert done.returncode == 2


def test_a_folder_with_the_same_project_name_is_told(machine: Machine) -> None:
    other = machine.directory / "other"
    other.mkdir()
    assert machine.check("check_project", OTHER_FOLDER=str(other)) == ""  # it was moved away
    (other / "docker-compose.yml").touch()
    assert f"{other} has the project testing too" in machine.check("check_project", OTHER_FOLDER=str(other))
    assert machine.check("check_project", OTHER_FOLDER=str(ROOT)) == ""


def test_the_first_run_takes_containers_where_an_engine_can_run_them(machine: Machine) -> None:
    status, told = machine.choose()
    assert (status, told.splitlines()[-1]) == (0, "[docker]")
    assert "containers: the engine 28.2.2 answers (--native runs it without)" in told
    assert len(told.splitlines()) == 2


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"SILENCE": NO_DAEMON}, "native: no container engine answers; there is a docker program, but: Cannot connect"),
        ({"SILENCE": PERMISSION}, "native: this user may not use the container engine"),
        ({"COMPOSE_SAYS": "2.1.1"}, "native: Compose is too old; it is 2.1.1"),
        ({"MEMORY_MB": "1000"}, "native: the container engine has too little memory"),
    ],
)
def test_the_first_run_is_native_and_says_why_where_none_can(machine: Machine, says: dict[str, str], why: str) -> None:
    status, told = machine.choose(**says)
    assert (status, told.splitlines()[-1]) == (0, "[native]")
    assert why in told
    assert len(told.splitlines()) == 2


def test_the_first_run_does_as_it_is_told(machine: Machine) -> None:
    assert machine.choose(PIPELINE_MODE="native") == (0, "[native]\n")
    assert machine.choose("native") == (0, "[native]\n")
    assert machine.choose("docker", SILENCE=NO_DAEMON) == (0, "[docker]\n")
    status, told = machine.choose(PIPELINE_MODE="podman")
    assert (status, "allowed: native or docker" in told) == (2, True)


def test_what_is_recorded_stays(machine: Machine) -> None:
    machine.env.write_text("PIPELINE_MODE=native\n")
    assert machine.choose() == (0, "[native]\n")
    machine.env.write_text("PIPELINE_MODE=docker\n")
    assert machine.choose(SILENCE=NO_DAEMON) == (0, "[docker]\n")


def test_native_data_without_a_recorded_way_stays_native(machine: Machine) -> None:
    (machine.directory / "data" / "postgresql").mkdir(parents=True)
    (machine.directory / "data" / "postgresql" / "PG_VERSION").touch()
    assert machine.choose()[1].endswith("[native]\n")


def test_data_of_the_other_way_is_not_left_behind(machine: Machine) -> None:
    machine.env.write_text("PIPELINE_MODE=docker\n")
    status, told = machine.choose("native", VOLUMES="testing_postgres-data")
    assert status == 2
    assert "this installation runs in containers" in told
    assert "Administrator_scripts/Move.sh --to native" in told
    # What cannot be seen may be there.
    status, told = machine.choose("native", SILENCE=NO_DAEMON)
    assert (status, "whether it has data cannot be seen" in told) == (2, True)
    machine.env.write_text("PIPELINE_MODE=native\n")
    (machine.directory / "data" / "postgresql").mkdir(parents=True)
    (machine.directory / "data" / "postgresql" / "PG_VERSION").touch()
    status, told = machine.choose("docker")
    assert (status, "Administrator_scripts/Move.sh --to docker" in told) == (2, True)


def test_where_the_other_way_has_no_data_yet_the_way_may_change(machine: Machine) -> None:
    machine.env.write_text("PIPELINE_MODE=native\n")
    assert machine.choose("docker")[1].endswith("[docker]\n")
    machine.env.write_text("PIPELINE_MODE=docker\n")
    assert machine.choose("native", VOLUMES="another_postgres-data")[1].endswith("[native]\n")


def test_a_start_never_changes_the_way(machine: Machine) -> None:
    machine.env.write_text("PIPELINE_MODE=docker\n")
    status, told = machine.choose("--keep", PIPELINE_MODE="native")
    assert (status, "PIPELINE_MODE is docker in" in told) == (2, True)
    assert machine.choose("--keep") == (0, "[docker]\n")


def made_of(folder: Path) -> str:
    script = f"ROOT={folder}; PROJECT=x; . {ROOT}/Administrator_scripts/docker/images.sh; made_of"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_images_are_made_anew_when_a_file_of_theirs_changes_and_only_then(tmp_path: Path) -> None:
    copy = tmp_path / "project"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        if not name.startswith(("docs/", "Python_Files/tests/", "Administrator_scripts/native/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    before = made_of(copy)
    assert len(before) == 64
    for name in ("README.md", "docker-compose.yml", "Python_Files/pipeline/__pycache__/new.pyc", ".env"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("changed")
    (copy / "Python_Files/pipeline/log.py").touch()
    assert made_of(copy) == before
    seen = {before}
    for name in (
        "Python_Files/pipeline/log.py",
        "requirements.lock",
        "Administrator_scripts/docker/postgres.Dockerfile",
    ):
        with (copy / name).open("a") as stream:
            stream.write("\n")
        assert made_of(copy) not in seen
        seen.add(made_of(copy))
    (copy / "Database-Init" / "99_new.sql").touch()
    assert made_of(copy) not in seen


def test_the_files_let_into_the_images_are_named_in_a_way_that_the_scripts_understand() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    others = [line for line in lines if not line.startswith("!")]
    assert others == ["*", "**/__pycache__", "**/*.pyc"]
    assert [line for line in lines if line.startswith("!") and not list(ROOT.glob(line[1:]))] == []
