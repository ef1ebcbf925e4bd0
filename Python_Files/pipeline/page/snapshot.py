"""What the page shows, as named sections of JSON, kept up to date by one collector for all readers.

Three threads ask: two what changes all the time and costs little, one of Kafka and one of PostgreSQL; one what changes
slowly or costs more. While nobody looks they ask seldom. A server that does not answer is told as such; its sections
keep what they had.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from pipeline import status, topics
from pipeline.backup import state as backup_state
from pipeline.database.connection import Connection, Cursor, connect, passing
from pipeline.database.queries import query
from pipeline.errors import PassingFault
from pipeline.log import event
from pipeline.metrics import files
from pipeline.page.chain import Chain
from pipeline.page.charts import SPANS, Series
from pipeline.page.ledger import Ledger
from pipeline.settings import Settings

logger = logging.getLogger(__name__)

BUSY_SECONDS, IDLE_SECONDS = 2.0, 15.0
SLOW_SECONDS, SLOW_IDLE_SECONDS = 10.0, 30.0
OLD_SECONDS = 40.0
PEOPLE, REJECTED = 20, 50
SHARE = 0.1
LONGEST_SECONDS = 20.0
"""Of the time at most so much goes into looking: a look that takes longer makes the next one later, within bounds."""
_BEFORE = {topics.TO_POSTGRESQL: "postgresql", topics.TO_NOCODB: "nocodb"}


def as_text(content: Any) -> str:
    """A section as one line of JSON."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


