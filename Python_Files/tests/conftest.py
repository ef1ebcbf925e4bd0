"""The real thing for the tests: one whole instance of the project, with its own ports, data and settings.

It is made by the project's own scripts, in a scratch directory that the unprivileged user can reach, and ended by them.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import settings as all_settings
from pipeline.database.connection import connect
from pipeline.errors import PassingFault
from pipeline.nocodb import Users
from pipeline.settings import ROOT, Settings

DATA = Path(__file__).parent / "data"
PORTS = ("KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "POSTGRES_PORT", "NOCODB_PORT", "API_PORT")


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


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


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
