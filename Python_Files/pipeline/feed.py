"""0-Get_Data: from the API into users.fetched, each fetch with its own record in one transaction.

Nothing of a fetch is published unless all of it is; what a run asked for and got can be counted afterwards.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import msgspec

from pipeline import log, topics
from pipeline.errors import PassingFault, PipelineError, UsageError
from pipeline.feed_plan import (
    FILE,
    REAL,
    STAND_IN,
    Fetch,
    Kind,
    Order,
    Past,
    iso,
    iso_minute,
    minute_of,
    read_fetches,
    scheduled,
)
from pipeline.feed_plan import by_hand as orders_by_hand
from pipeline.randomuser import Api, FetchFailed
from pipeline.records import Headers, Incoming, Outgoing, Publisher
from pipeline.response import NotAResponse, Response, read
from pipeline.settings import Settings
from pipeline.stand_in import serving

logger = logging.getLogger(__name__)

STAGE = "0-Get_Data"
TAIL = 500  # fetches looked back at: more than an hour of minutes with four pages each
NETWORK_SECONDS = 55  # of the minute; the rest is for publishing
LEAST_SECONDS = 15  # for a run that begins late in its minute
FIRST_TRY_SECONDS = 10  # of the real API while the stand-in serves
FILE_PART = 5_000  # people of a saved response that make one fetch
FILE_BYTES = 512 * 1024 * 1024

Tail = Callable[[], Sequence[Incoming]]
Clock = Callable[[], float]

_encoder = msgspec.json.Encoder()


def offline_file(settings: Settings) -> Path:
    """While this file exists the stand-in serves."""
    return settings.run / "offline"


def until_reachable_file(settings: Settings) -> Path:
    """While this file exists the stand-in serves whenever the real API does not; the real API's answer removes it."""
    return settings.run / "stand-in-until-reachable"


