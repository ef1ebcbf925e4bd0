"""The end of a start: the first fetch at once, and the wait until its people are in both stores."""

from __future__ import annotations

import subprocess
import sys
import time

from pipeline import status
from pipeline.database.connection import session
from pipeline.errors import PassingFault
from pipeline.feed import sources
from pipeline.operations.telling import tell, warn
from pipeline.settings import ROOT, Settings

FETCH_SECONDS = 90
SETTLE_SECONDS = 120


def fetch(settings: Settings) -> None:
    """Fetch once and wait. A fetch that fails, or people who take long, are told and are no fault of the start."""
    offline = settings.feed_offline or sources.offline_file(settings).exists()
    if not offline and _is_empty(settings) and not sources.reachable(settings):
        sources.until_reachable_file(settings).touch(mode=0o600)
        warn(f"{settings.api_url} cannot be reached: the bundled stand-in of the API serves for now.")
        warn("The real API is tried at every fetch and takes over by itself; every person says its source.")
    begin = time.monotonic()
    door = [sys.executable, str(ROOT / "Python_Files" / "0-Get_Data.py")]
    try:
        done = subprocess.run(door, cwd=ROOT, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
        said, failed = (done.stderr or done.stdout).strip().splitlines(), done.returncode != 0
    except subprocess.TimeoutExpired:
        said, failed = [f"no answer within {FETCH_SECONDS} s"], True
    if failed:
        for line in ("The first fetch failed; the schedule tries again every minute.", *said[-4:]):
            warn(line)
        return
    tell("Feed", "first people fetched", time.monotonic() - begin)
    begin = time.monotonic()
    while not _is_settled(settings):
        if time.monotonic() - begin > SETTLE_SECONDS:
            warn("The first people are still on their way; Administrator_scripts/Status.sh shows how many.")
            return
        time.sleep(0.2)
    tell("People", "in PostgreSQL and in NocoDB", time.monotonic() - begin)


def _is_settled(settings: Settings) -> bool:
    try:
        return status.settled(settings)
    except PassingFault:
        return False


def _is_empty(settings: Settings) -> bool:
    with session(settings) as cursor:
        cursor.execute("SELECT NOT EXISTS (SELECT FROM pipeline.users) AND NOT EXISTS (SELECT FROM pipeline.fetches)")
        return bool(cursor.fetchone()[0])
