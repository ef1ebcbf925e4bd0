"""What the API answers, counted: how many requests of which route, with which status, and how long they took."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.metrics import names

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Measured:
    """Counts each request until its answer begins; a stream that is watched for hours is no slow answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answered = False

        def count(status: int) -> None:
            nonlocal answered
            answered = True
            # Whoever asks for what is not there must not make a label of it: there are any number of those.
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            names.HTTP_REQUESTS.labels(method, route, str(status)).inc()
            names.HTTP_SECONDS.labels(method, route).observe(time.perf_counter() - began)

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        except Exception:
            if not answered:
                count(500)
            raise
