"""The figures of every process as files of the run directory, one a process, and all of them together.

A file that cannot be written stops nobody's work. It is named by the stage and the slot of its process, so that the one
that takes the place of a killed process takes its file too, and old names do not pile up.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Sample

from pipeline.log import event
from pipeline.metrics import names

logger = logging.getLogger(__name__)

WRITE_SECONDS = 5.0
"""A living process writes its figures this often, between two turns of its loop."""
STALE_SECONDS = 300.0
"""A file of this age is of a process that is gone; a stage's figures are then left out, as a server's would be."""
_ENDING = ".prom"
_KEPT = ".kept.prom"
"""Of a program that runs for seconds: its figures go on from one run to the next, and never grow stale."""


class Told:
    """The file of one process."""

    def __init__(self, directory: Path, stage: str, instance: str, registries: Sequence[CollectorRegistry]) -> None:
        self._path = directory / f"{stage}-{instance}{_ENDING}"
        self._registries = (names.COMMON, *registries)
        self._labels = {"stage": stage, "instance": instance}
        self._written = 0.0
        self._failed = False

    def tell(self, *, now: bool = False) -> None:
        """Write the figures, when it is time; whatever prevents that is said once, and raised never."""
        if not now and time.monotonic() - self._written < WRITE_SECONDS:
            return
        self._written = time.monotonic()
        try:
            names.TOLD_AT.set(time.time())
            every = (family for one in self._registries for family in one.collect())
            write(self._path, labelled(every, self._labels))
        except Exception as error:
            if not self._failed:
                event(logger, logging.WARNING, "its metrics cannot be told", detail=str(error))
            self._failed = True
        else:
            self._failed = False


_told: Told | None = None


@contextmanager
def telling(run: Path, stage: str, registries: Sequence[CollectorRegistry], instance: int | str = 0) -> Iterator[None]:
    """Until the end of the block this process is that instance of ``stage``, and ``tell`` writes its figures."""
    global _told
    before, _told = _told, Told(directory(run), stage, str(instance), registries)
    try:
        yield
    finally:
        tell(now=True)
        _told = before


def tell(*, now: bool = False) -> None:
    """Write this process' figures when it is time. The very loop that does the work calls it: next to nothing."""
    if _told is not None:
        _told.tell(now=now)


@contextmanager
def keeping(run: Path, stage: str) -> Iterator[None]:
    """For a program that ends soon: at the end of the block its counters are added to those of the runs before."""
    try:
        yield
    finally:
        try:
            _keep(directory(run), stage)
        except Exception as error:
            event(logger, logging.WARNING, "its metrics cannot be told", detail=str(error))


def _keep(place: Path, stage: str) -> None:
    path = place / f"{stage}{_KEPT}"
    place.mkdir(parents=True, exist_ok=True)
    with (place / f"{stage}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        names.TOLD_AT.set(time.time())
        own = [*names.FEED.collect(), *names.TOLD_AT.collect()]
        write(path, added([*_families(path), *labelled(own, {"stage": stage, "instance": "0"})]))


def directory(run: Path) -> Path:
    """Where the files of this process lie: in the container way a service may have a volume of its own for them."""
    return Path(os.environ.get("PIPELINE_METRICS_DIR") or run / "metrics")


def _directories(run: Path) -> list[Path]:
    """Where the files of all lie that this process can read."""
    beside = os.environ.get("PIPELINE_METRICS_BESIDE")
    return [directory(run), *([Path(beside)] if beside else [])]


def labelled(families: Iterable[Metric], labels: Mapping[str, str]) -> Iterator[Metric]:
    """The same families with these labels on each sample; families that were never counted in are left out."""
    for family in families:
        if family.samples:
            made = Metric(family.name, family.documentation, family.type)
            made.samples = [one._replace(labels={**labels, **one.labels}) for one in family.samples]
            yield made


def merged(families: Iterable[Metric]) -> list[Metric]:
    """One family a name, with everybody's samples: what the format asks for."""
    found: dict[str, Metric] = {}
    for family in families:
        one = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        one.samples.extend(family.samples)
    return list(found.values())


def added(families: Iterable[Metric]) -> list[Metric]:
    """One family a name. Counts of the same labels are added up; of what is no count the last holds."""
    made = []
    for family in merged(families):
        sums: dict[tuple[str, tuple[tuple[str, str], ...]], Sample] = {}
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            before = sums.get(key)
            if before is not None and family.type in ("counter", "histogram"):
                sample = before._replace(value=before.value + sample.value)
            sums[key] = sample
        family.samples = list(sums.values())
        made.append(family)
    return made


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def text(families: Iterable[Metric]) -> bytes:
    """The families in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    return generate_latest(registry)


def write(path: Path, families: Iterable[Metric]) -> None:
    """Write a whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # No fsync: only the living read it.
        temporary.write_bytes(text(families))
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def read(run: Path, now: float | None = None) -> list[Metric]:
    """The figures of all processes of this machine, less those that are gone; a file that is damaged is left out."""
    moment = time.time() if now is None else now
    found: list[Metric] = []
    for path in sorted(path for place in _directories(run) for path in place.glob(f"[!.]*{_ENDING}")):
        try:
            if path.name.endswith(_KEPT) or moment - path.stat().st_mtime < STALE_SECONDS:
                found += _families(path)
        except OSError:
            continue
    return merged(found)


def _families(path: Path) -> list[Metric]:
    """The families of a file; none when it is not there or was damaged."""
    try:
        return list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, UnicodeDecodeError):
        return []
