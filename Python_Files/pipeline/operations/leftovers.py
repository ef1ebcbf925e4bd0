"""Processes of this instance that live, whoever is their parent: known by a mark in their environment."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress

import psutil

from pipeline.operations import postgresql_server
from pipeline.operations.supervision import MARK
from pipeline.settings import Settings


def living(settings: Settings) -> list[psutil.Process]:
    """All processes of this instance, less the one that asks and its ancestors. The supervisor is one of them.

    PostgreSQL's own children overwrite their environment with a title; they are known by their working directory.
    """
    mark = str(settings.data.resolve())
    cluster = str(postgresql_server.directory(settings).resolve())
    asking = psutil.Process()
    own = {asking.pid, *(parent.pid for parent in asking.parents())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid in own or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) == mark or process.cwd() == cluster:
                found.append(process)
    return found


def end(settings: Settings, seconds: float = 10.0, tell: Callable[[str], None] = lambda _: None) -> None:
    """End what lives: politely, PostgreSQL last, then, after ``seconds`` each, by SIGKILL."""
    cluster = str(postgresql_server.directory(settings).resolve())
    for of_postgresql in (False, True):
        left = [process for process in living(settings) if _is_in(process, cluster) == of_postgresql]
        numbers = {process.pid for process in left}
        for process in left:
            with suppress(psutil.Error):
                # A child of PostgreSQL's first process ends with it; to a child SIGINT would mean something else.
                if of_postgresql and process.ppid() in numbers:
                    continue
                tell(f"ends {process.name()}, process {process.pid}")
                process.send_signal(signal.SIGINT if of_postgresql else signal.SIGTERM)
        _, stubborn = psutil.wait_procs(left, timeout=seconds)
        for process in stubborn:
            with suppress(psutil.Error):
                tell(f"kills {process.name()}, process {process.pid}, which does not end")
                process.kill()
        psutil.wait_procs(stubborn, timeout=5)


def _is_in(process: psutil.Process, directory: str) -> bool:
    try:
        return str(process.cwd()) == directory
    except (psutil.Error, OSError):
        return False
