"""Where the feed takes its people from: the real API, or its stand-in while that one serves."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from pipeline import log
from pipeline.feed.plan import REAL, STAND_IN, Order
from pipeline.randomuser import Api, FetchFailed
from pipeline.response import Response
from pipeline.settings import Settings
from pipeline.stand_in import serving

logger = logging.getLogger(__name__)

FIRST_TRY_SECONDS = 10  # of the real API while the stand-in serves
PATIENT_ATTEMPTS = 100  # as many as the deadline allows
STAND_IN_ATTEMPTS = 3

Clock = Callable[[], float]


def offline_file(settings: Settings) -> Path:
    """While this file exists the stand-in serves."""
    return settings.run / "offline"


def until_reachable_file(settings: Settings) -> Path:
    """While this file exists the stand-in serves whenever the real API does not; the real API's answer removes it."""
    return settings.run / "stand-in-until-reachable"


class Sources:
    """Both sources of one run, each opened when it is first asked."""

    def __init__(self, settings: Settings, *, offline: bool, now: Clock, clock: Clock) -> None:
        self._settings = settings
        self._now, self._clock = now, clock
        self._open = ExitStack()
        self._apis: dict[str, Api] = {}
        self.stand_in_only = offline or settings.feed_offline or offline_file(settings).exists()
        """The stand-in serves, whether the real API could be reached or not."""
        self.until_reachable = not self.stand_in_only and until_reachable_file(settings).exists()
        """The stand-in serves unless the real API answers."""

    def close(self) -> None:
        self._open.close()

    def ask(self, order: Order, deadline: float) -> tuple[str, Response]:
        """The response and who gave it: the real API, or the stand-in where it serves. Raises FetchFailed."""
        if not self.stand_in_only:
            patient = not self.until_reachable
            try:
                until = deadline if patient else min(deadline, self._clock() + FIRST_TRY_SECONDS)
                response = self._ask(REAL, order, until, attempts=PATIENT_ATTEMPTS if patient else 2)
            except FetchFailed as fault:
                if patient:
                    raise
                self.stand_in_only = True  # for the rest of this run; the next one tries the real API again
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
        return STAND_IN, self._ask(STAND_IN, order, deadline, attempts=STAND_IN_ATTEMPTS)

    def ask_one(self, source: str, order: Order, nationalities: Sequence[str], deadline: float) -> Response:
        """The response of this very source, whoever serves now. Raises FetchFailed."""
        attempts = PATIENT_ATTEMPTS if source == REAL else STAND_IN_ATTEMPTS
        return self._ask(source, order, deadline, attempts, nationalities)

    def _ask(
        self, source: str, order: Order, deadline: float, attempts: int, nationalities: Sequence[str] | None = None
    ) -> Response:
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
        wanted = self._settings.nationality_list if nationalities is None else nationalities
        return self._apis[source].fetch(
            order.results, order.page, order.seed_of(source), wanted, deadline=deadline, attempts=attempts
        )

    def _take_over(self) -> None:
        if self.until_reachable:
            self.until_reachable = False
            until_reachable_file(self._settings).unlink(missing_ok=True)
            log.event(logger, logging.WARNING, "the real API answers and has taken over from the stand-in")


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
