"""Who may order something: whoever shows the token of the settings."""

from __future__ import annotations

import hmac

from fastapi import Request
from fastapi.security import HTTPBearer

from pipeline.api.answers import Refusal
from pipeline.api.routing import settings_of

described = HTTPBearer(
    scheme_name="token", description="`API_TOKEN` of the settings file.", bearerFormat="opaque", auto_error=False
)
"""A dependency that only puts the scheme into the description; ``check`` is what refuses."""


def check(request: Request) -> None:
    """Raises Refusal with 401 unless the request bears the token. Takes as long for a token that is almost right."""
    told = request.headers.getlist("authorization")
    kind, _, token = told[0].partition(" ") if len(told) == 1 else ("", "", "")
    expected = settings_of(request).api_token.encode()
    right = hmac.compare_digest(token.strip().encode("latin-1", "replace"), expected)
    if kind.lower() != "bearer" or not right:
        raise Refusal(
            401,
            "the token is wrong" if told else "this needs the token",
            hint="Send the header Authorization: Bearer TOKEN; the token is API_TOKEN in the settings file.",
            headers={"WWW-Authenticate": "Bearer"},
        )
