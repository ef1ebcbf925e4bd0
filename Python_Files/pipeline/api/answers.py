"""Answers: JSON, and every error as an object with what is wrong, the facts, and what to do."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from pipeline.errors import PassingFault, PipelineError
from pipeline.log import event

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5
_encoder = msgspec.json.Encoder(decimal_format="number")


class Refusal(PipelineError):
    """A request that cannot be answered as it is. ``parameter`` names what is wrong with it, where one thing is."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        detail: str = "",
        hint: str = "",
        parameter: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.status = status
        self.parameter = parameter
        self.headers = headers or {}


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """``content`` as JSON; times are ISO 8601."""
    return Response(_encoder.encode(content), status, headers, media_type="application/json")


def refuse(refusal: Refusal) -> Response:
    told = {
        "error": refusal.message,
        "detail": refusal.detail,
        "hint": refusal.hint,
        "parameter": refusal.parameter,
    }
    return answer({name: value for name, value in told.items() if value}, refusal.status, refusal.headers)


def unavailable(fault: PassingFault) -> Response:
    """503: it may be asked again soon. What is told holds no secret and nothing of the servers' inside."""
    event(logger, logging.DEBUG, "cannot answer now", fault=fault.message, detail=fault.detail)
    return refuse(
        Refusal(
            503,
            fault.message,
            hint=f"Ask again in {RETRY_SECONDS} seconds.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
    )


def install(app: FastAPI) -> None:
    """Let every error of the application answer so. None of them is ever a traceback for who asks."""

    async def on_refusal(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)  # noqa: S101 - it is installed for these
        return refuse(error)

    async def on_passing(_: Request, error: Exception) -> Response:
        assert isinstance(error, PassingFault)  # noqa: S101
        return unavailable(error)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        told = {404: f"there is nothing at {request.url.path[:200]}", 405: f"{request.method} is not for this address"}
        message = told.get(error.status_code, str(error.detail).lower())
        return refuse(Refusal(error.status_code, message, headers=dict(error.headers or {})))

    async def on_anything(request: Request, error: Exception) -> Response:
        logger.error("an answer failed: %s %s", request.method, request.url.path, exc_info=error)
        return refuse(Refusal(500, "the answer failed", hint="The log of the part api says why."))

    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(PassingFault, on_passing)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_anything)