def records_of(fetch: Fetch, response: Response) -> list[Outgoing]:
    """Everything that one fetch publishes: its people, those refused, and its own record."""
    moment = response.arrived_ms
    headers: Headers = ((topics.FETCH_ID, fetch.fetch_id.encode()), (topics.SOURCE, fetch.source.encode()))
    records = []
    for person in response.people:
        if person.refused is None and person.uuid is not None:
            records.append(Outgoing(topics.FETCHED, person.uuid.encode(), person.value, moment, headers))
        elif person.refused is not None:
            told = {
                topics.STAGE: STAGE,
                topics.REASON: person.refused.reason,
                topics.MESSAGE: person.refused.message,
                topics.ORIGIN_TIMESTAMP: str(moment),
            }
            more = tuple((name, text.encode("utf-8", "replace")) for name, text in told.items())
            key = person.uuid.encode() if person.uuid else None
            records.append(Outgoing(topics.REJECTED, key, person.value, moment, headers + more))
    records.append(Outgoing(topics.FETCHES, fetch.fetch_id.encode(), _encoder.encode(fetch), moment, headers))
    return records


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
        self._open = ExitStack()
        self._apis: dict[str, Api] = {}
        self._stand_in_only = offline or settings.feed_offline or offline_file(settings).exists()
        self._until_reachable = not self._stand_in_only and until_reachable_file(settings).exists()

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

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
                        if not self._stand_in_only and order.results > past.window_left(int(self._now() * 1000)):
                            log.event(
                                logger, logging.WARNING, "catch-up waits for the rate window", due=iso_minute(minute)
                            )
                            return people
                        people += self._fetch_or_record(order, deadline, past)
            except FetchFailed as fault:
                log.event(logger, logging.WARNING, "catch-up failed", reason=fault.reason, message=fault.message)
            return people

    def run_by_hand(self, results: int, seed: str | None, page: int | None) -> int:
        """Fetch ``results`` people now. Raises UsageError before anything is asked, FetchFailed as above."""
        token = secrets.token_hex(4)
        stem = f"hand-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(self._now()))}-{token}"
        orders = orders_by_hand(results, seed if seed is not None else f"{stem}-x", page, stem)
        past = self._past()
        left = past.window_left(int(self._now() * 1000))
        if not self._stand_in_only and not self._until_reachable and results > left:
            raise PassingFault(
                f"the API's rate window has room for {max(left, 0)} people, not for {results}",
                detail="it gives 20,000 people in five minutes, and the scheduled fetches need theirs",
                hint="Wait five minutes, or ask for fewer with --results.",
            )
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
        source, response = self._ask(order, deadline)
        fetch = self._record(order.fetch_id(source), source, order.kind, response, order.results)
        self._say_order(fetch, order, source)
        people = self._publish(fetch, response)
        past.add(fetch)
        return people

    def _ask(self, order: Order, deadline: float) -> tuple[str, Response]:
        """The response and who gave it: the real API, or the stand-in where it serves."""
        if not self._stand_in_only:
            patient = not self._until_reachable
            try:
                until = deadline if patient else min(deadline, self._clock() + FIRST_TRY_SECONDS)
                response = self._ask_source(REAL, order, until, attempts=100 if patient else 2)
            except FetchFailed as fault:
                if patient:
                    raise
                self._stand_in_only = True  # for the rest of this run; the next one tries the real API again
                log.event(
                    logger,
                    logging.WARNING,
                    "THE STAND-IN SERVES: the real API does not, it is tried again at the next run",
                    reason=fault.reason,
                    message=fault.message,
                )
            else:
                self._take_over()
                return REAL, response
        return STAND_IN, self._ask_source(STAND_IN, order, deadline, attempts=3)

    def _ask_source(self, source: str, order: Order, deadline: float, attempts: int) -> Response:
        if source not in self._apis:
            url = self._settings.api_url
            if source == STAND_IN:
                url = self._open.enter_context(serving()).url
            self._apis[source] = self._open.enter_context(
                Api(
                    url,
                    connect_timeout=self._settings.api_connect_timeout,
                    read_timeout=self._settings.api_read_timeout,
                    clock=self._clock,
                    now=self._now,
                )
            )
        nationalities = self._settings.nationality_list
        return self._apis[source].fetch(
            order.results, order.page, order.seed_of(source), nationalities, deadline=deadline, attempts=attempts
        )

    def _take_over(self) -> None:
        if self._until_reachable:
            self._until_reachable = False
            until_reachable_file(self._settings).unlink(missing_ok=True)
            log.event(logger, logging.WARNING, "the real API answers and has taken over from the stand-in")

    def _record(self, fetch_id: str, source: str, kind: Kind, response: Response, requested: int) -> Fetch:
        uuids = response.uuids
        return Fetch(
            fetch_id=fetch_id,
            source=source,
            kind=kind,
            seed=None,
            page=None,
            due=None,
            requested=requested,
            received=len(response.people),
            rejected=len(response.people) - len(uuids),
            uuids=uuids,
            arrived_at=iso(response.arrived_ms),
            nationalities=list(self._settings.nationality_list),
        )

    def _say_order(self, fetch: Fetch, order: Order, source: str) -> None:
        fetch.seed, fetch.page = order.seed_of(source), order.page
        fetch.due = iso_minute(order.due) if order.due is not None else None

    def _publish(self, fetch: Fetch, response: Response, **more: str) -> int:
        self._publisher.publish(records_of(fetch, response))
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
        """Publish that the run failed, under a fetch-id that its later success does not share."""
        source = STAND_IN if self._stand_in_only else REAL
        moment = int(self._now() * 1000)
        fetch_id = f"{order.fetch_id(source)}-failed-{moment}"
        nothing = Response([], None, moment)
        fetch = self._record(fetch_id, source, order.kind, nothing, order.results)
        self._say_order(fetch, order, source)
        fetch.failure = fault.reason
        log.event(
            logger,
            logging.ERROR,
            "fetch failed",
            fetch_id=order.fetch_id(source),
            kind=order.kind,
            message=fault.message,
            reason=fault.reason,
            source=source,
        )
        try:
            self._publisher.publish(records_of(fetch, nothing))
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


def read_file(path: Path, now_ms: int) -> list[Response]:
    """A saved response in parts of at most 5,000 people. Raises UsageError when it is none."""
    hint = "A saved response is what https://randomuser.me/api/1.4/?results=10 answers, as it came."
    try:
        if path.stat().st_size > FILE_BYTES:
            raise UsageError(f"{path} is larger than {FILE_BYTES} bytes", hint="Save the people in smaller responses.")
        response = read(path.read_bytes(), now_ms)
    except OSError as error:
        raise UsageError(f"{path} cannot be read", detail=error.strerror or str(error), hint=hint) from None
    except NotAResponse as fault:
        detail = f"{fault.reason}: {fault.message}" + (f"; {fault.detail}" if fault.detail else "")
        raise UsageError(f"{path} is not a saved response; nothing was sent", detail=detail, hint=hint) from None
    people = response.people
    return [response._replace(people=people[at : at + FILE_PART]) for at in range(0, len(people), FILE_PART)]


def reachable(settings: Settings) -> bool:
    """Whether the real API answers a request for one person properly within 5 seconds."""
    with Api(settings.api_url, connect_timeout=4, read_timeout=4) as api:
        try:
            api.fetch(1, 1, "is-it-there", deadline=time.monotonic() + 5, attempts=2)
        except FetchFailed as fault:
            log.event(
                logger, logging.INFO, "the real API cannot be used now", message=fault.message, reason=fault.reason
            )
            return False
    return True
