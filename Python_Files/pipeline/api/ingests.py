"""Fetches that somebody ordered: one at a time, each the same program that fetches by hand, as a process of its own."""

from __future__ import annotations

import logging
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from typing import Literal

import msgspec

from pipeline.api.answers import Refusal
from pipeline.feed.plan import REAL, STAND_IN
from pipeline.feed.run import run_name
from pipeline.feed.sources import offline_file, until_reachable_file
from pipeline.log import event
from pipeline.settings import ROOT, Settings

logger = logging.getLogger(__name__)

MOST_RESULTS = 1000
"""People of one order: one request to the source, and so one fetch-id."""
SECONDS = 150.0
"""The program gives up long before."""
_WAITING = 3
_KEPT = 200


class Ingest(msgspec.Struct):
    """An order, and how far it is."""

    ingest_id: str
    results: int
    fetch_id: str
    follow: str
    state: Literal["waiting", "running", "published", "failed"] = "waiting"
    people: int | None = None
    error: str | None = None


class Ingests:
    """The orders, done one after the other by a thread; the last ones are remembered until this process ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: OrderedDict[str, Ingest] = OrderedDict()
        self._waiting: queue.Queue[Ingest] = queue.Queue(_WAITING)
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    def order(self, results: int) -> Ingest:
        """Raises Refusal with 429 when too many wait already."""
        name = run_name("api", time.time())
        made = Ingest(name, results, f"{self._source()}-{name}-p1", f"/api/ingest/{name}")
        with self._lock:
            try:
                self._waiting.put_nowait(made)
            except queue.Full:
                raise Refusal(
                    429,
                    f"{_WAITING} fetches wait already",
                    hint="Ask again in 30 seconds.",
                    headers={"Retry-After": "30"},
                ) from None
            self._kept[name] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="ingests", daemon=True)
                self._worker.start()
        return made

    def find(self, name: str) -> Ingest | None:
        with self._lock:
            return self._kept.get(name)

    def close(self) -> None:
        """End what runs; nothing of a fetch is published unless all of it is."""
        self._closed = True
        if self._process is not None:
            self._process.terminate()

    def _source(self) -> str:
        """Who will be asked, as far as that is known before."""
        stand_in = self._settings.feed_offline or offline_file(self._settings).exists()
        return STAND_IN if stand_in or until_reachable_file(self._settings).exists() else REAL

    def _work(self) -> None:
        while not self._closed:
            one = self._waiting.get()
            one.state = "running"
            try:
                self._run(one)
            except Exception as error:  # the next order is to be done all the same
                logger.exception("an ordered fetch failed")
                one.error, one.state = type(error).__name__, "failed"
            event(logger, logging.INFO, "ordered fetch ended", ingest=one.ingest_id, state=one.state, people=one.people)

    def _run(self, one: Ingest) -> None:
        door = ROOT / "Python_Files" / "0-Get_Data.py"
        self._process = subprocess.Popen(
            [sys.executable, str(door), "--results", str(one.results), "--run", one.ingest_id],
            cwd=ROOT,
            env={**os.environ, "PIPELINE_STATE_FILE": ""},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        with self._process as process:
            try:
                told, _ = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                told, _ = process.communicate()
                one.error = f"it took longer than {SECONDS:.0f} seconds and was ended"
        self._process = None
        for line in told.splitlines():
            logger.info("[%s] %s", one.ingest_id, line)
        if process.returncode == 0:
            if found := re.search(rf"fetch_id=(\S+-{re.escape(one.ingest_id)}-p1) .*received=(\d+)", told):
                one.fetch_id, one.people = found[1], int(found[2])
            one.state = "published"
            return
        reported = re.search(r"^error: (.+)$", told, re.MULTILINE)
        one.error = one.error or (reported[1] if reported else f"it ended with {process.returncode}")
        one.state = "failed"
