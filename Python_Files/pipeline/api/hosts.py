"""By which names it may be asked: a page of the internet must not read it through the browser of whoever runs it.

Reading asks for no password, so what keeps other pages out is the browser's rule of same origin. A page whose own name
is made to point at 127.0.0.1 after it was loaded (DNS rebinding) is of the same origin, and is known by that name
alone, which stands in the header Host. No such page has an address for a name, nor one without a dot.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.api.answers import Refusal, refuse

MISDIRECTED = 421  # RFC 9110, 15.5.20


def is_known(host: str, others: Collection[str] = ()) -> bool:
    """Whether this value of Host is an address, a name of this machine or network, or one of ``others``."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    try:
        ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(".localhost") or name in others
    return True


class KnownHosts:
    """Refuses what asks by another name, before anything looks at the rest of the request."""

    def __init__(self, app: ASGIApp, others: Collection[str]) -> None:
        self._app = app
        self._others = frozenset(name.lower() for name in others)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            asked = Headers(scope=scope).getlist("host")
            if len(asked) > 1 or not all(is_known(host, self._others) for host in asked):
                refusal = Refusal(
                    MISDIRECTED,
                    "this server is not known by that name",
                    detail=", ".join(asked)[:200],
                    hint="Ask it at localhost or at its address, or add the name to API_HOSTS in .env and start again.",
                )
                await refuse(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)
