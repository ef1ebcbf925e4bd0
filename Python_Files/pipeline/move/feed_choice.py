"""Where the feed takes its people from: the state that a start leaves behind, carried to the other way."""

from __future__ import annotations

from pipeline.feed import sources
from pipeline.settings import Settings

OFFLINE, UNTIL_REACHABLE = "offline", "until-reachable"


def chosen(settings: Settings) -> str:
    """OFFLINE, UNTIL_REACHABLE, or "" when it is the API alone."""
    if sources.offline_file(settings).exists():
        return OFFLINE
    return UNTIL_REACHABLE if sources.until_reachable_file(settings).exists() else ""


def choose(settings: Settings, choice: str) -> None:
    settings.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = sources.offline_file(settings) if choice == OFFLINE else sources.until_reachable_file(settings)
    path.touch(mode=0o600)
