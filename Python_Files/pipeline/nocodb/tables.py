"""Finding the pipeline's base and table among all that NocoDB has."""

from __future__ import annotations

import json
from typing import Any

from pipeline.nocodb.client import Client

BASE = "Randomuser"
USERS = "Users"

MARK = "pipeline"
"""The key in the base's own ``meta`` under which the id of the table is noted.

So both are found again under whatever titles people give them. It lies in NocoDB's database, not beside it, and fits
whatever moment that database is restored to.
"""


def _meta(base: dict[str, Any]) -> dict[str, Any]:
    """NocoDB gives a ``meta`` as an object here and as its JSON text there."""
    meta = base.get("meta") or {}
    if isinstance(meta, str):
        try:
            meta = json.loads(meta)
        except ValueError:
            meta = {}
    return meta if isinstance(meta, dict) else {}


def _marked(base: dict[str, Any]) -> str:
    mark = _meta(base).get(MARK)
    return str(mark.get("table") or "") if isinstance(mark, dict) else ""


def mark(client: Client, base: dict[str, Any], table: str) -> None:
    """Note in the base which table is the pipeline's, if that is not noted yet."""
    if _marked(base) != table:
        meta = {**_meta(base), MARK: {"table": table}}
        client.call("PATCH", f"/api/v2/meta/bases/{base['id']}", json={"meta": json.dumps(meta)})


def find_base(client: Client) -> dict[str, Any] | None:
    """The base that is marked, else the oldest of the name, for titles may repeat."""
    bases = client.every("/api/v2/meta/bases")
    marked = [base for base in bases if _marked(base)]
    return next(iter(marked + [base for base in bases if base["title"] == BASE]), None)


def find_table(client: Client, base: dict[str, Any]) -> dict[str, Any] | None:
    """The table that is marked, else the table Users that NocoDB keeps itself, not one of a data source."""
    own = {
        source["id"]
        for source in client.every(f"/api/v2/meta/bases/{base['id']}/sources")
        if source.get("is_meta") or source.get("is_local")
    }
    tables = client.every(f"/api/v2/meta/bases/{base['id']}/tables")
    marked = [table for table in tables if table["id"] == _marked(base)]
    named = [table for table in tables if table["title"] == USERS and table["source_id"] in own]
    return next(iter(marked + named), None)
