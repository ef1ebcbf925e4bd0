"""Kafka as the pipeline uses it. This package is the only place that imports the Kafka client.

Three ends: a Reader (a member of a consumer group that reads what is committed), a Writer (one transaction after
another under a transactional.id that stays the same over restarts), and the questions that an administrator asks.

Sources: Kafka's documentation of transactions (KIP-98) and of fencing by group metadata (KIP-447).
"""

from pipeline.broker.administration import (
    TopicIdentity,
    create_topics,
    ensure_topic,
    group_positions,
    group_ready,
    identities,
    ready,
)
from pipeline.broker.connection import TRANSACTION_TIMEOUT_MS, Count, Partition, Position
from pipeline.broker.foreign import read_any_header
from pipeline.broker.looking import beginnings, ends, lag, lags, tail, waiting
from pipeline.broker.reader import Reader
from pipeline.broker.watching import Watch
from pipeline.broker.writer import Writer, mend_hanging, publisher, slot

read_any_header()

__all__ = [
    "TRANSACTION_TIMEOUT_MS",
    "Count",
    "Partition",
    "Position",
    "Reader",
    "TopicIdentity",
    "Watch",
    "Writer",
    "beginnings",
    "create_topics",
    "ends",
    "ensure_topic",
    "group_positions",
    "group_ready",
    "identities",
    "lag",
    "lags",
    "mend_hanging",
    "publisher",
    "ready",
    "slot",
    "tail",
    "waiting",
]
