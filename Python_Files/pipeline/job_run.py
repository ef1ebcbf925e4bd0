"""One run of a job: a process group of its own, its output in the log, and an end even when it hangs."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import IO

from pipeline import log
from pipeline.crontab import Job
from pipeline.metrics import names

logger = logging.getLogger(__name__)

LINE_BYTES = 4000
CLEAR_SECONDS = 30  # between SIGTERM and SIGKILL, for a job that took too long: a backup takes back what it began


class Run:
    """A job that runs: its process, and the thread that carries its output to the log."""

    def __init__(self, job: Job, environment: Mapping[str, str], folder: Path) -> None:
        self.job = job
        self.began = time.monotonic()
        self._told_to_end: float | None = None
        self._killed = False
        variables = {**environment, **job.environment}
        self.process = subprocess.Popen(
            [job.environment.get("SHELL", "/bin/sh"), "-c", job.command],
            cwd=folder,
            env=variables,
            stdin=subprocess.PIPE if job.stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._carry, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        if job.stdin and self.process.stdin is not None:
            threading.Thread(target=self._feed, args=(self.process.stdin,), daemon=True).start()

    def _carry(self, output: IO[bytes]) -> None:
        for line in iter(lambda: output.readline(LINE_BYTES), b""):
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                logger.info("[%s] %s", self.job.name, text)

    def _feed(self, stdin: IO[bytes]) -> None:
        try:
            with stdin:
                stdin.write(self.job.stdin)
        except OSError:
            pass  # a job need not read its input

    def signal(self, number: Signals) -> None:
        """Send a signal to the whole process group of the job."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def bound(self, most: float, clear: float) -> None:
        """End the job once it has run for ``most`` seconds: SIGTERM, and SIGKILL ``clear`` seconds later."""
        now = time.monotonic()
        if self._told_to_end is None:
            if now - self.began >= most:
                self._told_to_end = now
                self._end("job takes longer than JOB_MINUTES and is told to end", SIGTERM)
        elif not self._killed and now - self._told_to_end >= clear:
            self._killed = True
            self._end("job does not end and is killed", SIGKILL)

    def _end(self, what: str, number: Signals) -> None:
        seconds = time.monotonic() - self.began
        log.event(logger, logging.ERROR, what, job=self.job.name, seconds=seconds, signal=number.name)
        self.signal(number)

    def finished(self) -> bool:
        """Whether the job has ended; if so, that is told."""
        code = self.process.poll()
        if code is None:
            return False
        # The shell has obeyed, but perhaps not the program that hangs: the next run must not meet it.
        if self._told_to_end is not None and not self._killed and self._anybody_left():
            return False
        self._reader.join(0.5)  # what a job left behind may hold its output open; that is not waited for
        seconds = time.monotonic() - self.began
        result = "ended" if self._told_to_end is not None else "ok" if code == 0 else "failed"
        names.JOB_RUNS.labels(self.job.name, result).inc()
        names.JOB_SECONDS.labels(self.job.name).observe(seconds)
        level = logging.INFO if code == 0 else logging.ERROR
        log.event(logger, level, "job ended", exit=code, job=self.job.name, seconds=seconds)
        return True

    def _anybody_left(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True
