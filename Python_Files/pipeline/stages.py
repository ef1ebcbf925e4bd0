"""The stages of the chain, wired: which topic, which step, which store.

Each function imports what it alone needs, so that a process holds no more in memory than its own stage.
"""

from __future__ import annotations

from pipeline import stage, topics
from pipeline.settings import Settings
from pipeline.store import MakeSink, storing
from pipeline.transform import transforming


def _transform(settings: Settings, name: str) -> None:
    from pipeline import steps

    stopping = stage.Stopping()
    stopping.listen()
    (source,) = topics.READS[name]
    with transforming(settings, name, source, topics.WRITES[name], steps.STEPS[name]) as make:
        stage.run(make, settings, stopping)


def _store(settings: Settings, name: str, sink_of: MakeSink) -> None:
    stopping = stage.Stopping()
    stopping.listen()
    with storing(settings, sink_of, name, topics.READS[name]) as make:
        stage.run(make, settings, stopping)


def add_timestamp(settings: Settings) -> None:
    """users.fetched -> users.timestamped"""
    _transform(settings, topics.ADD_TIMESTAMP)


def add_label(settings: Settings) -> None:
    """users.timestamped -> users.labelled"""
    from pipeline import steps

    steps.warm_up()
    _transform(settings, topics.ADD_LABEL)


def to_postgresql(settings: Settings) -> None:
    """users.labelled, users.rejected and pipeline.fetches -> PostgreSQL"""
    from pipeline.database.users import PostgresqlSink

    _store(settings, topics.TO_POSTGRESQL, PostgresqlSink)


def to_nocodb(settings: Settings) -> None:
    """users.labelled -> NocoDB"""
    from pipeline.nocodb_sink import NocodbSink

    _store(settings, topics.TO_NOCODB, NocodbSink)


SINKS = {"postgresql": to_postgresql, "nocodb": to_nocodb}
