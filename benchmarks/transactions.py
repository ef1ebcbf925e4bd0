"""What Kafka's transactions cost a stage: the same stage on the same records with them and without, in turn.

Without them a batch is sent, acknowledged, and then the group's offsets are committed by the consumer: what is in the
topic twice after every crash. Run it as chain.py, on an instance whose users.fetched has some 60,000 records (after
backlog.py it has). See README.md beside this file.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Python_Files"))

from kafka import KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from pipeline import broker, entry, settings, steps, topics
from pipeline.broker import Partition, Position
from pipeline.broker.connection import client
from pipeline.records import Outgoing
from pipeline.settings import Settings
from pipeline.transform import Transform

TARGET = "benchmark.timestamped"


class PlainWriter:
    """As broker.Writer, with the same settings of the producer but no transaction: at least once."""

    def __init__(self, loaded: Settings, name: str, consumer: Any) -> None:
        self._consumer = consumer
        self._producer = KafkaProducer(
            **client(loaded, name),
            acks="all",
            compression_type="lz4",
            batch_size=128 * 1024,
            linger_ms=5,
            max_request_size=topics.REJECTED_RECORD_BYTES + 100_000,
            max_block_ms=10_000,
        )

    def commit(self, records: Iterable[Outgoing], positions: Mapping[Partition, Position], group: Any) -> None:
        sent = [
            self._producer.send(
                record.topic,
                key=record.key,
                value=record.value,
                timestamp_ms=record.timestamp_ms,
                headers=list(record.headers),
            )
            for record in records
        ]
        for one in sent:
            one.get(timeout=30)
        self._consumer.commit(
            {
                TopicPartition(*partition): OffsetAndMetadata(
                    position.offset, f"{position.taken.processed},{position.taken.rejected}", -1
                )
                for partition, position in positions.items()
            }
        )

    def close(self) -> None:
        self._producer.close(timeout=2)


def transform(loaded: Settings, transactions: bool) -> Transform:
    """1-Add_Timestamp as a group of its own that begins where users.fetched does."""
    name = f"benchmark.{'with' if transactions else 'without'}.{secrets.token_hex(4)}"
    made = Transform(loaded, name, topics.FETCHED, TARGET, steps.add_timestamp, 0)
    if not transactions:
        made._writer.close()
        made._writer = PlainWriter(loaded, name, made._reader._consumer)  # type: ignore[assignment]
    while made.turn() == 0:
        pass
    return made


def cost(one: Transform, records: int) -> tuple[float, float]:
    """Seconds a thousand records: of the clock, and of the processor in this process."""
    begin, worked = time.perf_counter(), time.process_time()
    done = 0
    while done < records:
        taken = one.turn()
        if taken == 0:
            raise SystemExit("users.fetched has too few records: run backlog.py first, or ask for fewer")
        done += taken
    return (time.perf_counter() - begin) / done * 1000, (time.process_time() - worked) / done * 1000


def told(name: str, pairs: list[tuple[float, float]]) -> str:
    """The medians of both, and of the ratio pair by pair with its quartiles."""
    quarter, half, three = statistics.quantiles([one / other for one, other in pairs], n=4)
    with_them, without = (statistics.median(pair[which] for pair in pairs) for which in (0, 1))
    return (
        f"{name}: with transactions {with_them:.3f} s per 1,000 records, without {without:.3f}, "
        f"ratio {half:.2f} (quartiles {quarter:.2f} to {three:.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=5_000, help="in each half of a pair")
    parser.add_argument("--pairs", type=int, default=11)
    asked = parser.parse_args()
    loaded = settings.load()
    entry.become_owner(loaded)
    broker.ensure_topic(loaded, TARGET, {})
    on, off = transform(loaded, True), transform(loaded, False)
    pairs = []
    for number in range(asked.pairs):
        # Who is first is in turn, too: what else the machine does often begins or ends in between.
        order = (on, off) if number % 2 else (off, on)
        costs = {one: cost(one, asked.records) for one in order}
        pairs.append((costs[on], costs[off]))
    print(f"1-Add_Timestamp, {asked.pairs} pairs of {asked.records:,} records in batches of {loaded.batch_records}")
    for which, name in enumerate(("clock", "processor of the stage")):
        print(told(name, [(one[which], other[which]) for one, other in pairs]))
    on.close()
    off.close()


if __name__ == "__main__":
    main()
