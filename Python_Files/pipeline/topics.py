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
STAGES = (ADD_TIMESTAMP, ADD_LABEL, TO_POSTGRESQL, TO_NOCODB)

# Who reads what.
READS = {
    ADD_TIMESTAMP: (FETCHED,),
    ADD_LABEL: (TIMESTAMPED,),
    TO_POSTGRESQL: (LABELLED, REJECTED, FETCHES),
    TO_NOCODB: (LABELLED,),
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

# One record may be this large; users.rejected takes more, because it holds a whole refused record and its headers.
RECORD_BYTES = 1_000_000
REJECTED_RECORD_BYTES = 2_000_000


@dataclass(frozen=True)
class Topic:
    """A topic as it is created: ``partitions`` of None means the setting KAFKA_PARTITIONS."""

    name: str
    partitions: int | None = None
    config: dict[str, str] = field(default_factory=dict)


ALL = (
    Topic(FETCHED),
    Topic(TIMESTAMPED),
    Topic(LABELLED),
    # The broker's clock stamps a rejected record (when it was refused); the moment of its fetch is in a header.
    Topic(
        REJECTED,
        config={"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(REJECTED_RECORD_BYTES)},
    ),
    # One partition keeps the runs in their order; a run of 5,000 people lists its uuids in some 200 KB.
    Topic(FETCHES, partitions=1),
)
