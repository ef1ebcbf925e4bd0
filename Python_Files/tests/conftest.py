"""The real thing for the tests: one whole instance of the project, with its own ports, data and settings.

It is made by the project's own scripts, in a scratch directory that the unprivileged user can reach, and ended by them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest

from pipeline import settings as all_settings
from pipeline.database.connection import connect
from pipeline.errors import PassingFault
from pipeline.nocodb import Users
from pipeline.operations.supervision import Process, Supervisor
from pipeline.settings import ROOT, Settings

DATA = Path(__file__).parent / "data"
# A machine that is shared may stand still for longer than an example may take by default.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
ROOMS = ("acceptance", "integration", "unit")
OF_CONTAINERS = ("test_docker", "test_move")
PORTS = ("KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "POSTGRES_PORT", "NOCODB_PORT", "API_PORT")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For tests side by side: those of a file in one process, all that build images in one; the slow ones first."""
    for item in items:
        name = "containers" if item.path.name.startswith(OF_CONTAINERS) else item.path.stem
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: ROOMS.index(item.path.parent.name))


class _AtOnce:
    """Tells a failure when it happens: a run that is ended before its end has told what it found."""

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.failed:
            return
        self._terminal.ensure_newline()
        self._terminal.write_sep("_", f"failed: {report.nodeid} ({report.when})")
        for title, text in (("", report.longreprtext), *report.sections):
            self._terminal.write_line(f"{title}\n{text}")


@pytest.hookimpl(trylast=True)  # the terminal is there only then
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None:
        config.pluginmanager.register(_AtOnce(terminal))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure comes what its instance was doing."""
    report = yield
    for instance in getattr(item, "funcargs", {}).values():
        if report.failed and isinstance(instance, Instance):
            report.sections.append(("the instance meanwhile", instance.told()))
    return report


def until(condition: Callable[[], object], what: str, seconds: float = 90) -> Any:
    """What the condition answers as soon as it is true; a failure that says ``what`` when it never is."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = condition()
        except PassingFault as fault:
            answer, why = None, f" ({fault.message}: {fault.detail})"
        else:
            why = ""
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds} s still not: {what}{why}")
        time.sleep(0.2)


def ports_of_this_process() -> range:
    """Where to choose ports: tests side by side keep out of each other's way, also while a server is stopped.

    None that the kernel gives to outgoing connections (from 32768): one of those could hold it when the server comes.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return range(12_000 + number % 4 * 5_000, 17_000 + number % 4 * 5_000)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(ports_of_this_process())
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            found += [] if port in found else [port]
    return found


@dataclass
class Instance:
    """An instance of the project in a scratch directory: its settings file, its scripts, its stores."""

    directory: Path
    environment: dict[str, str]
    root: Path = ROOT
    _connection: Any = field(default=None, repr=False)

    @property
    def settings(self) -> Settings:
        return all_settings.load(self.environment)

    @property
    def settings_of_tests(self) -> Settings:
        """The same servers, but files of the tests' own: what root writes must not stand in the instance's way."""
        return msgspec.structs.replace(self.settings, data_dir=str(self.directory / "tests"))

    def run(self, *command: str, seconds: float = 900, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a script of the project as a person would; its output is in the failure when it fails."""
        done = subprocess.run(
            [str(self.root / command[0]), *command[1:]],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        if ok and done.returncode != 0:
            pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
        return done

    def python(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of the pipeline with the project's own Python."""
        return self.run(sys.executable, *arguments, ok=ok)

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.run("Administrator_scripts/Status.sh", "--json", ok=False).stdout)
        return told

    def settled(self, seconds: float = 180) -> dict[str, Any]:
        """The totals of its status as soon as nobody is on the way to a store."""

        def totals() -> dict[str, Any] | None:
            counted: dict[str, Any] | None = self.status()["totals"]
            return counted if counted and not counted["on_the_way"] else None

        found: dict[str, Any] = until(totals, "nobody is on the way", seconds)
        return found

    def told(self) -> str:
        """Its status and the ends of its logs, for a failure."""
        try:
            status = self.run("Administrator_scripts/Status.sh", ok=False, seconds=120).stdout
        except (OSError, subprocess.SubprocessError) as error:
            status = f"no status: {error}"
        logs = (self.directory / "data" / "logs").glob("*.log")
        ends = ((path.name, path.read_text("utf-8", "replace").splitlines()[-12:]) for path in sorted(logs))
        return "\n".join([status, *(f"-- {name}\n" + "\n".join(lines) for name, lines in ends)])

    def rows(self, sql: str, values: Any = None) -> list[tuple[Any, ...]]:
        """The rows of a query on the pipeline's database, in a transaction of its own."""
        connection = connect(self.settings, name="tests")
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, values)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def users(self) -> Users:
        return Users(self.settings)

    def in_postgresql(self) -> set[str]:
        return {str(uuid) for (uuid,) in self.rows("SELECT uuid FROM pipeline.users")}

    def in_nocodb(self) -> set[str]:
        users = self.users()
        try:
            return {str(uuid) for uuid in users.uuids()}
        finally:
            users.close()

    def feed(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("Administrator_scripts/Get_Data.sh", *arguments, ok=ok)


def new_instance(**given: str) -> Instance:
    """A scratch directory and settings; nothing runs in it yet."""
    # Short, for the names of Unix sockets end at 107 bytes, and outside of pytest's own directory, which is closed.
    directory = Path(tempfile.mkdtemp(prefix="pl-", dir="/tmp"))
    directory.chmod(0o755)
    return Instance(
        directory,
        {
            "PIPELINE_ENV_FILE": str(directory / "env"),
            "PIPELINE_MODE": "native",  # on a machine with a container engine too
            "DATA_DIR": str(directory / "data"),
            "BACKUP_DIR": str(directory / "backup"),
            **dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True)),
            **given,
        },
    )


@contextmanager
def standing_still(instance: Instance, part: str) -> Iterator[None]:
    """A part with one process does not run, for as long as the block takes."""
    supervisor = Supervisor(instance.settings)

    def process() -> Process:
        return next(one for one in supervisor.processes() if one.part == part)

    until(lambda: process().state == "RUNNING", f"{part} runs")
    supervisor.stop(part, process().name)
    until(lambda: process().state == "STOPPED", f"{part} has ended")
    try:
        yield
    finally:
        supervisor.start(part, process().name)


@pytest.fixture(scope="session")
def stack() -> Iterator[Instance]:
    """A running instance, fed by the stand-in every minute. Its end is checked too: no process of it is left."""
    instance = new_instance()
    started = instance.run("Project_Start.sh", "--offline")
    print(started.stdout)
    yield instance
    end(instance)


def end(instance: Instance, before_removal: Callable[[], None] = lambda: None) -> None:
    """Stop an instance and remove its files; no process of it may be left."""
    stopped = instance.run("Project_Stop.sh")
    left = processes_of(instance)
    if os.environ.get("KEEP_SCRATCH") is None:
        before_removal()
        shutil.rmtree(instance.directory, ignore_errors=True)
    assert not left, f"left over after Project_Stop.sh: {left}\n{stopped.stdout}"


def processes_of(instance: Instance) -> list[str]:
    """Command lines of living processes that have the instance's directory in their environment or arguments."""
    found = []
    mark = str(instance.directory).encode()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            command = (process / "cmdline").read_bytes()
            if command and (mark in command or mark in (process / "environ").read_bytes()):
                found.append(command.replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return found
