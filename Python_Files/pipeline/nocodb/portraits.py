"""The 200 portraits: each fetched once and kept in NocoDB's own storage, so that faces show offline too."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Any

import httpx

from pipeline.database.connection import session
from pipeline.database.queries import query
from pipeline.log import event
from pipeline.nocodb.client import Client, Refused
from pipeline.nocodb.columns import UserRow
from pipeline.settings import Settings
from pipeline.stand_in import faces

logger = logging.getLogger(__name__)

REAL, STAND_IN = "randomuser.me", "stand-in"

RETRY_SECONDS = 3600.0
"""How long after a portrait could not be fetched the next try is made."""

LARGEST_BYTES = 2_000_000

_ADDRESS = re.compile(r"^https://randomuser\.me/api/portraits/(men|women)/([0-9]{1,2})\.jpg$")


class Portraits:
    """The attachment of each person's portrait, made when it is first needed.

    A portrait that cannot be fetched is stood in for by a picture of the project's own making, until an hourly try
    succeeds; people stored from then on have the real one. A picture never holds a person up for long, and never
    keeps anybody out.
    """

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings = settings
        self._client = client
        self._known: dict[tuple[str, int], tuple[str, dict[str, Any]]] = {}
        self._loaded = False
        self._next_try = 0.0
        self._http = httpx.Client(timeout=httpx.Timeout(5.0, connect=2.0), follow_redirects=True)

    def attachment(self, row: UserRow) -> dict[str, Any] | None:
        """The attachment of the person's portrait, or None when the person names no known one."""
        named = _ADDRESS.match(row.person.picture.large)
        if named is None:
            return None
        one = (named[1], int(named[2]))
        self._load()
        wanted = STAND_IN if row.source == STAND_IN else REAL
        origin, kept = self._known.get(one, ("", {}))
        if origin in (wanted, REAL) or (origin and time.monotonic() < self._next_try):
            return kept
        real = self._fetch(row.person.picture.large) if wanted == REAL else None
        if real is None and origin:
            return kept
        return self._keep(one, REAL if real else STAND_IN, real)

    def _load(self) -> None:
        if self._loaded:
            return
        with session(self._settings, name="portraits") as cursor:
            cursor.execute(query("read_portraits"))
            self._known = {(kind, number): (origin, kept) for kind, number, origin, kept in cursor}
        self._loaded = True

    def _fetch(self, address: str) -> bytes | None:
        if (
            time.monotonic() < self._next_try
            or self._settings.feed_offline
            or (self._settings.run / "offline").exists()
        ):
            return None
        try:
            answer = self._http.get(address)
            good = (
                answer.status_code == 200 and answer.content[:2] == b"\xff\xd8" and len(answer.content) < LARGEST_BYTES
            )
            if good:
                return answer.content
            why = f"{answer.status_code}, {len(answer.content)} bytes that are no JPEG"
        except httpx.HTTPError as error:
            why = f"{type(error).__name__}: {error}"
        self._next_try = time.monotonic() + RETRY_SECONDS
        event(logger, logging.WARNING, "portraits cannot be fetched, pictures of our own serve", why=why)
        return None

    def _keep(self, one: tuple[str, int], origin: str, picture: bytes | None) -> dict[str, Any] | None:
        kind, number = one
        ending, content_type = ("jpg", "image/jpeg") if picture else ("png", faces.PORTRAIT_TYPE)
        name = f"{kind}-{number}.{ending}"
        try:
            stored = self._client.call(
                "POST",
                "/api/v2/storage/upload",
                params={"path": "portraits"},
                files={"files": (name, picture or faces.portrait(kind, number), content_type)},
            )[0]
        except (Refused, LookupError) as fault:
            event(logger, logging.WARNING, "a portrait cannot be stored in NocoDB", portrait=name, why=str(fault))
            return None
        # What NocoDB signs runs out in hours; it signs anew whenever it shows the row.
        kept = {
            key: value
            for key, value in stored.items()
            if key in ("path", "title", "mimetype", "size", "width", "height")
        }
        with session(self._settings, name="portraits") as cursor:
            cursor.execute(
                query("keep_portrait"),
                {"kind": kind, "number": number, "origin": origin, "attachment": json.dumps(kept)},
            )
        self._known[one] = (origin, kept)
        return kept

    def close(self) -> None:
        self._http.close()
