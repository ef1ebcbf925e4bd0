"""Finding the pipeline's base and table among all that NocoDB has."""

from __future__ import annotations

from typing import Any

from pipeline.nocodb.client import Client

BASE = "Randomuser"
USERS = "Users"


def find_base(client: Client) -> dict[str, Any] | None:
    """The oldest base of the name, for titles may repeat."""
    return next((base for base in client.every("/api/v2/meta/bases") if base["title"] == BASE), None)


def find_table(client: Client, base: str) -> dict[str, Any] | None:
    """The table Users that NocoDB keeps itself, not one of a data source."""
    own = {
        source["id"]
        for source in client.every(f"/api/v2/meta/bases/{base}/sources")
        if source.get("is_meta") or source.get("is_local")
    }
    tables = [table for table in client.every(f"/api/v2/meta/bases/{base}/tables") if table["title"] == USERS]
    return next((table for table in tables if table["source_id"] in own), None)
