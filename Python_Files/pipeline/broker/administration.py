"""The questions and orders of an administrator: topics, groups, and whether Kafka answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from kafka.admin import ConfigResource, ConfigResourceType, MemberToRemove, NewPartitions, NewTopic

from pipeline import topics
from pipeline.broker.connection import Administrator, Partition, Position, client, count_from, passing
from pipeline.errors import PassingFault, SettingsError
from pipeline.settings import Settings
from pipeline.topics import Topic

READY_MS = 8_000


@contextmanager
def administrator(settings: Settings, patience_ms: int = 30_000) -> Iterator[Administrator]:
    """Kafka's administrator. ``patience_ms``: how long a first answer of any broker is waited for."""
    with passing():
        admin = Administrator(
            **client(settings, "administrator"),
            bootstrap_timeout_ms=patience_ms,
            request_timeout_ms=min(patience_ms, 10_000),
        )
        try:
            yield admin
        finally:
            admin.close()


def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing; the names of those.

    Existing ones keep their data, and get the retention and the number of partitions of the settings, and what else is
    theirs. Raises SettingsError when there are more partitions than KAFKA_PARTITIONS: they cannot become fewer;
    PassingFault while topics are missing and not all brokers are there, for each is to get its copy.
    """
    retention = {"retention.ms": str(settings.kafka_retention_hours * 3_600_000), "retention.bytes": "-1"}
    with administrator(settings) as admin:
        there = set(admin.list_topics())
        missing = [topic for topic in topics.ALL if topic.name not in there]
        if missing:
            _check_brokers(admin, settings)
            admin.create_topics(
                [
                    NewTopic(
                        topic.name,
                        num_partitions=topic.partitions or settings.kafka_partitions,
                        replication_factor=-1,
                        topic_configs={**retention, **topic.config},
                    )
                    for topic in missing
                ]
            )
            admin.wait_for_topics([topic.name for topic in missing])
        existing = [topic for topic in topics.ALL if topic.name in there]
        _bring_up_to_date(admin, settings, existing, retention)
    return [topic.name for topic in missing]


def _check_brokers(admin: Administrator, settings: Settings) -> None:
    there = sum(not one.get("is_fenced") for one in admin.describe_cluster()["brokers"])
    if there < settings.kafka_brokers:
        raise PassingFault("Kafka's brokers are not all there yet", detail=f"{there} of {settings.kafka_brokers}")


def _bring_up_to_date(
    admin: Administrator, settings: Settings, existing: Sequence[Topic], retention: dict[str, str]
) -> None:
    if not existing:
        return
    admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic.name, {**retention, **topic.config}) for topic in existing]
    )
    numbers = {one["name"]: len(one["partitions"]) for one in admin.describe_topics([t.name for t in existing])}
    more = {}
    for topic in existing:
        wanted = topic.partitions or settings.kafka_partitions
        if numbers[topic.name] > wanted:
            raise SettingsError(
                f"KAFKA_PARTITIONS is {wanted}; allowed: at least {numbers[topic.name]}",
                detail=f"{topic.name} has {numbers[topic.name]} partitions, and partitions can only become more",
            )
        if numbers[topic.name] < wanted:
            more[topic.name] = NewPartitions(wanted)
    if more:
        admin.create_partitions(more)


def ensure_topic(settings: Settings, name: str, config: Mapping[str, str], partitions: int = 6) -> None:
    """Create a topic that is none of the pipeline's own, if it is missing."""
    with administrator(settings) as admin:
        if name not in admin.list_topics():
            admin.create_topics(
                [NewTopic(name, num_partitions=partitions, replication_factor=-1, topic_configs=dict(config))]
            )
            admin.wait_for_topics([name])


class TopicIdentity(NamedTuple):
    cluster_id: str
    topic_id: str
    partitions: int


def identities(settings: Settings, names: Sequence[str]) -> dict[str, TopicIdentity]:
    """Cluster id, topic id and number of partitions of each topic. Raises PassingFault when one is not there."""
    with administrator(settings) as admin:
        cluster = str(admin.describe_cluster()["cluster_id"])
        found = {
            topic["name"]: TopicIdentity(cluster, str(topic["topic_id"]), len(topic["partitions"]))
            for topic in admin.describe_topics(list(names))
            if not topic.get("error_code")
        }
    missing = [name for name in names if name not in found]
    if missing:
        raise PassingFault(f"Kafka has no topic {', '.join(missing)}", hint="Run ./Project_Initialize.sh again.")
    return found


def ready(settings: Settings) -> None:
    """Raises PassingFault unless a broker serves metadata, within seconds: somebody waits for the answer."""
    with administrator(settings, READY_MS) as admin:
        admin.describe_cluster()


def group_ready(settings: Settings, group: str) -> bool:
    """Whether the group is stable and every one of its members has answered with its partitions."""
    with administrator(settings) as admin:
        described = admin.describe_groups([group])[group]
        return described.get("group_state") == "Stable" and bool(described.get("members"))


def leave(settings: Settings, group: str, instance: str) -> None:
    """End the membership of a process that will not be back; the client itself never does for a static member."""
    with administrator(settings) as admin:
        admin.remove_group_members(group, [MemberToRemove(group_instance_id=instance)])


def group_positions(settings: Settings, group: str) -> dict[Partition, Position]:
    """What a transforming stage has committed, per partition."""
    with administrator(settings) as admin:
        offsets = admin.list_group_offsets(group)[group]
    return {
        (one.topic, one.partition): Position(its.offset, count_from(its.metadata))
        for one, its in offsets.items()
        if its.offset >= 0
    }
