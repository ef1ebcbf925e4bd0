"""/metrics: the figures of all processes of this machine, and what only the servers know, in Prometheus' format."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pipeline.metrics import files, names
from pipeline.page.snapshot import Snapshot
from pipeline.settings import Settings

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def text(settings: Settings, snapshot: Snapshot, now: float | None = None) -> bytes:
    """The whole page. What a server that is away would tell is left out; pipeline_server_up says so."""
    moment = time.time() if now is None else now
    names.TOLD_AT.set(moment)
    own = files.labelled([*names.COMMON.collect(), *names.API.collect()], {"stage": "api", "instance": "0"})
    families = [*files.read(settings.run, moment), *own, *_told(snapshot, moment)]
    return files.text(files.merged(families))


def _told(snapshot: Snapshot, now: float) -> Iterator[Metric]:
    servers = snapshot.get("servers") or {}
    yield _gauge(
        "server_up", "1 when the server answers", ["server"], {(n,): float(not s["fault"]) for n, s in servers.items()}
    )
    if not _fault(servers, "kafka") and not _fault(servers, "postgresql"):
        yield from _chain(snapshot.get("chain"))
    if not _fault(servers, "postgresql"):
        yield from _people(snapshot.get("ledger"), snapshot.get("rejected"))
        yield from _backup(snapshot.get("backup"), now)


def _fault(servers: Any, name: str) -> bool:
    return bool(servers.get(name, {}).get("fault", True))


def _gauge(name: str, about: str, labels: list[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(f"pipeline_{name}", about, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def _chain(chain: Any) -> Iterator[Metric]:
    """The lag is told from outside of the stages, so that it is told of one that does not run, too."""
    if chain:
        lags = {(one["name"],): float(one["waits"]) for one in chain["stages"]}
        yield _gauge("stage_lag_records", "Records that wait for a stage", ["stage"], lags)


def _people(ledger: Any, rejected: Any) -> Iterator[Metric]:
    if ledger:
        yield _gauge("ledger_fetched_people", "People who were ever fetched", [], {(): float(ledger["fetched"])})
        places = {
            (store, place): float(count) for store in ("postgresql", "nocodb") for place, count in ledger[store].items()
        }
        yield _gauge("ledger_people", "What became of them, by store and place", ["store", "place"], places)
    if rejected:
        yield _gauge("rejected_open", "Rejected records that wait for a decision", [], {(): float(rejected["count"])})


def _backup(backup: Any, now: float) -> Iterator[Metric]:
    if not backup:
        return
    for name, about, key in (
        ("backup_age_seconds", "Since the newest moment that can be restored by name", "last_backup"),
        ("backup_archived_age_seconds", "Since PostgreSQL's WAL was archived last", "last_wal"),
        ("backup_proof_age_seconds", "Since the backups were restored and compared last", "last_proof"),
    ):
        if backup[key]:
            yield _gauge(name, about, [], {(): max(0.0, now - datetime.fromisoformat(backup[key]).timestamp())})
    for name, about, key in (
        ("backup_rpo_seconds", "What a disaster at the last proof would have cost", "rpo_seconds"),
        ("backup_rto_seconds", "How long the restore of the last proof took", "rto_seconds"),
    ):
        if backup[key] is not None:
            yield _gauge(name, about, [], {(): float(backup[key])})
    yield _gauge("backup_ok", "1 when proven, not long ago, and nothing to warn of", [], {(): float(backup["ok"])})
    for name, about, key in (
        ("archiver_archived", "WAL segments that PostgreSQL has archived", "archived_total"),
        ("archiver_failures", "Tries to archive a WAL segment that failed", "failed_total"),
    ):
        yield CounterMetricFamily(f"pipeline_{name}", about, value=backup[key])
