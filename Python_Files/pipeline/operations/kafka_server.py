"""Apache Kafka as processes that are broker and controller: their configuration, format and command line."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from pipeline import topics
from pipeline.errors import PipelineError
from pipeline.operations import files
from pipeline.operations.places import Installed
from pipeline.settings import Settings

_TEN_YEARS_MINUTES = 10 * 366 * 24 * 60
_LARGEST_INT = 2**31 - 1

_LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSS'Z'}{UTC} %p kafka: %m (%c{1})%n%throwable
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
# That it has started, and that it ends.
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""


def directory(settings: Settings) -> Path:
    return settings.data / "kafka"


def host_of(settings: Settings, node: int) -> str:
    """The host of a broker, as others reach it; nodes count from 1."""
    return settings.kafka_host if node == 1 else f"{settings.kafka_host}-{node}"


def copies(brokers: int) -> dict[str, str]:
    """How many brokers have each record, and how many must have it before it is acknowledged.

    Of three brokers any one may be away: the other two go on, and what was acknowledged is on both. No broker that has
    less than that ever becomes the leader.
    """
    factor, least = ("3", "2") if brokers == 3 else ("1", "1")
    return {
        "default.replication.factor": factor,
        "min.insync.replicas": least,
        "unclean.leader.election.enable": "false",
        "offsets.topic.replication.factor": factor,
        "transaction.state.log.replication.factor": factor,
        "transaction.state.log.min.isr": least,
        "share.coordinator.state.topic.replication.factor": factor,
        "share.coordinator.state.topic.min.isr": least,
    }


def properties(settings: Settings, node: int = 1) -> dict[str, str]:
    """What is in the server.properties of a node."""
    name = host_of(settings, node)
    host = f"[{name}]" if ":" in name else name
    advertised = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - who listens everywhere
    largest = str(topics.REJECTED_RECORD_BYTES + 100_000)
    values = {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.bootstrap.servers": f"{advertised}:{settings.kafka_controller_port}",
        "listeners": f"PLAINTEXT://{host}:{settings.kafka_port},CONTROLLER://{host}:{settings.kafka_controller_port}",
        "advertised.listeners": f"PLAINTEXT://{advertised}:{settings.kafka_port},"
        f"CONTROLLER://{advertised}:{settings.kafka_controller_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(directory(settings) / "log"),
        "auto.create.topics.enable": "false",
        "num.partitions": str(settings.kafka_partitions),
        **copies(settings.kafka_brokers),
        "group.initial.rebalance.delay.ms": "0",
        # A handful of groups and transactional ids: fewer partitions than the default of 50 start faster.
        "offsets.topic.num.partitions": "10",
        "transaction.state.log.num.partitions": "10",
        # What a stage has read is never forgotten, however long it was stopped.
        "offsets.retention.minutes": str(_TEN_YEARS_MINUTES),
        "transactional.id.expiration.ms": str(_LARGEST_INT),
        "transaction.max.timeout.ms": "60000",
        "log.retention.hours": str(settings.kafka_retention_hours),
        "message.max.bytes": largest,
        "replica.fetch.max.bytes": largest,
    }
    if settings.kafka_flush_every_append:
        # One broker alone has no replica to ask: what it acknowledges must be on its disk. Three on one machine lose
        # their power together.
        values["log.flush.interval.messages"] = "1"
    return values


def configure(settings: Settings) -> None:
    """Write Kafka's files from the settings."""
    place = directory(settings)
    place.mkdir(mode=0o700, exist_ok=True)
    text = "".join(f"{name}={_escaped(value)}\n" for name, value in properties(settings).items())
    files.write_if_changed(place / "server.properties", f"# Generated from .env at every start.\n{text}")
    files.write_if_changed(place / "log4j2.properties", _LOGGING)


def _escaped(value: str) -> str:
    """A backslash begins an escape in Java's properties."""
    return value.replace("\\", "\\\\")


def is_formatted(settings: Settings) -> bool:
    return (directory(settings) / "log" / "meta.properties").exists()


def new_cluster_id() -> str:
    """An id as Kafka's own tool makes them, none of which begins with what its programs take for an option."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made


def format_storage(settings: Settings, programs: Installed) -> None:
    """Give the log directory its cluster id, once. Raises PipelineError when Kafka refuses."""
    id_file = directory(settings) / "cluster-id"
    if not id_file.exists():
        files.write(id_file, new_cluster_id() + "\n")
    cluster = id_file.read_text(encoding="utf-8").strip()
    command = [
        *(str(programs.java), "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", f"{programs.kafka}/libs/*"),
        *("kafka.tools.StorageTool", "format", "--standalone", "--ignore-formatted", f"--cluster-id={cluster}"),
        *("-c", str(directory(settings) / "server.properties")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PipelineError("Kafka's storage cannot be formatted", detail=(done.stderr or done.stdout).strip()[-500:])


def command(settings: Settings, programs: Installed) -> list[str]:
    """The server's command line; the process itself is Java, so that signals reach it."""
    archive = programs.kafka / "classes.jsa"
    return [
        str(programs.java),
        *([f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []),
        f"-Xms{min(256, settings.kafka_heap_mb)}m",
        f"-Xmx{settings.kafka_heap_mb}m",
        # A broker without memory is of no use: it ends, and the supervisor starts it again.
        "-XX:+ExitOnOutOfMemoryError",
        f"-XX:ErrorFile={settings.logs}/kafka-crash-%p.log",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={directory(settings) / 'log4j2.properties'}",
        *("-cp", f"{programs.kafka}/libs/*"),
        "kafka.Kafka",
        str(directory(settings) / "server.properties"),
    ]
