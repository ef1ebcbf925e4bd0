"""Bodies of requests: read up to a size, and decoded strictly."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from fastapi import Request

from pipeline.api.answers import Refusal

MOST_BYTES = 4096

Body = TypeVar("Body", bound=msgspec.Struct)


async def read(request: Request, kind: type[Body]) -> Body:
    """The JSON of the body as ``kind``. Raises Refusal: 413 for a body that is too large, 415 for another type, 400."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    raw = await _raw(request)
    if content_type != "application/json":
        raise Refusal(415, "the body is to be JSON", hint="Send the header Content-Type: application/json.")
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "the body cannot be used", detail=str(error), parameter="body") from None


async def refuse_any(request: Request) -> None:
    """Raises Refusal when there is a body where none is read."""
    if await _raw(request):
        raise Refusal(400, "there is a body, and nothing would read it", parameter="body")


async def _raw(request: Request) -> bytes:
    raw = b""
    async for piece in request.stream():
        raw += piece
        if len(raw) > MOST_BYTES:
            raise Refusal(
                413, f"the body has more than {MOST_BYTES} bytes", parameter="body", headers={"Connection": "close"}
            )
    return raw
