"""The only HTTP client of the feed: it asks the API for people and believes nothing that it has not checked.

The API answers much that is wrong with 200: a web page, nothing, another page, fewer people. Each failure has a word of
its own, in ``FetchFailed.reason``, that stands in the log and in the fetch's record.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
import tenacity
from requests import exceptions

from pipeline import log
from pipeline.errors import PassingFault
from pipeline.response import NotAResponse, Response, read

logger = logging.getLogger(__name__)

MOST_RESULTS = 5_000
MOST_PAGES = 10_000
MOST_BYTES = 64 * 1024 * 1024  # ten times the largest answer
USER_AGENT = "randomuser-data-pipeline"

# What the same request would meet again at once: the window must pass first, or the address be corrected.
FINAL = frozenset({"rate_limited", "not_found", "unexpected_status"})

Clock = Callable[[], float]


class FetchFailed(PassingFault):
    """The API did not give what was asked for.

    ``reason`` is one of: unreachable, timeout, connection_cut, rate_limited, server_error, api_error, not_found,
    unexpected_status, html, not_json, truncated, wrong_shape, too_large, empty, wrong_page, wrong_count, wrong_seed.
    """

    def __init__(self, reason: str, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.reason = reason


def _check_given(response: Response, results: int, page: int, seed: str) -> None:
    """Raise FetchFailed unless the response is the one that was asked for."""
    info, given = response.info, len(response.people)
    if info is None:
        raise FetchFailed("wrong_shape", "the answer does not say what it gives", detail="info is missing")
    if info.page != page:
        raise FetchFailed("wrong_page", "the API gave another page", detail=f"asked for {page}, given {info.page}")
    if info.seed != seed:
        raise FetchFailed("wrong_seed", "the API gave another seed", detail=f"asked for {seed!r}, given {info.seed!r}")
    if given != results or info.results != results:
        told = f"asked for {results}, given {given}, said to be {info.results}"
        raise FetchFailed("wrong_count", "the API gave another number of people", detail=told)


def _check_status(status: int, body: bytes) -> None:
    told = f"HTTP {status}, {body[:160].decode('utf-8', 'replace')!r}"
    if status == 429:
        hint = "At most 20,000 people are given in five minutes; lower RESULTS_PER_FETCH or wait for the next window."
        raise FetchFailed("rate_limited", "the API's rate limit is reached", detail=told, hint=hint)
    if status == 404:
        hint = "Compare API_URL with https://randomuser.me/api/1.4/."
        raise FetchFailed("not_found", "the API does not know this version or address", detail=told, hint=hint)
    if status >= 500:
        raise FetchFailed("server_error", f"the API is out of order (HTTP {status})", detail=told)
    if status != 200:
        raise FetchFailed("unexpected_status", f"the API refused the request (HTTP {status})", detail=told)


class Api:
    """The API at one address. ``clock`` counts seconds for deadlines; ``now`` is the time of day in seconds."""

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float = 5,
        read_timeout: float = 20,
        clock: Clock = time.monotonic,
        now: Clock = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._clock, self._now, self._sleep = clock, now, sleep
        self._session = requests.Session()
        self._session.headers["User-Agent"] = USER_AGENT
        # A proxy of the environment is for the world outside, never for this machine.
        if urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1"):
            self._session.trust_env = False

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def fetch(
        self,
        results: int,
        page: int,
        seed: str,
        nationalities: Sequence[str] = (),
        *,
        deadline: float,
        attempts: int = 100,
    ) -> Response:
        """The ``results`` people (1..5000) of a seed and page (1..10000), checked to be exactly those.

        Tries again with growing, jittered pauses until the clock shows ``deadline`` or ``attempts`` are used up; a
        rate limit or a wrong address is not tried again. Raises FetchFailed: nothing of the answer may be used.
        """

        def no_more(state: tenacity.RetryCallState) -> bool:
            return state.attempt_number >= attempts or self._clock() + state.upcoming_sleep >= deadline

        def tell(state: tenacity.RetryCallState) -> None:
            fault = state.outcome.exception() if state.outcome else None
            level = logging.WARNING if state.attempt_number == 1 else logging.DEBUG
            if isinstance(fault, FetchFailed):
                log.event(
                    logger, level, "request failed, trying again", reason=fault.reason, detail=fault.detail or None
                )

        retrying = tenacity.Retrying(
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=8),
            stop=no_more,
            retry=tenacity.retry_if_exception(
                lambda fault: isinstance(fault, FetchFailed) and fault.reason not in FINAL
            ),
            sleep=self._sleep,
            before_sleep=tell,
            reraise=True,
        )
        answer: Response = retrying(self._ask, results, page, seed, tuple(nationalities), deadline)
        return answer

    def _ask(self, results: int, page: int, seed: str, nationalities: tuple[str, ...], deadline: float) -> Response:
        asked: dict[str, Any] = {"results": results, "page": page, "seed": seed}
        if nationalities:
            asked["nat"] = ",".join(nationalities).lower()
        status, body = self._get(asked, deadline)
        _check_status(status, body)
        try:
            response = read(body, int(self._now() * 1000))
        except NotAResponse as fault:
            raise FetchFailed(fault.reason, fault.message, detail=fault.detail, hint=fault.hint) from None
        _check_given(response, results, page, seed)
        return response

    def _get(self, asked: dict[str, Any], deadline: float) -> tuple[int, bytes]:
        """One request: status and whole body, by the deadline or not at all."""
        left = deadline - self._clock()
        if left <= 0:
            raise FetchFailed("timeout", "there was no time left to ask the API")
        patience = (min(self._connect_timeout, left), min(self._read_timeout, left))
        try:
            with self._session.get(self.url, params=asked, timeout=patience, stream=True) as answer:
                body = bytearray()
                for part in answer.iter_content(65_536):
                    body += part
                    if len(body) > MOST_BYTES:
                        raise FetchFailed("too_large", f"the answer is larger than {MOST_BYTES} bytes")
                    if self._clock() > deadline:
                        raise FetchFailed("timeout", "the answer did not end in time", detail=f"{len(body)} bytes came")
                return answer.status_code, bytes(body)
        except exceptions.ConnectTimeout as error:
            raise FetchFailed("unreachable", "the API cannot be reached", detail=_told(error)) from None
        except exceptions.Timeout as error:
            raise FetchFailed("timeout", "the API did not answer in time", detail=_told(error)) from None
        except (exceptions.ChunkedEncodingError, exceptions.ContentDecodingError) as error:
            raise FetchFailed("connection_cut", "the connection was cut half-way", detail=_told(error)) from None
        except exceptions.ConnectionError as error:
            text = _told(error)
            if "Read timed out" in text:
                raise FetchFailed("timeout", "the API did not answer in time", detail=text) from None
            if "Connection aborted" in text or "Connection reset" in text:
                raise FetchFailed("connection_cut", "the connection was cut", detail=text) from None
            raise FetchFailed("unreachable", "the API cannot be reached", detail=text) from None
        except exceptions.RequestException as error:
            raise FetchFailed("unreachable", "the API cannot be asked", detail=_told(error)) from None


def _told(error: Exception) -> str:
    """The error in one line, without the addresses of objects and without a proxy's password."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if "@" not in text else type(error).__name__
