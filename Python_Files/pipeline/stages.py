"""The stages of the chain, wired: which topic, which step, which store.

A new stage is a step, a topic, one function here, and one door. Each function imports what it alone needs, so that a
process holds no more in memory than its own stage.
"""

from __future__ import annotations

from pipeline import stage, topics
from pipeline.settings import Settings
from pipeline.steps import Step
from pipeline.store import MakeSink, storing
from pipeline.transform import transforming


def _transform(settings: Settings, name: str, target: str, step: Step) -> None:
    stopping = stage.Stopping()
    stopping.listen()
    (source,) = topics.READS[name]
    with transforming(settings, name, source, target, step) as make:
        stage.run(make, settings, stopping)


def _store(settings: Settings, name: str, sink_of: MakeSink) -> None:
    stopping = stage.Stopping()
    stopping.listen()
    with storing(settings, sink_of, name, topics.READS[name]) as make:
        stage.run(make, settings, stopping)


def add_timestamp(settings: Settings) -> None:
    """users.fetched -> users.timestamped"""
    from pipeline import steps

    _transform(settings, topics.ADD_TIMESTAMP, topics.TIMESTAMPED, steps.add_timestamp)


def add_label(settings: Settings) -> None:
    """users.timestamped -> users.labelled"""
    from pipeline import steps

    steps.warm_up()
    _transform(settings, topics.ADD_LABEL, topics.LABELLED, steps.add_label)


def to_postgresql(settings: Settings) -> None:
    """users.labelled, users.rejected and pipeline.fetches -> PostgreSQL"""
    from pipeline.database.users import PostgresqlSink

    _store(settings, topics.TO_POSTGRESQL, PostgresqlSink)


def to_nocodb(settings: Settings) -> None:
    """users.labelled -> NocoDB"""
    from pipeline.nocodb_sink import NocodbSink

    _store(settings, topics.TO_NOCODB, NocodbSink)


SINKS = {"postgresql": to_postgresql, "nocodb": to_nocodb}
