"""One transaction after another, under a transactional.id that stays the same over restarts."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from pipeline import topics
from pipeline.broker import hanging
from pipeline.broker.connection import TRANSACTION_TIMEOUT_MS, Partition, Position, client, passing
from pipeline.broker.endings import Endings
from pipeline.errors import PassingFault, PipelineError
from pipeline.records import Outgoing, Publisher
from pipeline.settings import Settings
from pipeline.watchdog import Watchdog


class Writer:
    """Sends batches, each in one transaction, under ``transactional_id``.

    Making one ends whatever transaction an earlier process left open under the same id, also one that hangs, and fences
    that process.
    After any error a Writer is of no more use: close it and make a new one.
    """

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        # Whether a commit was asked for: until then nothing of a batch that failed can be committed any more.
        self.undecided = False
        with passing():
            self._producer = KafkaProducer(
                **client(settings, transactional_id),
                transactional_id=transactional_id,
                transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
                acks="all",
                compression_type="lz4",
                batch_size=128 * 1024,
                linger_ms=5,
                # Of one record before it is compressed; a topic's own limit is the broker's to keep.
                max_request_size=topics.REJECTED_RECORD_BYTES + 200_000,
                max_block_ms=10_000,
            )
            _keep_requests(self._producer._sender._client)
            try:
                self._producer.init_transactions()
                self._begun = self._epoch()
                hanging.mend_own(settings, transactional_id, self._begun)
                self._last = Endings(self._producer, self._begun)
            except BaseException:
                self.close()
                raise

    def commit(
        self,
        records: Iterable[Outgoing],
        positions: Mapping[Partition, Position] | None = None,
        group: Any = None,
    ) -> None:
        """Commit the records, and with them the positions of ``group``: all or nothing.

        Raises Fenced when another process has taken over, PassingFault for all else, also when it takes longer than the
        broker lets a transaction take. Whether it was committed then shows when the next Writer is there.
        """
        with passing():
            # Not before: what is sent now must not share the fate of what was committed then.
            self._last.wait()
            of_offsets = {self._last.of_offsets(group.group_id)} if positions else set()
            until = time.monotonic() + TRANSACTION_TIMEOUT_MS / 1000
            self._producer.begin_transaction()
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
            # A record that could not be sent is told by its own future alone: the client goes on without it, and would
            # commit the offsets of records that are nowhere.
            written = {one.get(timeout=max(0.0, until - time.monotonic())).topic_partition for one in sent}
            if positions:
                if group.generation_id < 0 or not group.member_id:
                    # The broker would take such a commit from anybody.
                    raise PassingFault("this process is no member of its group any more")
                offsets = {
                    TopicPartition(*partition): OffsetAndMetadata(
                        position.offset, f"{position.taken.processed},{position.taken.rejected}", -1
                    )
                    for partition, position in positions.items()
                }
                self._finish(self._transactions.send_offsets_to_transaction(offsets, group), until)
            self._check_epoch()
            self.undecided = True
            self._finish(self._transactions.begin_commit(), until)
            self._check_epoch()
            self.undecided = False
            self._last.expect(written | of_offsets)

    @property
    def _transactions(self) -> Any:
        return self._producer._transaction_manager

    def _finish(self, result: Any, until: float) -> None:
        """Wait for a step of the transaction as the client itself does, but not for ever.

        The client can lose such a step together with the broker that it was meant for, and the time-out of a record
        (two minutes) does not count for it.
        """
        self._producer._sender.wakeup()
        if not result.wait(timeout_ms=max(0.0, until - time.monotonic()) * 1000):
            raise kafka_errors.KafkaTimeoutError("the transaction was not committed in its time")

    def _epoch(self) -> Any:
        return self._transactions.producer_id_and_epoch

    def _check_epoch(self) -> None:
        """Raises PassingFault when the client has taken a new epoch on its own.

        After some faults it does (KIP-360), although the broker has then rolled back what was sent under the old one:
        what is committed under the new epoch is a part of the batch at best. A Writer has one epoch in its life.
        """
        if self._epoch() != self._begun:
            raise PassingFault("the transaction was rolled back by the broker", detail="it was open for too long")

    def close(self) -> None:
        """Let go of the connection within two seconds. The broker, or the next Writer, ends what is open."""
        try:
            self._producer.close(timeout=2)
        except Exception:
            # With records left it gives up early, and its thread would go on trying to send them for minutes.
            with suppress(Exception):
                self._producer._sender.force_close()


def _keep_requests(client: Any) -> None:
    """Keep the client (3.0.12) from losing a transaction's request when its coordinator cannot be reached.

    It drops the request when the wait for the connection raises, and then waits for its answer for ever; when the wait
    only says that there is none, it asks for the new coordinator and tries the request again.
    """
    wait = client.await_ready

    def await_ready(node: Any, **limits: Any) -> bool:
        try:
            return bool(wait(node, **limits))
        except kafka_errors.KafkaError:
            time.sleep(0.1)  # in the client's own thread, which would ask again at once
            return False

    client.await_ready = await_ready


class _TransactionalPublisher:
    def __init__(self, make: Callable[[], Writer], watchdog: Watchdog) -> None:
        self._make = make
        self._writer = make()
        self._watchdog = watchdog

    def publish(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            size, limit = record.size, topics.MOST_BYTES.get(record.topic, topics.RECORD_BYTES)
            if size > limit:
                raise PipelineError(
                    f"a record for {record.topic} is too large",
                    detail=f"key {(record.key or b'').decode('utf-8', 'replace')!r} has {size} bytes, "
                    f"at most {limit} are taken",
                    hint="Nothing was sent.",
                )
        with self._watchdog.watching():
            try:
                self._writer.commit(records)
            except PassingFault:
                if self._writer.undecided:
                    raise
                # A broker was lost while it was sent, and another one does its work by now.
                self._writer.close()
                self._writer = self._make()
                self._writer.commit(records)

    def close(self) -> None:
        self._writer.close()


@contextmanager
def slot(directory: Path, stage: str) -> Iterator[int]:
    """The first free slot of a stage, from 0, held as a lock on a file until the block ends or the process dies.

    The slot makes the transactional.id: the same again after every restart, never the same in two living processes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(1000):
        path = directory / f"{stage}.{number}.lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as error:
            raise PipelineError(
                f"the lock {path} cannot be opened", detail=str(error), hint="It belongs to another user: remove it."
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        try:
            yield number
        finally:
            os.close(handle)
        return
    raise PipelineError(f"no free slot for {stage} in {directory}")


def mend_hanging(settings: Settings) -> None:
    """End what hangs of those who may never be back to do it themselves; who is alive after all is fenced."""
    for transactional_id in hanging.of_others(settings):
        Writer(settings, transactional_id).close()


@contextmanager
def publisher(settings: Settings, stage: str) -> Iterator[Publisher]:
    """A Publisher of its own slot, for programs that are no stage: the fetcher, a replay."""
    with slot(settings.run / "slots", stage) as number:
        made = _TransactionalPublisher(
            lambda: Writer(settings, f"{stage}-{number}"), Watchdog(settings.watchdog_seconds)
        )
        try:
            yield made
        finally:
            made.close()
