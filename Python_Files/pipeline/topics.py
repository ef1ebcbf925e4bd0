"""The topics, who reads and writes them, and the headers that a record carries through them."""

from __future__ import annotations

from dataclasses import dataclass, field

FETCHED = "users.fetched"
TIMESTAMPED = "users.timestamped"
LABELLED = "users.labelled"
REJECTED = "users.rejected"
FETCHES = "pipeline.fetches"

# The stages' names, which are the names of their consumer groups too, in the order of the chain.
GET_DATA = "0-Get_Data"
ADD_TIMESTAMP = "1-Add_Timestamp"
ADD_LABEL = "2-Add_Label"
TO_POSTGRESQL = "3-Add_Database-postgresql"
TO_NOCODB = "3-Add_Database-nocodb"

# The stages between topics, in the order of the chain, and the topic that each writes. Each reads what the one before
# it writes, so a new stage is a line here, which parts, page, status, ledger and replays follow.
WRITES = {
    ADD_TIMESTAMP: TIMESTAMPED,
    ADD_LABEL: LABELLED,
}

# The topics that people pass, and the last of them, which the stores read.
CHAIN = (FETCHED, *WRITES.values())
STORED = CHAIN[-1]

# The stages that store people, and the names of their stores.
STORES = {TO_POSTGRESQL: "postgresql", TO_NOCODB: "nocodb"}

STAGES = (*WRITES, *STORES)

# Who reads what.
READS: dict[str, tuple[str, ...]] = {
    **{stage: (topic,) for stage, topic in zip(WRITES, CHAIN, strict=False)},
    TO_POSTGRESQL: (STORED, REJECTED, FETCHES),
    TO_NOCODB: (STORED,),
}

# Headers of every record about a person. All values are UTF-8.
FETCH_ID = "fetch-id"  # the run that asked for it
SOURCE = "source"  # where it came from: randomuser.me, stand-in, file

# Headers that a record in users.rejected has besides the ones above.
STAGE = "stage"
REASON = "reason"
MESSAGE = "message"
ORIGIN_TOPIC = "origin-topic"
ORIGIN_PARTITION = "origin-partition"
ORIGIN_OFFSET = "origin-offset"
ORIGIN_TIMESTAMP = "origin-timestamp-ms"
OF_A_REFUSAL = (STAGE, REASON, MESSAGE, ORIGIN_TOPIC, ORIGIN_PARTITION, ORIGIN_OFFSET, ORIGIN_TIMESTAMP)

# The header of a refused record that was sent again: the id of its row in pipeline.rejected.
REPLAY_OF = "replay-of"

# What the pipeline itself sends into a topic at most: key, value and headers of one record, in bytes.
RECORD_BYTES = 1_000_000
REJECTED_RECORD_BYTES = 1_900_000
# Each topic of the chain takes more than the one before, so that what a stage adds to the largest record finds room.
MOST_BYTES = {
    FETCHED: RECORD_BYTES,
    **{topic: 1_010_000 + 70_000 * number for number, topic in enumerate(WRITES.values(), 1)},
    REJECTED: REJECTED_RECORD_BYTES,
}

# What Kafka takes there from anybody, after compression, also of bytes that cannot be compressed; users.rejected takes
# a whole refused record with its headers.
_TAKES = {
    FETCHED: 1_048_588,
    **{topic: 1_000_000 + 100_000 * number for number, topic in enumerate(WRITES.values(), 1)},
    REJECTED: 2_000_000,
    FETCHES: 1_048_588,
}


@dataclass(frozen=True)
class Topic:
    """A topic as it is created: ``partitions`` of None means the setting KAFKA_PARTITIONS."""

    name: str
    partitions: int | None = None
    config: dict[str, str] = field(default_factory=dict)


def _takes(name: str) -> dict[str, str]:
    return {"max.message.bytes": str(_TAKES[name])}


ALL = (
    *(Topic(name, config=_takes(name)) for name in CHAIN),
    # The broker's clock stamps a rejected record (when it was refused); the moment of its fetch is in a header.
    Topic(REJECTED, config={"message.timestamp.type": "LogAppendTime", **_takes(REJECTED)}),
    # One partition keeps the runs in their order; a run of 5,000 people lists its uuids in some 200 KB.
    Topic(FETCHES, partitions=1, config=_takes(FETCHES)),
)
