"""0-Get_Data: from the API into users.fetched, each fetch with its own record in one transaction.

Nothing of a fetch is published unless all of it is; what a run asked for and got can be counted afterwards.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from pipeline import log, topics
from pipeline.errors import PassingFault, PipelineError
from pipeline.feed.plan import (
    FILE,
    REAL,
    STAND_IN,
    Fetch,
    Kind,
    Order,
    Past,
    iso_minute,
    minute_of,
    read_fetches,
    scheduled,
)
from pipeline.feed.plan import by_hand as orders_by_hand
from pipeline.feed.records import fetch_of, records_of, say_order
from pipeline.feed.sources import Clock, Sources
from pipeline.metrics import names
from pipeline.randomuser import FetchFailed
from pipeline.records import Incoming, Publisher
from pipeline.response import Response
from pipeline.settings import Settings

logger = logging.getLogger(__name__)

STAGE = topics.GET_DATA
TAIL = 500  # fetches looked back at: more than an hour of minutes with four pages each
NETWORK_SECONDS = 55  # of the minute; the rest is for publishing
LEAST_SECONDS = 15  # for a run that begins late in its minute

Tail = Callable[[], Sequence[Incoming]]


class Feed:
    """One run of the feed. ``now`` is the time of day in seconds, ``clock`` counts seconds for deadlines."""

    def __init__(
        self,
        settings: Settings,
        publisher: Publisher,
        tail: Tail,
        *,
        offline: bool = False,
        now: Clock = time.time,
        clock: Clock = time.monotonic,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._tail = tail
        self._now, self._clock = now, clock
        self._sources = Sources(settings, offline=offline, now=now, clock=clock)

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self._sources.close()

    def run_scheduled(self) -> int:
        """Fetch for the current minute, then for missed ones; returns how many people were published.

        Raises FetchFailed when the current minute's fetch failed (its failure is recorded), PassingFault when the
        broker is not there. A failed catch-up is told in the log only: its minutes stay missed.
        """
        with lock(self._settings.run / "feed.lock", self._clock):
            started = self._now()
            due = minute_of(started)
            deadline = self._clock() + max(due.timestamp() + NETWORK_SECONDS - started, LEAST_SECONDS)
            past = self._past()
            results = self._settings.results_per_fetch
            orders = past.left_of(scheduled(due, results))
            if not orders:
                log.event(logger, logging.INFO, "this minute is fetched already", due=iso_minute(due))
            people = sum(self._fetch_or_record(order, deadline, past) for order in orders)
            try:
                for minute in past.missed(due, self._settings.catch_up_minutes):
                    for order in past.left_of(scheduled(minute, results, "catch-up")):
                        if not self._sources.stand_in_only and order.results > past.window_left(
                            int(self._now() * 1000)
                        ):
                            log.event(
                                logger, logging.WARNING, "catch-up waits for the rate window", due=iso_minute(minute)
                            )
                            return people
                        people += self._fetch_or_record(order, deadline, past)
            except FetchFailed as fault:
                log.event(logger, logging.WARNING, "catch-up failed", reason=fault.reason, message=fault.message)
            return people

    def run_by_hand(self, results: int, seed: str | None, page: int | None, run: str | None = None) -> int:
        """Fetch ``results`` people now; ``run`` names the run in its fetch-ids.

        Raises UsageError before anything is asked, FetchFailed as above.
        """
        stem = run or run_name("hand", self._now())
        orders = orders_by_hand(results, seed if seed is not None else f"{stem}-x", page, stem)
        past = self._past()
        if not self._sources.stand_in_only and not self._sources.until_reachable:
            check_window(past, results, self._now, "Wait five minutes, or ask for fewer with --results.")
        deadline = self._clock() + NETWORK_SECONDS * len(orders)
        return sum(self._fetch_or_record(order, deadline, past) for order in orders)

    def run_file(self, responses: Sequence[Response], name: str) -> int:
        """Feed a saved response, taken apart by ``read_file``; each of its parts is a fetch."""
        stem = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(self._now()))}-{secrets.token_hex(4)}"
        people = 0
        for number, response in enumerate(responses, 1):
            info = response.info
            fetch = self._record(f"{FILE}-{stem}-p{number}", FILE, "file", response, len(response.people))
            fetch.seed, fetch.page = (info.seed, info.page) if info else (None, None)
            fetch.nationalities = []
            people += self._publish(fetch, response, file=name)
        return people

    def _past(self) -> Past:
        return Past(read_fetches(self._tail()))

    def _fetch_or_record(self, order: Order, deadline: float, past: Past) -> int:
        try:
            return self._fetch(order, deadline, past)
        except FetchFailed as fault:
            self._record_failure(order, fault)
            raise

    def _fetch(self, order: Order, deadline: float, past: Past) -> int:
        with names.FETCH_SECONDS.time():
            source, response = self._sources.ask(order, deadline)
        fetch = self._record(order.fetch_id(source), source, order.kind, response, order.results)
        say_order(fetch, order, source)
        people = self._publish(fetch, response)
        past.add(fetch)
        return people

    def _record(self, fetch_id: str, source: str, kind: Kind, response: Response, requested: int) -> Fetch:
        return fetch_of(fetch_id, source, kind, response, requested, self._settings.nationality_list)

    def _publish(self, fetch: Fetch, response: Response, **more: str) -> int:
        self._publisher.publish(records_of(fetch, response))
        names.FETCHES.labels(fetch.source, fetch.kind, "ok").inc()
        names.FETCHED_PEOPLE.labels(fetch.source).inc(len(fetch.uuids))
        log.event(
            logger,
            logging.INFO,
            "fetched",
            fetch_id=fetch.fetch_id,
            kind=fetch.kind,
            received=fetch.received,
            rejected=fetch.rejected,
            source=fetch.source,
            **more,
        )
        return len(fetch.uuids)

    def _record_failure(self, order: Order, fault: FetchFailed) -> None:
        source = STAND_IN if self._sources.stand_in_only else REAL
        nothing = Response([], None, int(self._now() * 1000))
        fetch = self._record(order.fetch_id(source), source, order.kind, nothing, order.results)
        say_order(fetch, order, source)
        record_failure(self._publisher, fetch, nothing, fault)


def run_name(who: str, now: float) -> str:
    """A name that no other run has."""
    return f"{who}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}-{secrets.token_hex(4)}"


def check_window(past: Past, results: int, now: Clock, hint: str) -> None:
    """Raise PassingFault unless the real API would still give so many people."""
    left = past.window_left(int(now() * 1000))
    if results > left:
        raise PassingFault(
            f"the API's rate window has room for {max(left, 0)} people, not for {results}",
            detail="it gives 20,000 people in five minutes, and the scheduled fetches need theirs",
            hint=hint,
        )


def record_failure(publisher: Publisher, fetch: Fetch, nothing: Response, fault: FetchFailed) -> None:
    """Publish that the fetch failed, under a fetch-id that its later success does not share."""
    names.FETCHES.labels(fetch.source, fetch.kind, fault.reason).inc()
    log.event(
        logger,
        logging.ERROR,
        "fetch failed",
        fetch_id=fetch.fetch_id,
        kind=fetch.kind,
        message=fault.message,
        reason=fault.reason,
        source=fetch.source,
    )
    fetch.fetch_id = f"{fetch.fetch_id}-failed-{nothing.arrived_ms}"
    fetch.failure = fault.reason
    try:
        publisher.publish(records_of(fetch, nothing))
    except PipelineError as error:
        log.event(logger, logging.ERROR, "the failure could not be recorded", message=error.message)


@contextmanager
def lock(path: Path, clock: Clock = time.monotonic, patience: float = 50) -> Iterator[None]:
    """Hold the file's lock: one scheduled run at a time, whoever starts it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        until = clock() + patience
        while True:
            try:
                flock(file, LOCK_EX | LOCK_NB)
                break
            except BlockingIOError:
                if clock() > until:
                    raise PassingFault("another run of the feed is still at work", detail=str(path)) from None
                time.sleep(0.1)
        yield
