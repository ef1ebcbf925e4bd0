"""The end of a start: the first fetch at once, and the wait until its people are in both stores."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from pipeline import status
from pipeline.database.connection import session
from pipeline.errors import PassingFault
from pipeline.feed import sources
from pipeline.operations.readiness import without_secrets
from pipeline.operations.telling import step, tell, warn
from pipeline.settings import ROOT, Settings

_FETCH_SECONDS = 90
_SETTLE_SECONDS = 120


def fetch(
    settings: Settings, environment: Mapping[str, str] | None = None, *, when_late: Callable[[], None] | None = None
) -> None:
    """Fetch once, in ``environment`` if not this process' own, and wait until those people are in both stores.

    A fetch that fails is told and is no reason not to run: the schedule tries again every minute. A backlog that takes
    long is told as well, after ``when_late``, which raises when there is more to it than a backlog.
    """
    offline = settings.feed_offline or sources.offline_file(settings).exists()
    if not offline and _is_empty(settings) and not sources.reachable(settings):
        sources.until_reachable_file(settings).touch(mode=0o600)
        warn(f"{settings.api_url} cannot be reached: the bundled stand-in of the API serves for now.")
        warn("The real API is tried at every fetch and takes over by itself; every person says its source.")
    with step("Feed", "first people fetched") as told:
        failed = _fetch(environment)
        if failed is not None:
            told("first fetch failed; the schedule tries again every minute")
    if failed is not None:
        for line in failed:
            warn(without_secrets(settings, line))
        return
    begin = time.monotonic()
    while not _is_settled(settings):
        if time.monotonic() - begin > _SETTLE_SECONDS:
            if when_late:
                when_late()
            warn("The first people are still on their way; Administrator_scripts/Status.sh shows how many.")
            return
        time.sleep(0.2)
    tell("People", "in PostgreSQL and in NocoDB", time.monotonic() - begin)


def _fetch(environment: Mapping[str, str] | None) -> list[str] | None:
    """Nothing, or why it failed."""
    try:
        done = subprocess.run(
            [sys.executable, str(ROOT / "Python_Files" / "0-Get_Data.py")],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [f"no answer within {_FETCH_SECONDS} s"]
    return (done.stderr or done.stdout).strip().splitlines()[-4:] if done.returncode else None


def _is_settled(settings: Settings) -> bool:
    try:
        return status.settled(settings)
    except PassingFault:
        return False


def _is_empty(settings: Settings) -> bool:
    with session(settings) as cursor:
        cursor.execute("SELECT NOT EXISTS (SELECT FROM pipeline.users) AND NOT EXISTS (SELECT FROM pipeline.fetches)")
        return bool(cursor.fetchone()[0])
