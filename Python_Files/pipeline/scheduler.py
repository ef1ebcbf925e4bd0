"""The scheduler: runs the jobs of the crontab, one process group each, and says what became of every run.

It is one thread: it looks four times a second at the clock and at its children. A job that is still running when it is
due again is skipped; minutes that went by unseen (a suspended or overloaded machine) are told as missed. One that hangs
would be skipped for ever: after JOB_MINUTES it gets SIGTERM, and SIGKILL when that does not end it. SIGTERM ends the
scheduler itself: running jobs get eight seconds to finish, then SIGTERM, then SIGKILL; all is over within thirteen.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline import crontab, log, room, state
from pipeline.crontab import Job
from pipeline.errors import PipelineError, UsageError
from pipeline.job_run import CLEAR_SECONDS, Run
from pipeline.metrics import files, names
from pipeline.settings import ROOT, load

logger = logging.getLogger(__name__)

CRONTAB = ROOT / "Administrator_scripts" / "crontab"
LOOK_SECONDS = 0.25
LATE_SECONDS = 60  # a run this late is not made up for; it was missed
FINISH_SECONDS = 8
TERM_SECONDS = 3

Clock = Callable[[], float]


class Scheduler:
    """Runs jobs when they are due. ``now`` is the time of day in seconds; ``zone`` makes it a local time.

    A run may take ``most_seconds``; then it is ended, and has ``clear_seconds`` for that. None: as long as it likes.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        now: Clock = time.time,
        folder: Path = ROOT,
        environment: Mapping[str, str] = os.environ,
        zone: tzinfo | None = None,
        most_seconds: float | None = None,
        clear_seconds: float = CLEAR_SECONDS,
    ) -> None:
        self._jobs = jobs
        self._most_seconds, self._clear_seconds = most_seconds, clear_seconds
        self._now = now
        self._zone = zone or local_zone()
        self._folder = folder
        self._environment = {**environment, "PYTHON": sys.executable}
        self._running: dict[int, Run] = {}
        self._due: dict[int, datetime] = {}
        self.ending = threading.Event()
        # What else is to be looked at once a minute.
        self.each_minute: Callable[[], None] = lambda: None
        # Told at every look.
        self.state = state.State(None)

    def begin(self) -> None:
        """Start the jobs for the start; the others wait for their next time."""
        moment = datetime.fromtimestamp(self._now(), self._zone)
        for job in self._jobs:
            due = job.due_after(moment)
            if due is None:
                self._start(job)
            else:
                self._due[job.line] = due

    def look(self) -> None:
        """Take note of what has ended, then start what is due."""
        self._reap()
        if self._most_seconds is not None:
            for run in self._running.values():
                run.bound(self._most_seconds, self._clear_seconds)
        moment = datetime.fromtimestamp(self._now(), self._zone)
        for job in self._jobs:
            due = self._due.get(job.line)
            if due is None:
                continue
            if due > moment:
                upcoming = job.due_after(moment)
                if upcoming is not None and upcoming < due:  # the clock was set back
                    self._due[job.line] = upcoming
                continue
            self._due[job.line] = job.due_after(moment) or due
            count, last = job.due_until(due, moment)
            on_time = (moment - last).total_seconds() < LATE_SECONDS
            missed = count - 1 if on_time else count
            if missed:
                names.JOB_RUNS.labels(job.name, "missed").inc(missed)
                log.event(logger, logging.WARNING, "missed", job=job.name, runs=missed, since=due.isoformat())
            if on_time:
                self._start(job)

    def run(self) -> None:
        """Work until ``ending`` is set, then end the jobs and return."""
        self.begin()
        minute = 0
        while not self.ending.wait(LOOK_SECONDS):
            self.look()
            self.state.tell(state.WORKING)
            files.tell()
            if (now := int(time.monotonic() // 60)) != minute:
                minute = now
                self.each_minute()
        self.end()

    def end(self, finish: float = FINISH_SECONDS, term: float = TERM_SECONDS) -> None:
        """Wait for the running jobs; after ``finish`` seconds SIGTERM, ``term`` seconds later SIGKILL."""
        for number, patience in ((None, finish), (signal.SIGTERM, term), (signal.SIGKILL, 1.0)):
            for run in self._running.values():
                if number is not None:
                    log.event(logger, logging.WARNING, "job is told to end", job=run.job.name, signal=number.name)
                    run.signal(number)
            until = time.monotonic() + patience
            while self._running and time.monotonic() < until:
                self._reap()
                time.sleep(0.02)
            if not self._running:
                break

    def _reap(self) -> None:
        for line in [line for line, run in self._running.items() if run.finished()]:
            del self._running[line]

    def _start(self, job: Job) -> None:
        running = self._running.get(job.line)
        if running is not None:
            names.JOB_RUNS.labels(job.name, "skipped").inc()
            seconds = time.monotonic() - running.began
            log.event(logger, logging.WARNING, "skipped: it still runs", job=job.name, seconds=seconds)
            return
        try:
            self._running[job.line] = Run(job, self._environment, self._folder)
        except OSError as error:
            log.event(logger, logging.ERROR, "job cannot be started", detail=str(error), job=job.name)


def local_zone(environ: Mapping[str, str] = os.environ, file: Path = Path("/etc/localtime")) -> tzinfo:
    """The machine's time zone with its changes of the clock: TZ, else /etc/localtime, else UTC."""
    name = environ.get("TZ", "").lstrip(":")
    try:
        if name:
            return ZoneInfo(name)
        with file.open("rb") as opened:
            return ZoneInfo.from_file(opened, key=str(file))
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return UTC


def only(jobs: Sequence[Job], *labels: str) -> list[Job]:
    """The jobs under any of the labels. Raises UsageError for a label that has none."""
    there = {job.label for job in jobs if job.label}
    for label in labels:
        if label not in there:
            told = ", ".join(sorted(there)) or "none"
            raise UsageError(f"the crontab has no job under the label {label!r}", detail=f"its labels: {told}")
    return [job for job in jobs if job.label in labels]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.scheduler", description="Run the jobs of the crontab until SIGTERM or Ctrl-C."
    )
    parser.add_argument("crontab", nargs="?", type=Path, default=CRONTAB, help=f"default: {CRONTAB.relative_to(ROOT)}")
    parser.add_argument(
        "--only",
        action="append",
        metavar="LABEL",
        help="run only the jobs under the comment '# [LABEL]'; may be given several times",
    )
    asked = parser.parse_args(arguments)
    try:
        jobs = crontab.read(asked.crontab)
        if asked.only is not None:
            jobs = only(jobs, *asked.only)
        settings = load()
        log.start("scheduler", level=settings.log_level)
    except PipelineError as error:
        print(error.report(), file=sys.stderr)
        return error.exit_code
    scheduler = Scheduler(jobs, most_seconds=settings.job_minutes * 60)
    scheduler.each_minute = room.Watch(settings).look
    scheduler.state = state.from_environment()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: scheduler.ending.set())
    log.event(logger, logging.INFO, "scheduler begins", jobs=len(jobs), python=sys.executable)
    # In the container way there is a second scheduler, beside PostgreSQL.
    with files.telling(settings.run, "scheduler", (names.SCHEDULER,), os.environ.get("PIPELINE_INSIDE") or 0):
        scheduler.run()
    log.event(logger, logging.INFO, "scheduler ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
