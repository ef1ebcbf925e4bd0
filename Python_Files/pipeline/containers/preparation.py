"""What is done once at every start, before the stages: roles, tables, topics, NocoDB's base; what is there stays."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipeline import backup, broker
from pipeline.database import connection, migrations
from pipeline.errors import PassingFault
from pipeline.feed import sources
from pipeline.log import event
from pipeline.operations import postgresql_server
from pipeline.settings import Settings

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
# Three brokers are started, and not waited for, by Compose: when one is broken for good, the other two are enough.
BROKERS_PATIENCE_SECONDS = 300.0

Result = TypeVar("Result")


def patiently(work: Callable[[], Result], seconds: float = PATIENCE_SECONDS) -> Result:
    """What ``work`` returns; while it raises PassingFault it is tried again, for so many seconds."""
    until = time.monotonic() + seconds
    pause = 0.2
    while True:
        try:
            return work()
        except PassingFault as fault:
            # A wrong password does not get right by waiting.
            if time.monotonic() > until or "password authentication failed" in fault.detail:
                raise
        time.sleep(pause)
        pause = min(2.0, pause * 1.5)


def prepare_postgresql(settings: Settings) -> None:
    """The superuser has the password of ``.env``, and the repository of the backups is ready. Raises PipelineError."""
    patiently(lambda: _with_password(settings))
    ready, faults = patiently(lambda: backup.prepare(settings))
    counts = ",".join(str(len(one.contents.backups)) for one in ready)
    event(logger, logging.INFO, "WAL goes to the repository of the backups", base_backups=counts)
    for fault in faults:
        event(logger, logging.WARNING, fault.message, detail=fault.detail, hint=fault.hint)


def _with_password(settings: Settings) -> None:
    try:
        connection.ready(settings)
    except PassingFault as fault:
        # It was changed by hand, or the data came from elsewhere: .env is the truth.
        if "password authentication failed" not in fault.detail:
            raise
        postgresql_server.set_password(settings, Path("psql"))
        event(logger, logging.WARNING, "the superuser's password was another one; it is that of .env now")
        connection.ready(settings)


def prepare(settings: Settings) -> None:
    """Roles, tables and topics, and where the feed takes its people from. Raises PipelineError."""
    settings.run.mkdir(parents=True, exist_ok=True)
    offline = sources.offline_file(settings)
    if os.environ.get("PIPELINE_OFFLINE", "").lower() == "true":
        offline.touch(mode=0o600)
    else:
        offline.unlink(missing_ok=True)
    applied = patiently(lambda: migrations.migrate(settings))
    event(logger, logging.INFO, "tables and roles are up to date", applied=", ".join(applied) or None)
    seconds = PATIENCE_SECONDS if settings.kafka_brokers == 1 else BROKERS_PATIENCE_SECONDS
    created = patiently(lambda: broker.create_topics(settings), seconds)
    event(logger, logging.INFO, "topics are there", created=", ".join(created) or None)


def prepare_nocodb(settings: Settings) -> None:
    """NocoDB's base, table and views. Raises PipelineError."""
    from pipeline import nocodb

    patiently(lambda: nocodb.ready(settings))
    patiently(lambda: nocodb.bootstrap(settings))
    event(logger, logging.INFO, "base, table and views are up to date")
