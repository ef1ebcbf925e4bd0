"""A project of Compose of the tests' own, brought up by the scripts of the container way and taken down again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import free_ports
from pipeline.settings import ROOT

# Sends the program of a container a signal from within; the init process and this one are left alone.
SIGNAL_THE_PROGRAM = """
import os, pathlib, signal, sys
for entry in pathlib.Path("/proc").iterdir():
    if entry.name.isdigit() and int(entry.name) not in (1, os.getpid()):
        if b"Python_Files/" in (entry / "cmdline").read_bytes():
            os.kill(int(entry.name), signal.Signals[sys.argv[1]])
"""


def why_no_engine() -> str:
    """What the scripts say when the containers cannot run here; nothing when they can."""
    check = ". Administrator_scripts/lib.sh; . Administrator_scripts/docker/compose.sh; check_engine"
    done = subprocess.run(["bash", "-c", check], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return "; ".join(done.stderr.splitlines()[:2]) if done.returncode else ""


@dataclass
class Project:
    """One project of Compose, apart from every other by its name, its settings file and its port."""

    environment: dict[str, str]
    files: tuple[str, ...] = ("docker-compose.yml",)

    @property
    def whole_environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def run(self, *command: str, seconds: float = 900) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.whole_environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def script(self, name: str, *arguments: str) -> str:
        return self.run(f"Administrator_scripts/docker/{name}.sh", *arguments)

    def refused_start(self) -> list[str]:
        """The lines of error that a start ends with."""
        done = subprocess.run(
            ["Administrator_scripts/docker/start.sh", "--offline"],
            cwd=ROOT,
            env=self.whole_environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode in (1, 2), done
        return done.stderr.splitlines()

    def compose_command(self, *arguments: str) -> list[str]:
        files = [part for file in self.files for part in ("-f", file)]
        return ["docker", "compose", *files, "--env-file", self.environment["PIPELINE_ENV_FILE"], *arguments]

    def compose(self, *arguments: str) -> str:
        return self.run(*self.compose_command(*arguments))

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.script("run", "-m", "pipeline.status", "--json"))
        return told

    def feed(self, *arguments: str) -> None:
        self.script("run", "Python_Files/0-Get_Data.py", *arguments)

    def restarts(self, service: str) -> int:
        container = self.compose("ps", "--quiet", service).strip()
        return int(self.run("docker", "inspect", "--format", "{{.RestartCount}}", container))

    def healthy(self, service: str) -> int:
        """How many containers of the service do their work."""
        return self.compose("ps", "--format", "{{.Health}}", service).split().count("healthy")

    def says(self, service: str) -> str:
        """What the last health check of the service's container said."""
        container = self.compose("ps", "--quiet", service).strip()
        told = json.loads(self.run("docker", "inspect", "--format", "{{json .State.Health.Log}}", container))
        return str(told[-1]["Output"]).strip() if told else ""

    def signal(self, service: str, name: str) -> None:
        """Send the program of the service's container a signal."""
        subprocess.run(
            self.compose_command("exec", "-T", service, "python", "-c", SIGNAL_THE_PROGRAM, name),
            cwd=ROOT,
            env=self.whole_environment,
            capture_output=True,
            check=False,  # after SIGKILL the container may end before it has answered
        )

    def kill(self, service: str) -> None:
        """Kill -9 the program of the service's container, as a crash does: the engine knows of no order to stop.

        The init process, which would pass an ordinary signal on, is left alone and ends with its child. Done from the
        engine's machine, for some images have nothing inside to do it with.
        """
        container = self.compose("ps", "--quiet", service).strip()
        init = int(self.run("docker", "inspect", "--format", "{{.State.Pid}}", container))
        children = Path(f"/proc/{init}/task/{init}/children")
        if not children.exists() or container not in Path(f"/proc/{init}/cgroup").read_text():
            pytest.skip("the engine runs on another machine")
        program = [int(pid) for pid in children.read_text().split()]
        os.kill(program[0] if program else init, signal.SIGKILL)

    def everybody_is_stored(self) -> bool:
        totals = self.status()["totals"]
        return bool(
            totals["fetched"] == totals["postgresql"] == totals["nocodb"]
            and totals["on_the_way"] == totals["missing"] == totals["rejected"] == 0
        )


@contextmanager
def installed_project(files: tuple[str, ...] = ("docker-compose.yml",), **given: str) -> Iterator[Project]:
    """A project whose images are built and settings written; nothing of it is left. Skipped without an engine."""
    if why := why_no_engine():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="pl-", dir="/tmp") as directory:
        one = Project(
            {
                "COMPOSE_PROJECT_NAME": Path(directory).name.lower().replace("_", "x"),
                "PIPELINE_ENV_FILE": f"{directory}/env",
                **dict(zip(("NOCODB_PORT", "API_PORT"), map(str, free_ports(2)), strict=True)),
                "BACKUP_DIR": f"{directory}/backup",
                **given,
            },
            files,
        )
        one.script("initialize")
        try:
            yield one
        finally:
            one.compose("down", "--volumes", "--timeout", "20")
            # Compose leaves images alone that have names of their own.
            ours = ("--filter", f"reference={one.environment['COMPOSE_PROJECT_NAME']}/*")
            images = one.run("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", *ours).split()
            one.run("docker", "image", "rm", *images)


def started_project(files: tuple[str, ...] = ("docker-compose.yml",), **given: str) -> Iterator[Project]:
    """A project that runs, fed by the stand-in, with ``given`` settings; without an engine the tests are skipped."""
    with installed_project(files, **given) as one:
        print(one.script("start", "--offline"))
        yield one
