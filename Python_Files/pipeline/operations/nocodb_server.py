"""NocoDB as a process: its environment and its command line."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from pipeline.operations.places import Installed
from pipeline.settings import Settings


def directory(settings: Settings) -> Path:
    """Where NocoDB stores pictures and other attachments."""
    return settings.data / "nocodb"


def environment(settings: Settings) -> dict[str, str]:
    """NocoDB's settings. They hold secrets, so they are given to the process by its own start, never on disk."""
    public = settings.nocodb_public_url or settings.nocodb_url
    return {
        "HOST": settings.nocodb_host,
        "PORT": str(settings.nocodb_port),
        "NODE_ENV": "production",
        "NC_DB": f"pg://{settings.postgres_host}:{settings.postgres_port}"
        f"?u=nocodb&p={quote(settings.nocodb_db_password, safe='')}&d=nocodb",
        "NC_ADMIN_EMAIL": settings.nocodb_admin_email,
        "NC_ADMIN_PASSWORD": settings.nocodb_admin_password,
        "NC_AUTH_JWT_SECRET": settings.nocodb_jwt_secret,
        "NC_CONNECTION_ENCRYPT_KEY": settings.nocodb_encryption_key,
        "NC_PUBLIC_URL": public,
        "NC_TOOL_DIR": str(directory(settings)),
        "NC_DATA_PAYLOAD_LIMIT": "1000",
        "NC_DISABLE_TELE": "true",
        "NC_DISABLE_ERR_REPORTS": "true",
        "NC_DISABLE_SUPPORT_CHAT": "true",
        "NC_DISABLE_PRODUCT_FEED": "true",
        "NC_DISABLE_ONBOARDING_FLOW": "true",
        # A portrait's file is kept when the last row that shows it goes: the next person with it needs it again.
        "NC_ATTACHMENT_RETENTION_DAYS": "0",
        # Its audit would write a row of its own for each person, at three times the cost of the person's row alone.
        "NC_DISABLE_AUDIT": "true",
    }


def command(programs: Installed) -> list[str]:
    return [
        str(programs.nocodb / "node"),
        *("-r", str(programs.nocodb / "sqlite3-absent.cjs")),
        str(programs.nocodb / "server.cjs"),
    ]
