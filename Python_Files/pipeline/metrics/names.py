"""The metrics themselves: one registry a process, with what that process has counted since it began."""

from __future__ import annotations

import time
from collections import Counter as Counted
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from pipeline.errors import Fenced, PassingFault

disable_created_metrics()  # type: ignore[no-untyped-call]

COMMON, STAGES, SINKS, SCHEDULER, FEED, API = (CollectorRegistry() for _ in range(6))
"""What any process counts, and what only those of a kind do: no file tells noughts of somebody else's work."""

BATCH_BUCKETS = (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# From a quiet pipeline's part of a second to a day that was caught up.
WAY_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 900, 3600, 14400, 86400)
JOB_BUCKETS = (0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900, 3600)

# Stages and sinks.
RECORDS_IN = Counter(
    "pipeline_records_in_total", "Records that were read and are done with, by topic", ["topic"], registry=STAGES
)
RECORDS_OUT = Counter(
    "pipeline_records_out_total", "Records that were sent to a topic or stored", ["target"], registry=STAGES
)
RECORDS_REJECTED = Counter(
    "pipeline_records_rejected_total", "Records that were set aside, by reason", ["reason"], registry=STAGES
)
RECORDS_REPEATED = Counter(
    "pipeline_records_repeated_total", "Records of people whom the store had already", registry=SINKS
)
BATCH_RECORDS = Histogram(
    "pipeline_batch_records", "Records in a batch", buckets=BATCH_BUCKETS, registry=STAGES
)  # fmt: skip
BATCH_SECONDS = Histogram(
    "pipeline_batch_duration_seconds",
    "From a batch that was read until it is committed",
    buckets=SECONDS_BUCKETS,
    registry=STAGES,
)
COMMIT_FAILURES = Counter(
    "pipeline_commit_failures_total", "Batches that could not be committed, by cause", ["cause"], registry=STAGES
)
FAULTS = Counter(
    "pipeline_faults_total", "Passing faults that were met: a server away, a time-out", registry=STAGES
)  # fmt: skip
END_TO_END = Histogram(
    "pipeline_end_to_end_seconds",
    "From the arrival of the API's answer until the person is stored; replays are left out",
    buckets=WAY_BUCKETS,
    registry=SINKS,
)
STATE = Gauge(
    "pipeline_process_state", "1 for what the process does now: starting, working, paused", ["state"], registry=COMMON
)
TOLD_AT = Gauge(
    "pipeline_process_told_timestamp_seconds", "When the process wrote these figures: its sign of life", registry=COMMON
)

# The scheduler.
JOB_RUNS = Counter(
    "pipeline_job_runs_total",
    "Runs of a job, by what came of them",
    ["job", "result"],
    registry=SCHEDULER,
)
JOB_SECONDS = Histogram(
    "pipeline_job_duration_seconds", "How long a run of a job took", ["job"], buckets=JOB_BUCKETS, registry=SCHEDULER
)

# The feed.
FETCHES = Counter(
    "pipeline_fetches_total",
    "Fetches by what came of them: ok, or the reason of the failure",
    ["source", "kind", "result"],
    registry=FEED,
)
FETCHED_PEOPLE = Counter(
    "pipeline_fetched_people_total", "People who were sent into users.fetched", ["source"], registry=FEED
)
FETCH_SECONDS = Histogram(
    "pipeline_fetch_duration_seconds",
    "From asking for people until the answer is taken apart, tries included",
    buckets=SECONDS_BUCKETS,
    registry=FEED,
)

# The read API and the page, under the names that the field uses for any server of HTTP.
HTTP_REQUESTS = Counter(
    "http_requests_total", "Requests that were answered", ["method", "handler", "status"], registry=API
)
HTTP_SECONDS = Histogram(
    "http_request_duration_seconds",
    "From a request until its answer begins",
    ["method", "handler"],
    buckets=SECONDS_BUCKETS,
    registry=API,
)

ProcessCollector(registry=COMMON)

_STATES = ("starting", "working", "paused")


@contextmanager
def batch(records: int, topics: Iterable[str]) -> Iterator[None]:
    """Measure what is done with a batch of so many records of these topics: its size, its time, or that it failed."""
    began = time.perf_counter()
    try:
        yield
    except (PassingFault, Fenced) as fault:
        COMMIT_FAILURES.labels("fenced" if isinstance(fault, Fenced) else "passing").inc()
        raise
    BATCH_SECONDS.observe(time.perf_counter() - began)
    BATCH_RECORDS.observe(records)
    for topic, count in Counted(topics).items():
        RECORDS_IN.labels(topic).inc(count)


def stored(fetched_ms: Sequence[int], now: float | None = None) -> None:
    """People who are in a store by now, told by when each was fetched, in milliseconds since 1970."""
    moment = time.time() if now is None else now
    for one in fetched_ms:
        # Another clock may be ahead of this one.
        END_TO_END.observe(max(0.0, moment - one / 1000))


def tell_state(state: str) -> None:
    """What the process does now; one of the states of pipeline/state.py."""
    for one in _STATES:
        STATE.labels(one).set(1 if one == state else 0)
