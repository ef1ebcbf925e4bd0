"""Whether the servers behind the API answer: asked really, each with a short time-out, side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait

import httpx
from fastapi import APIRouter, FastAPI, Request, Response

from pipeline import broker
from pipeline.api import models, parameters
from pipeline.api.answers import RETRY_SECONDS, answer
from pipeline.api.routing import RETRY, refusals
from pipeline.database.pool import Pool
from pipeline.errors import PassingFault
from pipeline.settings import Settings

SECONDS = 3.0
FRESH_SECONDS = 1.0

router = APIRouter(tags=["state"])


class Health:
    """Asks PostgreSQL, Kafka and NocoDB. One question to each at a time, whoever wants to know: a server that is silent
    holds up one thread and not one a request."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._questions: dict[str, Callable[[], None]] = {
            "postgresql": self.postgresql,
            "kafka": lambda: broker.ready(settings),
            "nocodb": self._nocodb,
        }
        self._asked: dict[str, tuple[float, Future[str]]] = {}
        self._lock = threading.Lock()

    @staticmethod
    def of(app: FastAPI) -> Health:
        health = app.state.health
        assert isinstance(health, Health)  # noqa: S101 - for the type
        return health

    def postgresql(self) -> None:
        """Raises PassingFault unless PostgreSQL answers a question about the people."""
        with self._pool.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM pipeline.users)")
            cursor.fetchone()

    def _nocodb(self) -> None:
        try:
            # Its health route says "OK" without its database; this one, which the sign-in page asks, counts users.
            with httpx.Client(trust_env=False, timeout=SECONDS) as client:
                client.get(f"{self._settings.nocodb_url}/api/v2/meta/nocodb/info").raise_for_status()
        except httpx.HTTPError as error:
            raise PassingFault("NocoDB does not answer", detail=type(error).__name__) from error

    def _question(self, name: str, answered: Future[str]) -> None:
        try:
            self._questions[name]()
        except PassingFault as fault:
            answered.set_result(fault.message)
        except Exception as error:  # whatever it is, who waits is told
            answered.set_exception(error)
        else:
            answered.set_result("")

    def _ask(self, name: str) -> Future[str]:
        now = time.monotonic()
        with self._lock:
            began, future = self._asked.get(name, (-FRESH_SECONDS, None))
            if future is None or (future.done() and now - began >= FRESH_SECONDS):
                future = Future()
                # A daemon: a server that is silent does not keep this process from ending.
                threading.Thread(target=self._question, args=(name, future), name=f"health-{name}", daemon=True).start()
                self._asked[name] = (now, future)
            return future

    def read(self) -> dict[str, str]:
        """Of each server why it cannot be used; an empty text when it can. Takes SECONDS at most."""
        futures = {name: self._ask(name) for name in self._questions}
        wait(futures.values(), timeout=SECONDS)
        return {
            name: future.result() if future.done() else f"no answer within {SECONDS:.0f} s"
            for name, future in futures.items()
        }


@router.get(
    "/api/health",
    summary="Whether everything behind this answers",
    response_model=models.Health,
    responses={
        **refusals(400),
        503: {"model": models.Health, "description": "At least one does not.", "headers": RETRY},
    },
)
def read_health(request: Request) -> Response:
    """200 when PostgreSQL, Kafka and NocoDB answer, else 503; each is really asked."""
    parameters.query(request, ())
    found = Health.of(request.app).read()
    checks = {name: {"ok": not why, "detail": why or "answers"} for name, why in found.items()}
    good = not any(found.values())
    headers = {} if good else {"Retry-After": str(RETRY_SECONDS)}
    return answer({"status": "ok" if good else "failed", "checks": checks}, 200 if good else 503, headers)
