"""Remove the people of one source from both stores, and keep the record that this was done on purpose."""

from __future__ import annotations

from psycopg2.extras import execute_values

from pipeline.database.connection import session
from pipeline.database.queries import query
from pipeline.nocodb import Users
from pipeline.settings import Settings

PIECE = 1000
"""People a transaction, so that a million of them need no more memory than a thousand."""


def remove_source(settings: Settings, source: str, why: str = "removed by Reset.sh") -> dict[str, int]:
    """Remove everybody of ``source`` who is stored; how many from each store. Can be interrupted and called again.

    NocoDB first: somebody who is gone there but not noted yet is noted by the next call. Raises PassingFault.
    """
    users = Users(settings)
    try:
        return {
            "nocodb": _remove(settings, source, why, "nocodb", users),
            "postgresql": _remove(settings, source, why, "postgresql", None),
        }
    finally:
        users.close()


def _remove(settings: Settings, source: str, why: str, store: str, users: Users | None) -> int:
    removed = 0
    while True:
        with session(settings, name="removal") as cursor:
            cursor.execute(
                query("written_of_source" if users else "users_of_source"), {"source": source, "limit": PIECE}
            )
            piece = cursor.fetchall()
            if not piece:
                return removed
            uuids = [uuid for uuid, _, _ in piece]
            if users:
                users.delete(uuids)
            else:
                cursor.execute(query("delete_users"), {"uuids": uuids})
            noted = [(uuid, store, fetch_id, its_source, why) for uuid, fetch_id, its_source in piece]
            execute_values(cursor, query("note_removed"), noted, page_size=PIECE)
        removed += len(piece)
