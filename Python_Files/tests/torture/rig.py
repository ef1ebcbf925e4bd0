"""A running instance whose stages can be hurt: each runs through the driver and over links, with a clock to set."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import Instance
from pipeline import broker, topics
from pipeline.errors import PipelineError
from pipeline.operations import kafka_server, supervision
from pipeline.operations.supervision import Process, Supervisor
from torture.driver import POINTS
from torture.links import Link

_HERE = Path(__file__).parent


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    """What the condition answers as soon as it is true; the last one when it never is. Known errors are no answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = condition()
        except PipelineError:
            answer = None
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.2)


class Rig:
    """Takes the stages over within the instance's own supervisor, which starts them again as ever, and gives them back.

    With ``kafka`` all of Kafka's clients go through a link, too: Kafka is started again for that.
    """

    def __init__(self, instance: Instance, *, kafka: bool = False) -> None:
        self.instance = instance
        self.settings = instance.settings
        self.supervisor = Supervisor(self.settings)
        self.directory = instance.directory / "torture"
        self.links = {"postgresql": Link(self.settings.postgres_port), "nocodb": Link(self.settings.nocodb_port)}
        if kafka:
            self.links["kafka"] = Link(self.settings.kafka_port)
        self._config = supervision.config_file(self.settings)
        self._original = self._config.read_text(encoding="utf-8")
        owner = self.settings.data.stat()
        for place in (self.directory, self.orders):
            place.mkdir(exist_ok=True)
            os.chown(place, owner.st_uid, owner.st_gid)
        self.clock_library = self._compile_clock()

    @property
    def orders(self) -> Path:
        return self.directory / "orders"

    def _compile_clock(self) -> Path | None:
        """The library that sets one process's clock back; None where there is no C compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        library = self.directory / "clock.so"
        source = str(_HERE / "clock.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), source, "-ldl"], check=True)
        library.chmod(0o755)
        return library

    def clock_of(self, stage: str) -> dict[str, str]:
        """The environment of a process whose clock ``set_clock`` sets."""
        if self.clock_library is None:
            return {}
        return {"LD_PRELOAD": str(self.clock_library), "TORTURE_CLOCK": str(self.directory / f"clock.{stage}")}

    def set_clock(self, stage: str, back: int) -> None:
        """Set the clock of the stage back by so many seconds; 0 is the right time."""
        (self.directory / f"clock.{stage}").write_text(f"{back}\n", encoding="ascii")

    def take_over(self) -> None:
        """Run the stages through the driver from now on."""
        for stage in topics.STAGES:
            self.set_clock(stage, 0)
        if "kafka" in self.links:
            port, link = self.settings.kafka_port, self.links["kafka"].port
            file = kafka_server.directory(self.settings) / "server.properties"
            text = file.read_text(encoding="utf-8")
            # Its clients are told to come to the link; of two lines with one name Java takes the last.
            line = next(one for one in text.splitlines() if one.startswith("advertised.listeners="))
            file.write_text(f"{text}{line.replace(f':{port},', f':{link},')}\n", encoding="utf-8")
            self.restart("kafka")
            if not wait_for(lambda: broker.ready(self.settings) is None, 120):
                raise PipelineError("Kafka does not come back")
        self._configure(self._through_driver())

    def give_back(self) -> None:
        """Everything as it was; what is frozen is woken."""
        self.calm()
        self._configure(self._original)
        for link in self.links.values():
            link.close()

    def calm(self) -> None:
        """End every fault that lasts: links pass, clocks are right, no order is left, one process a stage."""
        for link in self.links.values():
            link.restore()
        for stage in topics.STAGES:
            self.set_clock(stage, 0)
            for point in POINTS[stage]:
                (self.orders / f"{stage}.{point}").unlink(missing_ok=True)
        for process in self.supervisor.processes():
            if process.part in topics.STAGES and process.pid:
                os.kill(process.pid, signal.SIGCONT)

    def _through_driver(self) -> str:
        lines = []
        stage = ""
        for line in self._original.splitlines():
            if line.startswith("[program:"):
                stage = line.removeprefix("[program:").rstrip("]")
            if stage in topics.STAGES and line.startswith("command="):
                python, door, *rest = shlex.split(line.removeprefix("command="))
                driver = [python, str(_HERE / "driver.py"), str(self.orders), stage, door, *rest]
                environment = {"POSTGRES_PORT": str(self.links["postgresql"].port), **self.clock_of(stage)}
                if stage == topics.TO_NOCODB:
                    environment["NOCODB_PORT"] = str(self.links["nocodb"].port)
                told = ",".join(f'{name}="{value}"' for name, value in environment.items())
                lines += [f"command={shlex.join(driver)}", f"environment={told}"]
            else:
                lines.append(line)
        return "\n".join(lines) + "\n"

    def _configure(self, text: str) -> None:
        """Let the supervisor run with another file; the stages, whose commands differ, are ended and started anew."""
        self._config.write_text(text, encoding="utf-8")
        ((_, changed, _),) = self.supervisor._ask("reloadConfig")
        for name in changed:
            self.supervisor._ask("stopProcessGroup", name, True)
            self.supervisor._ask("removeProcessGroup", name)
            self.supervisor._ask("addProcessGroup", name)
        for stage in topics.STAGES:
            self.supervisor.start(stage, f"{stage}-1")
        for stage in topics.STAGES:
            wait_for(lambda stage=stage: self.living(stage) and broker.group_ready(self.settings, stage), 60)

    def living(self, part: str) -> list[Process]:
        """The processes of a part that live."""
        return [one for one in self.supervisor.processes() if one.part == part and one.state in ("RUNNING", "STARTING")]

    def kill(self, part: str, index: int = 0, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a process of the part, once it lives; its number, or 0 when none came to life in time."""
        found: list[Process] = wait_for(lambda: self.living(part), 30) or []
        if not found:
            return 0
        pid = found[index % len(found)].pid
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            return 0
        return pid

    def restart(self, part: str) -> None:
        """End a part in order and start it again."""
        self.supervisor._ask("stopProcess", f"{part}:{part}", True)
        self.supervisor.start(part, part)

    def scale(self, stage: str, number: int) -> None:
        """So many processes of a stage, without waiting for them."""
        for count in range(1, self.settings.kafka_partitions + 1):
            if count <= number:
                self.supervisor.start(stage, f"{stage}-{count}")
            else:
                self.supervisor.stop(stage, f"{stage}-{count}")

    def order(self, stage: str, point: str) -> None:
        """Let the process of the stage that comes to the point first kill itself there."""
        place = self.orders / f"{stage}.{point}"
        place.with_name(f"{place.name}.done").unlink(missing_ok=True)
        place.touch()

    def carried_out(self, stage: str, point: str) -> bool:
        """Whether the last such order was taken."""
        return (self.orders / f"{stage}.{point}.done").exists()

    def withdraw(self, stage: str, point: str) -> None:
        """Take an order back that nobody came to."""
        (self.orders / f"{stage}.{point}").unlink(missing_ok=True)


@contextmanager
def taken_over(instance: Instance) -> Iterator[Rig]:
    """The instance with its stages taken over for the length of a block."""
    rig = Rig(instance)
    try:
        rig.take_over()
        yield rig
    finally:
        rig.give_back()
