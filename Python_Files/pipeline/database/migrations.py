"""Bring the cluster to the project's state: databases, roles, passwords, and the scripts of ``Database-Init/``.

The scripts are applied in the order of their names, once each, by yoyo-migrations, which records them in the
database ``pipeline``. So an existing database gets what an update of the project brings, and keeps its data.
"""

from __future__ import annotations

import logging
from pathlib import Path

from psycopg2.extensions import encrypt_password
from psycopg2.sql import SQL, Identifier
from yoyo import get_backend, read_migrations

from pipeline.database.connection import connect, passing
from pipeline.log import event
from pipeline.settings import ROOT, Settings

logger = logging.getLogger(__name__)

SCRIPTS = ROOT / "Database-Init"


def migrate(settings: Settings, scripts: Path = SCRIPTS) -> list[str]:
    """Apply what is new; the names of the scripts that were applied. Raises PassingFault when PostgreSQL is away.

    A script that fails is rolled back, and nothing after it is applied.
    """
    _create_database(settings, "pipeline", "postgres")
    applied = apply(settings, scripts=scripts)
    _set_passwords(settings)
    _create_database(settings, "nocodb", "nocodb")
    return applied


def make_empty(settings: Settings) -> None:
    """Roles with their passwords, and both databases with nothing in them, for a copy to be put into.

    For a new cluster only: what the databases hold is lost. Raises PassingFault.
    """
    migrate(settings)
    connection = connect(settings, role="postgres", database="postgres", name="migrations")
    try:
        connection.autocommit = True
        with passing(), connection.cursor() as cursor:
            for name in ("pipeline", "nocodb"):
                cursor.execute(SQL("DROP DATABASE {}").format(Identifier(name)))
    finally:
        connection.close()
    _create_database(settings, "pipeline", "postgres")
    _create_database(settings, "nocodb", "nocodb")


def _create_database(settings: Settings, name: str, owner: str) -> None:
    connection = connect(settings, role="postgres", database="postgres", name="migrations")
    try:
        connection.autocommit = True
        with passing(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(SQL("CREATE DATABASE {} OWNER {}").format(Identifier(name), Identifier(owner)))
                # Nobody but its own roles has business in it.
                cursor.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(name)))
                event(logger, logging.INFO, "database created", database=name, owner=owner)
    finally:
        connection.close()


def apply(settings: Settings, database: str = "pipeline", scripts: Path = SCRIPTS) -> list[str]:
    """The scripts alone, in a database that is there; as migrate does it."""
    address = (
        f"postgresql://postgres:{settings.postgres_password}"
        f"@{settings.postgres_host}:{settings.postgres_port}/{database}?application_name=migrations"
    )
    with passing():
        backend = get_backend(address)
        try:
            with backend.lock():
                new = backend.to_apply(read_migrations(str(scripts)))
                backend.apply_migrations(new)
                return [migration.id for migration in new]
        finally:
            backend.connection.close()


def _set_passwords(settings: Settings) -> None:
    """Give the roles the passwords of ``.env``, as SCRAM verifiers made here, so that no server log can show one."""
    passwords = {
        "pipeline": settings.pipeline_db_password,
        "pipeline_reader": settings.reader_db_password,
        "pipeline_api": settings.api_db_password,
        "nocodb": settings.nocodb_db_password,
    }
    connection = connect(settings, role="postgres", name="migrations")
    try:
        with passing(), connection, connection.cursor() as cursor:
            for role, password in passwords.items():
                verifier = encrypt_password(password, role, connection, "scram-sha-256")
                cursor.execute(SQL("ALTER ROLE {} PASSWORD %s").format(Identifier(role)), (verifier,))
            cursor.execute("GRANT CONNECT, TEMPORARY ON DATABASE pipeline TO pipeline")
            cursor.execute("GRANT CONNECT ON DATABASE pipeline TO pipeline_reader, pipeline_api")
    finally:
        connection.close()
