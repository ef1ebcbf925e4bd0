"""Remove the people of one source from both stores, and keep the record that this was done on purpose."""

from __future__ import annotations

from uuid import UUID

from pipeline.database.connection import session
from pipeline.database.queries import query
from pipeline.nocodb import Users
from pipeline.settings import Settings

PIECE = 1000
"""People a transaction, so that a million of them need no more memory than a thousand."""


def remove_source(settings: Settings, source: str, why: str = "removed by Reset.sh") -> dict[str, int]:
    """Remove everybody of ``source``; how many rows went from each store.

    They are noted as removed first, in both stores: who is still on the way is not stored any more. So it can be
    interrupted at any point and called again. Raises PassingFault.
    """
    with session(settings, name="removal") as cursor:
        cursor.execute(query("note_source_removed"), {"source": source, "why": why})
    users = Users(settings)
    try:
        # NocoDB first: with it away, nothing is deleted anywhere.
        before = users.count()
        _delete(settings, source, "nocodb", users)
        return {"nocodb": before - users.count(), "postgresql": _delete(settings, source, "postgresql", None)}
    finally:
        users.close()


def _delete(settings: Settings, source: str, store: str, users: Users | None) -> int:
    deleted, after = 0, UUID(int=0)
    while True:
        with session(settings, name="removal") as cursor:
            cursor.execute(
                query("removed_of_source"), {"store": store, "source": source, "after": after, "limit": PIECE}
            )
            uuids = [uuid for (uuid,) in cursor]
            if not uuids:
                return deleted
            if users:
                users.delete(uuids)
            else:
                cursor.execute(query("delete_users"), {"uuids": uuids})
                deleted += cursor.rowcount
            after = uuids[-1]
