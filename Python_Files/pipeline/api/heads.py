"""HEAD: what GET would answer, without its content (RFC 9110, 9.3.2); whoever watches a service asks so."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """Lets a HEAD be answered as the GET of the same place; an answer that has no end ends where its content begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}  # the server itself must go on knowing that it is a HEAD
        begun = False

        async def first_only(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                scope["route"] = asked.get("route")  # for whoever counts
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def gone_once_told() -> Message:
            return {"type": "http.disconnect"} if begun else await receive()

        await self._app(asked, gone_once_told, first_only)
