"""What is compared when everything has settled: everybody by uuid, in Kafka, PostgreSQL and NocoDB."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

import msgspec

from conftest import Instance
from pipeline import broker, topics
from pipeline.feed.plan import read_fetches
from pipeline.settings import ROOT

# More than any run makes: a topic is read from its begin.
_ALL = 10**9


@dataclass
class Verdict:
    """What was found. ``lost``, ``twice`` and ``strange`` name each uuid and where; ``faults`` all else."""

    compared: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.twice or self.strange or self.faults) and self.compared > 0

    def told(self, most: int = 20) -> str:
        """Everything that is wrong, a line each, but no more than ``most`` of a kind."""
        lines = []
        for name in ("lost", "twice", "strange", "faults"):
            found = getattr(self, name)
            lines += [f"{name}: {one}" for one in found[:most]]
            if len(found) > most:
                lines.append(f"{name}: and {len(found) - most} more")
        return "\n".join(lines)


def fetched(instance: Instance) -> Counter[str]:
    """Whom the feed published, by its own records in pipeline.fetches, and how often."""
    records = broker.tail(instance.settings, topics.FETCHES, _ALL, 120)
    return Counter(uuid for fetch in read_fetches(records) for uuid in fetch.uuids)


def keys(instance: Instance, topic: str) -> Counter[str]:
    """How often each uuid is in a topic, as those read it who read what is committed."""
    return Counter(
        (record.key or b"").decode("utf-8", "backslashreplace")
        for record in broker.tail(instance.settings, topic, _ALL, 240)
    )


def compare_some(instance: Instance, asked: Collection[str]) -> Verdict:
    """The people ``asked`` for, each asked for once, where others are at work on the same instance."""
    verdict = Verdict(compared=len(asked))
    once = Counter(asked)
    _same(verdict, "the records of the fetches", once, _among(once, fetched(instance)))
    for topic in (topics.FETCHED, topics.TIMESTAMPED, topics.LABELLED):
        _same(verdict, topic, once, _among(once, keys(instance, topic)))
    _same(verdict, "PostgreSQL", once, _among(once, in_postgresql(instance)))
    _same(verdict, "NocoDB", once, _among(once, in_nocodb(instance)))
    for sink in (topics.TO_POSTGRESQL, topics.TO_NOCODB):
        _same(verdict, f"repeats of {sink}", Counter(), _among(once, repeats(instance, sink)))
    rejected = Counter(str(uuid) for (uuid,) in instance.rows("SELECT uuid FROM pipeline.rejected"))
    _same(verdict, "pipeline.rejected", Counter(), _among(once, rejected))
    verdict.faults += tracebacks(instance)
    return verdict


def _among(some: Counter[str], found: Counter[str]) -> Counter[str]:
    return Counter({uuid: count for uuid, count in found.items() if uuid in some})


def in_postgresql(instance: Instance) -> Counter[str]:
    return Counter(uuid for (uuid,) in instance.rows("SELECT uuid::text FROM pipeline.users"))


def in_nocodb(instance: Instance) -> Counter[str]:
    """Whom NocoDB itself lists, page by page, and how often."""
    users = instance.users()
    try:
        return Counter(str(uuid) for uuid in users.uuids())
    finally:
        users.close()


def repeats(instance: Instance, sink: str) -> Counter[str]:
    sql = "SELECT uuid::text, count(*) FROM pipeline.repeats WHERE sink = %s GROUP BY uuid"
    return Counter(dict(instance.rows(sql, (sink,))))


def compare(instance: Instance, asked: Collection[str]) -> Verdict:
    """Everything against everything. ``asked``: whom the test itself let fetch, and was told that it was done."""
    verdict = Verdict()
    brought = fetched(instance)
    verdict.compared = brought.total()
    verdict.lost += [f"{uuid} was asked for and is in no record of a fetch" for uuid in set(asked) - brought.keys()]
    for topic in (topics.FETCHED, topics.TIMESTAMPED, topics.LABELLED):
        _same(verdict, topic, brought, keys(instance, topic))
    once = Counter(brought.keys())
    _same(verdict, "PostgreSQL", once, in_postgresql(instance))
    _same(verdict, "NocoDB", once, in_nocodb(instance))
    # A record that a sink took twice would be a repeat too many.
    for sink in (topics.TO_POSTGRESQL, topics.TO_NOCODB):
        _same(verdict, f"repeats of {sink}", brought - once, repeats(instance, sink))
    for stage, reason, count in instance.rows("SELECT stage, reason, count(*) FROM pipeline.rejected GROUP BY 1, 2"):
        verdict.faults.append(f"{count} records were rejected by {stage} ({reason}), and none was bad")
    verdict.faults += tracebacks(instance)
    verdict.faults += _ledger(instance)
    return verdict


def _same(verdict: Verdict, where: str, expected: Counter[str], found: Counter[str]) -> None:
    for uuid, count in (expected - found).items():
        verdict.lost.append(f"{uuid} is {found[uuid]} times in {where}, not {found[uuid] + count}")
    for uuid, count in (found - expected).items():
        if expected[uuid] or where.startswith("repeats"):
            verdict.twice.append(f"{uuid} is {expected[uuid] + count} times in {where}, not {expected[uuid]}")
        else:
            verdict.strange.append(f"{uuid} is in {where} and was never fetched")


def tracebacks(instance: Instance) -> list[str]:
    """Each log file of a stage, of the feed or of the schedule that has a traceback."""
    names = (*topics.STAGES, "scheduler")
    return [
        f"there is a traceback in {log}"
        for log in sorted(instance.settings.logs.iterdir())
        if log.name.startswith(names) and "Traceback" in log.read_text(encoding="utf-8", errors="replace")
    ]


def _ledger(instance: Instance) -> list[str]:
    """What the project's own ledger says, told only when it does not agree."""
    if not (ROOT / "Administrator_scripts" / "Ledger.sh").exists():
        return []
    done = instance.run("Administrator_scripts/Ledger.sh", "--json", ok=False)
    if done.returncode == 0:
        return []
    try:
        told = msgspec.json.decode(done.stdout)
        said = json.dumps({name: told.get(name) for name in ("totals", "missing", "extra")})[:1000]
    except (msgspec.DecodeError, AttributeError):
        said = done.stdout[-1000:]
    return [f"Ledger.sh ended with {done.returncode}: {said}"]
