"""What people did in NocoDB's own tables since a moment."""

from __future__ import annotations

from datetime import datetime

from psycopg2.sql import SQL, Identifier

from pipeline.database.connection import Cursor

_NAMED = 5

# The sink writes a row once; whoever writes later is a person.
_EDITED = SQL("updated_at >= %(moment)s AND updated_at IS DISTINCT FROM created_at")


def edits(
    cursor: Cursor, schema: str, table: str, moment: datetime, *, named: bool = False
) -> tuple[int, int, list[str]]:
    """Rows edited and rows added since ``moment``, and if ``named`` the uuids of those that were edited last."""
    # NocoDB notes whole seconds, and UTC without saying so.
    values = {"moment": moment.replace(tzinfo=None, microsecond=0), "limit": _NAMED}
    place = Identifier(schema, table)
    cursor.execute(
        SQL("SELECT count(*) FILTER (WHERE {}), count(*) FILTER (WHERE created_at >= %(moment)s) FROM {}").format(
            _EDITED, place
        ),
        values,
    )
    edited, added = cursor.fetchone()
    if not (named and edited):
        return int(edited), int(added), []
    cursor.execute(
        SQL("SELECT uuid FROM {} WHERE {} ORDER BY updated_at DESC LIMIT %(limit)s").format(place, _EDITED), values
    )
    return int(edited), int(added), [str(uuid) for (uuid,) in cursor.fetchall()]
