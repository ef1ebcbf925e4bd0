"""Two states of the people's table, an earlier and a later one, compared row by row without carrying the rows.

The servers hash: of each piece of a partition one number travels, and only pieces that differ are looked into.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from psycopg2.sql import SQL, Composable, Identifier

from pipeline import topics
from pipeline.database.connection import Cursor
from pipeline.database.queries import query

SINK = topics.TO_POSTGRESQL
PIECE = 10_000
"""Source offsets a piece: so many rows of hashes are the most that is in memory at once."""
_NAMED = 3


class Comparison(NamedTuple):
    """``rows`` of the earlier state; of them removed on purpose since; not the same; the faults in words."""

    rows: int
    removed: int
    different: int
    faults: list[str]


def compare(earlier: Cursor, later: Cursor) -> Comparison:
    """Every person whose source offset lies below the earlier state's offsets must be the same in both.

    A person of the earlier state may be missing later when ``pipeline.removed`` has the reason. Columns that only one
    of them has are left out: an update of the project may lie between. Raises psycopg2's errors.
    """
    columns = _common_columns(earlier, later)
    faults = _foreign_topics(earlier, later)
    earlier.execute(query("beyond_offsets"), {"sink": SINK})
    [(beyond,)] = earlier.fetchall()
    if beyond:
        faults.append(f"{beyond} restored people have no offset that explains them")
    rows = removed = different = 0
    earlier.execute(query("restored_offsets"), {"sink": SINK})
    for topic, partition, below in earlier.fetchall():
        where = {"topic": topic, "partition": partition, "below": below, "piece": PIECE}
        before, after = _pieces(earlier, columns, where), _pieces(later, columns, where)
        rows += sum(count for count, _ in before.values())
        for piece in sorted(before.keys() | after.keys()):
            if before.get(piece) == after.get(piece):
                continue
            begin = piece * PIECE
            part = {**where, "from": begin, "below": min(below, begin + PIECE)}
            gone, wrong = _differences(_rows(earlier, columns, part), _rows(later, columns, part), later)
            removed += gone
            different += len(wrong)
            for told in wrong[: max(0, _NAMED - len(faults))]:
                faults.append(f"{told} (partition {partition}, offsets from {begin})")
    if different > _NAMED:
        faults.append(f"{different} people differ in all")
    return Comparison(rows, removed, different, faults)


def _common_columns(earlier: Cursor, later: Cursor) -> Composable:
    found = []
    for cursor in (earlier, later):
        cursor.execute(query("table_columns"))
        found.append([name for (name,) in cursor.fetchall()])
    return SQL(", ").join(Identifier(name) for name in found[0] if name in found[1])


def _foreign_topics(earlier: Cursor, later: Cursor) -> list[str]:
    """Offsets can be compared only where they are of the same topic."""
    found = []
    for cursor in (earlier, later):
        cursor.execute(query("known_topics"))
        found.append(set(cursor.fetchall()))
    unknown = found[0] - found[1]
    return [f"the live database does not know {len(unknown)} topics of the restored one"] if unknown else []


def _pieces(cursor: Cursor, columns: Composable, where: dict[str, Any]) -> dict[int, tuple[int, Any]]:
    cursor.execute(SQL(query("hash_pieces")).format(columns=columns), where)
    return {piece: (count, total) for piece, count, total in cursor.fetchall()}


def _rows(cursor: Cursor, columns: Composable, where: dict[str, Any]) -> dict[UUID, str]:
    cursor.execute(SQL(query("hash_rows")).format(columns=columns), where)
    return dict(cursor.fetchall())


def _differences(before: dict[UUID, str], after: dict[UUID, str], later: Cursor) -> tuple[int, list[str]]:
    """How many were removed on purpose, and who differs."""
    missing = [uuid for uuid in before if uuid not in after]
    later.execute(query("removed_people"), {"uuids": missing})
    removed = {uuid for (uuid,) in later.fetchall()}
    wrong = [f"{uuid} is not in the live database" for uuid in missing if uuid not in removed]
    wrong += [f"{uuid} is not in the restored database" for uuid in after if uuid not in before]
    wrong += [f"{uuid} differs when restored" for uuid in before if after.get(uuid, before[uuid]) != before[uuid]]
    return len(removed), sorted(wrong)
