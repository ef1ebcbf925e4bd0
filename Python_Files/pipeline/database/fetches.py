"""The runs of the feed as PostgreSQL keeps them."""

from __future__ import annotations

from pipeline.database.connection import session
from pipeline.database.queries import query
from pipeline.feed.plan import Fetch
from pipeline.settings import Settings


def stored(settings: Settings, fetch_id: str) -> Fetch | None:
    """The fetch of this id, without its uuids; None when none is stored. Raises PassingFault."""
    with session(settings, name="fetches") as cursor:
        cursor.execute(query("read_fetch"), {"fetch_id": fetch_id})
        found = cursor.fetchone()
        if found is None:
            return None
        values = dict(zip((column.name for column in cursor.description), found, strict=True))
    nationalities = [one for one in values.pop("nationalities").split(",") if one]
    return Fetch(**values, due=None, uuids=[], nationalities=nationalities)