class Snapshot:
    """The sections as they are; whoever waits is woken when one changes. For any number of threads."""

    def __init__(self) -> None:
        self._sections: dict[str, tuple[int, Any]] = {}
        self._texts: dict[str, str] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._listeners: set[Callable[[], None]] = set()

    def tell(self, name: str, content: Any) -> None:
        """Replace a section; nobody is woken for one that is the same."""
        with self._lock:
            if name in self._sections and self._sections[name][1] == content:
                return
            self._number += 1
            self._sections[name], self._texts[name] = (self._number, content), as_text(content)
            listeners = list(self._listeners)
        for one in listeners:
            one()

    def get(self, name: str) -> Any:
        """A section's content, or None when it was never told."""
        with self._lock:
            return self._sections.get(name, (0, None))[1]

    def since(self, number: int) -> tuple[int, dict[str, str]]:
        """The sections that were told after ``number``, as JSON, and the number to ask with next time. 0: all of them.

        The text is made once for all readers.
        """
        with self._lock:
            return self._number, {name: self._texts[name] for name, (at, _) in self._sections.items() if at > number}

    @contextlib.contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Until the end of the block ``listener`` is called, from any thread, at every change."""
        with self._lock:
            self._listeners.add(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.discard(listener)

    @property
    def readers(self) -> int:
        with self._lock:
            return len(self._listeners)


class Asker:
    """One connection to PostgreSQL that is kept, for questions that change nothing."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings, self._name = settings, name
        self._connection: Connection | None = None

    @contextlib.contextmanager
    def cursor(self) -> Iterator[Cursor]:
        """A cursor whose every statement sees what is committed by then. Raises PassingFault; the next one is anew."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = connect(self._settings, role="pipeline_reader", name=self._name)
                self._connection.autocommit = True
            with passing(), self._connection.cursor() as cursor:
                yield cursor
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with contextlib.suppress(Exception):
            if self._connection is not None:
                self._connection.close()
        self._connection = None


class Collector:
    """Asks for as long as it is started. ``snapshot`` has what was found."""

    def __init__(self, settings: Settings) -> None:
        self.snapshot = Snapshot()
        self._settings = settings
        self._chain, self._ledger = Chain(settings), Ledger()
        self._series = {span.name: Series(span) for span in SPANS}
        self._of_chain, self._fast = Asker(settings, "page-chain"), Asker(settings, "page")
        self._slow = Asker(settings, "page-slow")
        # With the moment, for Kafka may keep the next answer waiting.
        self._waits: tuple[float, dict[str, int] | None] = (0.0, None)
        self._faults: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()
        self._wake, self._ended = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to ask, in threads that do not keep the process from ending."""
        self.snapshot.tell("links", status.urls(self._settings))
        for name, look, busy, idle in (
            ("page-chain", self.look_at_chain, BUSY_SECONDS, IDLE_SECONDS),
            ("page", self.look, BUSY_SECONDS, IDLE_SECONDS),
            ("page-slow", self.look_slowly, SLOW_SECONDS, SLOW_IDLE_SECONDS),
        ):
            thread = threading.Thread(target=self._run, args=(look, busy, idle), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the threads; waits a little for a question that was asked."""
        self._ended.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(1.0)

    def wake(self) -> None:
        """Somebody has come to look: the next look is now, and not when it would be due without readers."""
        self._wake.set()

    def _run(self, look: Callable[[], None], busy: float, idle: float) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                look()
            except Exception:
                # Unexpected, and no reason for the page to stand still for ever.
                logger.exception("the page's collector failed")
            rest = min((time.monotonic() - began) / SHARE, LONGEST_SECONDS)
            self._pause(began, max(busy, rest), max(idle, rest))

    def _pause(self, began: float, busy: float, idle: float) -> None:
        while not self._ended.is_set():
            passed = time.monotonic() - began
            if passed >= (busy if self.snapshot.readers else idle):
                return
            # Not longer than a second, so that a first reader is noticed by both threads.
            self._wake.wait(min(1.0, busy))
            self._wake.clear()

    def look_at_chain(self) -> None:
        """The stages, and what waits for them. Kafka may keep this waiting, and nothing else."""
        told = files.read(self._settings.run)
        waits: dict[str, int] | None = None
        with contextlib.suppress(PassingFault), self._of_chain.cursor() as cursor, self._asking("kafka"):
            found = self._chain.look(cursor, told)
            waits = _waits(found)
            cursor.execute(query("page_fetch"))
            found["feed"]["last"] = _fetch(cursor.fetchone())
            self.snapshot.tell("chain", found)
        self._waits = (time.monotonic(), waits)
        self._tell_servers()

    def look(self) -> None:
        """What else changes all the time: the ledger, the newest people, what was refused."""
        with self._asking("postgresql"), self._fast.cursor() as cursor:
            cursor.execute(query("page_people"), {"limit": PEOPLE})
            self.snapshot.tell("people", [_person(row) for row in cursor])
            self.snapshot.tell("rejected", _rejected(cursor))
            told_at, waits = self._waits
            ledger = self._ledger.look(cursor, waits if time.monotonic() - told_at < OLD_SECONDS else None)
            if ledger is not None:
                self.snapshot.tell("ledger", ledger)
        self._tell_servers()
        # The sign of life of this very loop; also says since when a section may be old.
        self.snapshot.tell("at", round(time.time(), 1))

    def look_slowly(self) -> None:
        """What changes slowly or costs more: the sum of the ledger, the charts, the backups, NocoDB."""
        with self._asking("nocodb"):
            self._ask_nocodb()
        try:
            with self._slow.cursor() as cursor:
                self._ledger.add_up(cursor)
                self.snapshot.tell("charts", {name: one.look(cursor) for name, one in self._series.items()})
                cursor.execute(query("page_archiver"))
                archived, failed = cursor.fetchone()
            backup = backup_state.read(self._settings)._asdict()
            self.snapshot.tell("backup", {**backup, "archived_total": archived, "failed_total": failed})
        except PassingFault:
            # The other thread has told it.
            for series in self._series.values():
                series.forget()

    @contextlib.contextmanager
    def _asking(self, server: str) -> Iterator[None]:
        """Note whether the server answers, and say it in the log when that changes."""
        try:
            yield
        except PassingFault as fault:
            why = fault.message
        else:
            why = ""
        with self._lock:
            before = self._faults.get(server)
            self._faults[server] = why
            if bool(before) != bool(why):
                self._since[server] = time.time()
        if bool(before) != bool(why):
            what = "the page cannot ask a server" if why else "the page can ask a server again"
            event(logger, logging.WARNING if why else logging.INFO, what, server=server, fault=why or None)

    def _ask_nocodb(self) -> None:
        try:
            with httpx.Client(trust_env=False, timeout=3.0) as client:
                # Its health route says "OK" without its database; this one counts the users there.
                client.get(f"{self._settings.nocodb_url}/api/v2/meta/nocodb/info").raise_for_status()
        except httpx.HTTPError as error:
            raise PassingFault("NocoDB does not answer", detail=type(error).__name__) from error

    def _tell_servers(self) -> None:
        with self._lock:
            told = {name: {"fault": why, "since": self._since.get(name)} for name, why in self._faults.items()}
        self.snapshot.tell("servers", told)


def _person(row: Any) -> dict[str, Any]:
    names = ("uuid", "first", "last", "nationality", "company", "city", "country", "source", "picture", "fetched_at")
    return dict(zip(names, row, strict=True))


def _rejected(cursor: Cursor) -> dict[str, Any]:
    cursor.execute(query("page_rejected"), {"limit": REJECTED})
    names = ("id", "stage", "reason", "message", "state", "tries", "uuid", "rejected_at")
    rows = cursor.fetchall()
    return {
        "count": rows[0][-1] if rows else 0,
        "rows": [dict(zip(names, row[:-1], strict=True)) | {"message": row[3][:500]} for row in rows],
    }


def _fetch(row: Any) -> dict[str, Any] | None:
    names = ("fetch_id", "source", "received", "failure", "at")
    return dict(zip(names, row, strict=True)) if row else None


def _waits(chain: Mapping[str, Any]) -> dict[str, int]:
    """How many records wait on the way to each store."""
    of = {stage["name"]: stage["waits"] for stage in chain["stages"]}
    before = sum(of[stage] for stage in topics.WRITES)
    return {_BEFORE[sink]: before + of[sink] for sink in _BEFORE}
