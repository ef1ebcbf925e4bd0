"""The people's pictures, from NocoDB's storage: so a page shows them without the internet, and asks nobody outside."""

from __future__ import annotations

import re
import threading
import time
from typing import NamedTuple

import httpx

from pipeline.database.connection import session
from pipeline.database.queries import query
from pipeline.errors import PassingFault
from pipeline.settings import Settings

KEPT_SECONDS = 3_600.0
"""A picture of our own making gives place to the real one when that could be fetched."""
MISSING_SECONDS = 5.0
MOST_BYTES = 2_000_000
_TYPES = ("image/jpeg", "image/png")
_PATH = re.compile(r"download/[A-Za-z0-9._/-]+")


class Picture(NamedTuple):
    content: bytes
    kind: str


class Portraits:
    """At most 200 pictures of some ten kilobytes, kept in memory once they were asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: dict[tuple[str, int], tuple[float, Picture | None]] = {}
        self._lock = threading.Lock()

    def get(self, kind: str, number: int) -> Picture | None:
        """The portrait, or None when it is not there or cannot be had now; that is asked again soon."""
        with self._lock:
            until, kept = self._kept.get((kind, number), (0.0, None))
        if time.monotonic() < until:
            return kept
        found = self._ask(kind, number)
        with self._lock:
            # Also while NocoDB is away: an old picture is better than none.
            kept = found or kept
            self._kept[kind, number] = (time.monotonic() + (KEPT_SECONDS if found else MISSING_SECONDS), kept)
        return kept

    def _ask(self, kind: str, number: int) -> Picture | None:
        try:
            with session(self._settings, role="pipeline_reader", name="page-portraits") as cursor:
                cursor.execute(query("page_portrait"), {"kind": kind, "number": number})
                row = cursor.fetchone()
            path, content_type = (row[0].get("path"), row[0].get("mimetype")) if row else (None, None)
            if content_type not in _TYPES or not path or not _PATH.fullmatch(path) or ".." in path:
                return None
            with httpx.Client(trust_env=False, timeout=3.0) as client:
                answer = client.get(f"{self._settings.nocodb_url}/{path}")
        except (PassingFault, httpx.HTTPError):
            return None
        good = answer.status_code == 200 and 0 < len(answer.content) <= MOST_BYTES
        return Picture(answer.content, str(content_type)) if good else None
