"""Finding the pipeline's base and table among all that NocoDB has."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pipeline.errors import PipelineError
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


def mark(client: Client, base: dict[str, Any], table: str, key: str) -> None:
    """Note in the base which table is the pipeline's, and by which key NocoDB encrypts, if that is not noted yet."""
    noted = {"table": table, "key": _fingerprint(key)}
    if _meta(base).get(MARK) != noted:
        meta = {**_meta(base), MARK: noted}
        client.call("PATCH", f"/api/v2/meta/bases/{base['id']}", json={"meta": json.dumps(meta)})


def check_key(base: dict[str, Any], key: str) -> None:
    """Raise PipelineError when NocoDB's data was encrypted by another key: it could only answer 500 to all of it."""
    noted = _meta(base).get(MARK)
    if isinstance(noted, dict) and noted.get("key", _fingerprint(key)) != _fingerprint(key):
        raise PipelineError(
            "NOCODB_ENCRYPTION_KEY is not the one that NocoDB's data was encrypted by",
            detail="the settings file is another one than that of the data",
            hint="Bring the old one back: each backup keeps a copy in BACKUP_DIR/configuration/env.",
        )


def _fingerprint(key: str) -> str:
    """It tells keys apart and tells nothing of them: they have 192 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


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
