"""The account: how many people were fetched, and where each of them is. Compared by uuid, not by subtraction alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from pipeline import broker, topics
from pipeline.broker import Partition, TopicIdentity
from pipeline.database.connection import Cursor, session
from pipeline.database.queries import query
from pipeline.settings import Settings

STORES = ("postgresql", "nocodb")

NAMED = 100_000
"""Of how many people who are nowhere the names are held in memory (some 10 MB)."""


class StageProgress(NamedTuple):
    """A stage's state in records: how many wait for it, how many it took ever, how many of those it refused."""

    name: str
    lag: int
    processed: int
    rejected: int


class StoreAccount(NamedTuple):
    """One store's side of the account, in people and records; ``rejected`` and ``repeats`` are records."""

    stored: int
    repeats: int
    removed: int
    rejected: int
    on_the_way: int
    missing: int


class Account(NamedTuple):
    """``fetched`` are records, ``rejected`` those that nobody has dealt with yet, whoever refused them."""

    fetched: int
    rejected: int
    postgresql: StoreAccount
    nocodb: StoreAccount

    @property
    def settled(self) -> bool:
        """Everybody who was fetched is accounted for in both stores."""
        return not any(
            (
                self.postgresql.on_the_way,
                self.postgresql.missing,
                self.nocodb.on_the_way,
                self.nocodb.missing,
            )
        )


def positions_of(
    settings: Settings, cursor: Cursor, stage: str, known: Mapping[str, TopicIdentity] | None = None
) -> tuple[dict[Partition, int], int, int]:
    """Where a stage goes on in every partition that it reads, and how many records it took and refused.

    ``known``: its topics, by name, for whoever has just asked for them.
    """
    known = known or broker.identities(settings, topics.READS[stage])
    reads = {name: known[name] for name in topics.READS[stage]}
    positions = {(name, number): 0 for name, its in reads.items() for number in range(its.partitions)}
    processed = rejected = 0
    if stage in topics.STORES:
        any_of = next(iter(reads.values()))
        cursor.execute(
            query("read_progress"),
            {"sink": stage, "cluster_id": any_of.cluster_id, "topic_ids": [its.topic_id for its in reads.values()]},
        )
        for name, partition, offset, taken, refused in cursor:
            positions[(name, partition)] = offset
            processed += taken
            rejected += refused
    else:
        for one, position in broker.group_positions(settings, stage).items():
            positions[one] = position.offset
            processed += position.taken.processed
            rejected += position.taken.rejected
    return positions, processed, rejected


def offsets_behind(settings: Settings, cursor: Cursor, stage: str) -> int:
    """How far a stage is behind in offsets, less the marker at the end of each partition: 0 when it has nothing to do.

    A bound from above, for transaction markers have offsets too, but cheap: no record is read.
    """
    positions, _, _ = positions_of(settings, cursor, stage)
    return sum(max(0, end - positions[one] - 1) for one, end in broker.ends(settings, positions).items())


def progress(settings: Settings, cursor: Cursor) -> tuple[list[StageProgress], Mapping[str, Mapping[Partition, int]]]:
    """Every stage's progress, and the lag behind it per partition. Raises PassingFault.

    The positions come in the order of the chain, and the ends after all of them: who goes on from one stage to the next
    meanwhile is counted with the later one, and not with none.
    """
    known = broker.identities(settings, sorted({name for stage in topics.STAGES for name in topics.READS[stage]}))
    found = {stage: positions_of(settings, cursor, stage, known) for stage in topics.STAGES}
    behind = broker.lags(settings, {stage: positions for stage, (positions, _, _) in found.items()})
    stages = [
        StageProgress(stage, sum(behind[stage].values()), processed, rejected)
        for stage, (_, processed, rejected) in found.items()
    ]
    return stages, behind


def read(settings: Settings, nocodb_count: Callable[[], int] | None = None) -> tuple[Account, list[StageProgress]]:
    """The account as it is now. Raises PassingFault when PostgreSQL or Kafka does not answer.

    ``nocodb_count`` asks NocoDB itself how many people it has; without it, what was written there counts. What is
    less there than was written was removed by somebody in NocoDB.
    """
    names = {"feed": topics.GET_DATA, "postgresql": topics.TO_POSTGRESQL, "nocodb": topics.TO_NOCODB}
    with session(settings, name="account") as cursor:
        # Between two looks people arrive: who is missing was nowhere before the topics were looked at, and still is
        # nowhere after nothing was found to be on the way.
        before = _unaccounted(cursor, names)
        stages, behind = progress(settings, cursor)
        counted = _one(cursor, "count_stores", names)
        after = _unaccounted(cursor, names)

    def lag_of(stage: str) -> int:
        return sum(count for (topic, _), count in behind[stage].items() if topic != topics.FETCHES)

    chain = sum(map(lag_of, topics.WRITES))
    told = {}
    for store in STORES:
        waiting = chain + lag_of(names[store])
        missing = 0 if waiting else len(before[store] & after[store])
        told[store] = (counted[f"{store}_rejected"], waiting, missing)
    # Asked last: a row is in NocoDB before it is noted as written, so nobody who is just arriving looks removed.
    present = counted["nocodb_written"] if nocodb_count is None else nocodb_count()
    # Ledger.sh and the hourly Reconcile.sh put on record who is not there; until then they are counted here.
    removed = counted["nocodb_removed"] + max(0, counted["nocodb_written"] - present)
    account = Account(
        counted["fetched"],
        counted["open_rejected"],
        StoreAccount(
            counted["postgresql"], counted["postgresql_repeats"], counted["postgresql_removed"], *told["postgresql"]
        ),
        StoreAccount(present, counted["nocodb_repeats"], removed, *told["nocodb"]),
    )
    return account, stages


def _unaccounted(cursor: Cursor, names: Mapping[str, str]) -> dict[str, set[UUID]]:
    """Who is nowhere in each store; at most NAMED people, for nobody reads more names."""
    found = {}
    for store in STORES:
        cursor.execute(query(f"unaccounted_{store}"), {**names, "limit": NAMED})
        found[store] = {uuid for (uuid,) in cursor}
    return found


def _one(cursor: Cursor, name: str, values: Mapping[str, Any]) -> dict[str, int]:
    cursor.execute(query(name), values)
    return dict(zip((column.name for column in cursor.description), cursor.fetchone(), strict=True))


def anybody_stored(settings: Settings) -> bool:
    """Whether PostgreSQL has any person. Raises PassingFault."""
    with session(settings, name="account") as cursor:
        cursor.execute(query("any_user"))
        return bool(cursor.fetchone()[0])
