"""Asking again for exactly those people of a fetch who are missing.

Whoever comes back carries the fetch-id of the fetch that owes them, so that its own account adds up: each of its people
is then in one place, as if nothing had been lost. Their timestamp is the moment of the new response, for that is when
they were really fetched. The asking itself is a record of kind ``again`` in pipeline.fetches, FETCH_ID-again-...: it
counts in the rate window and shows in the account, but it brings nobody of its own (received 0, no uuids). Under an id
of their own the people would be owed by two fetches, and the first one's account would call them another one's.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from uuid import UUID

from pipeline import log, topics
from pipeline.errors import PipelineError, UsageError
from pipeline.feed.plan import FILE, REAL, STAND_IN, Fetch, Order, Past, read_fetches
from pipeline.feed.records import account_of, fetch_of, headers_of, say_order
from pipeline.feed.run import NETWORK_SECONDS, Tail, check_window, lock, record_failure
from pipeline.feed.sources import Clock, Sources
from pipeline.metrics import names
from pipeline.randomuser import FetchFailed
from pipeline.records import Outgoing, Publisher
from pipeline.response import Response
from pipeline.settings import Settings

logger = logging.getLogger(__name__)


class Again:
    """One asking. ``stored`` gives the fetch of an id as PostgreSQL knows it, ``missing_of`` whom the ledger misses."""

    def __init__(
        self,
        settings: Settings,
        publisher: Publisher,
        tail: Tail,
        *,
        stored: Callable[[str], Fetch | None],
        missing_of: Callable[[str], Sequence[UUID]],
        now: Clock = time.time,
        clock: Clock = time.monotonic,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._tail = tail
        self._stored, self._missing_of = stored, missing_of
        self._now, self._clock = now, clock

    def run(self, fetch_id: str) -> int:
        """Send those who are missing, once; how many that were. 0: nobody is missing, and nothing was asked for.

        Raises UsageError for an unknown fetch and for one that cannot be asked again, PassingFault when a server does
        not answer or the rate window is too full, FetchFailed as the feed does, and PipelineError when some of the
        missing are not in the answer any more: the others were sent.
        """
        # From looking who is missing until they are on the way, where the next look finds them: one at a time. It is no
        # lock of the scheduled runs, which never wait for this one.
        with lock(self._settings.run / "again.lock", self._clock):
            fetches = list(read_fetches(self._tail()))
            fetch = next((one for one in fetches if one.fetch_id == fetch_id), None) or self._stored(fetch_id)
            if fetch is None:
                raise UsageError(
                    f"there is no fetch {fetch_id!r}",
                    hint="Administrator_scripts/Ledger.sh shows the fetches, and names who is missing.",
                )
            missing = set(self._missing_of(fetch_id))
            if not missing:
                log.event(logger, logging.INFO, "nobody of the fetch is missing", fetch_id=fetch_id)
                return 0
            order = self._order(fetch, len(missing))
            if fetch.source == REAL:
                check_window(Past(fetches), order.results, self._now, "Wait five minutes, then try again.")
            return self._fetch(fetch, order, missing)

    def _order(self, fetch: Fetch, missing: int) -> Order:
        """The very request of the fetch. Raises UsageError when it was none."""
        if fetch.source not in (REAL, STAND_IN) or fetch.seed is None or fetch.page is None:
            file = "Feed the file again: Administrator_scripts/Get_Data.sh --file FILE."
            raise UsageError(
                f"{missing} people of the fetch {fetch.fetch_id} are missing, and it cannot be asked for again",
                detail=f"it came from a source of its own: {fetch.source}, {fetch.kind}",
                hint=file if fetch.source == FILE else "Only a fetch from the API has a seed and a page to ask for.",
            )
        return Order(fetch.requested, fetch.page, "again", None, fetch.seed)

    def _fetch(self, fetch: Fetch, order: Order, missing: set[UUID]) -> int:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now()))
        again_id = f"{fetch.fetch_id}-again-{stamp}-{secrets.token_hex(4)}"
        try:
            response = self._ask(fetch, order)
        except FetchFailed as fault:
            nothing = Response([], None, int(self._now() * 1000))
            record_failure(self._publisher, self._account(again_id, fetch, order, nothing), nothing, fault)
            raise
        moment, headers = response.arrived_ms, headers_of(fetch.fetch_id, fetch.source)
        back = {
            uuid: Outgoing(topics.FETCHED, person.uuid.encode(), person.value, moment, headers)
            for person in response.people
            if person.refused is None and person.uuid is not None and (uuid := UUID(person.uuid)) in missing
        }
        nobody = response._replace(people=[])
        account = self._account(again_id, fetch, order, nobody)
        self._publisher.publish([*back.values(), account_of(account, moment)])
        names.FETCHES.labels(fetch.source, "again", "ok").inc()
        names.FETCHED_PEOPLE.labels(fetch.source).inc(len(back))
        absent = sorted(missing - back.keys())
        log.event(
            logger,
            logging.INFO,
            "fetched again",
            again=again_id,
            fetch_id=fetch.fetch_id,
            not_given=len(absent),
            sent=len(back),
            source=fetch.source,
        )
        if absent:
            raise PipelineError(
                f"{len(absent)} of {len(missing)} missing people are not in the answer any more; {len(back)} were sent",
                detail=", ".join(map(str, absent)),
                hint="The API gives other people for this seed now, so these cannot be had from it again.",
            )
        return len(back)

    def _ask(self, fetch: Fetch, order: Order) -> Response:
        with closing(Sources(self._settings, offline=False, now=self._now, clock=self._clock)) as sources:
            return sources.ask_one(fetch.source, order, fetch.nationalities, self._clock() + NETWORK_SECONDS)

    @staticmethod
    def _account(again_id: str, fetch: Fetch, order: Order, nobody: Response) -> Fetch:
        made = fetch_of(again_id, fetch.source, "again", nobody, order.results, fetch.nationalities)
        say_order(made, order, fetch.source)
        return made
