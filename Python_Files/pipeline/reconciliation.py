"""Reconcile.sh: both stores compared by uuid, and NocoDB repaired from PostgreSQL. What it did, it names.

It looks as the ledger does, which brings the notes about NocoDB up to date, and then

- writes to NocoDB who is in PostgreSQL alone, unless they were removed, refused by NocoDB, or are on the way;
- deletes in NocoDB who was removed from PostgreSQL on purpose;
- names who was never fetched, and leaves them.

Rows that are there are never touched, so a person's edits and columns stay. Each step is idempotent, and noted after it
was done: killed at any point, it is simply run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pipeline import entry, topics
from pipeline.database.ledger import Book, book
from pipeline.database.users import person_of
from pipeline.errors import PassingFault
from pipeline.ledger import Look
from pipeline.ledger.look import NAMED, REMOVED_IN_NOCODB
from pipeline.nocodb import UserRow, Users
from pipeline.settings import Settings

SHOWN = 100
"""How many names a person sees of each kind; --json has the first NAMED."""


KINDS = {
    "written": "written to NocoDB again",
    "deleted": "deleted in NocoDB, for they were removed from PostgreSQL on purpose",
    "removed": "recorded: removed in NocoDB by a person",
    "returned": "recorded: brought back in NocoDB by a person",
    "noted": "were in NocoDB without a note of it",
    "refused": "refused by NocoDB",
    "extra": "never fetched, but in a store; left as they are",
    "unexplained": "not in NocoDB any more, too many to be taken for a person's choice; left as they are",
}


class Report:
    """What was done, in people, and the first names of each kind."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(KINDS, 0)
        self.names: dict[str, list[str]] = {kind: [] for kind in KINDS}

    def note(self, kind: str, names: Sequence[object], count: int | None = None) -> None:
        self.counts[kind] += len(names) if count is None else count
        self.names[kind] += [str(name) for name in names[: NAMED - len(self.names[kind])]]

    @property
    def ok(self) -> bool:
        """Nothing is left that somebody should look at."""
        return not any(self.counts[kind] for kind in ("refused", "extra", "unexplained"))

    def as_object(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            **{kind: {"people": self.counts[kind], "names": self.names[kind]} for kind in KINDS},
        }

    def lines(self) -> list[str]:
        """For a person: what was done, then a line a name; one line when there was nothing to do."""
        told = []
        for kind, words in KINDS.items():
            if self.counts[kind]:
                told.append(f"{self.counts[kind]:,} {words}")
                told += [f"  {name}" for name in self.names[kind][:SHOWN]] if kind != "noted" else []
                more = self.counts[kind] - SHOWN
                if more > 0 and len(self.names[kind]) > SHOWN:
                    told.append(f"  and {more:,} more")
        if self.counts["unexplained"]:
            told.append(
                "hint: Reconcile.sh --bring-back writes them again, Reconcile.sh --accept takes them for removed."
            )
        return told or ["both stores agree; there was nothing to do"]


def reconcile(settings: Settings, *, bring_back: bool = False, accept: bool = False) -> Report:
    """Compare and repair. Raises PassingFault when a server does not answer; what was done until then stays done."""
    report = Report()
    users = Users(settings)
    try:
        with book(settings, "reconciliation") as kept:
            look = Look(settings, kept, accept=accept, users=users)
            look.take()
            for name, fault in look.unreachable.items():
                raise PassingFault(f"{name} does not answer, so nothing can be compared", detail=fault.detail)
            notes = look.nocodb
            report.note("removed", notes.removed_names, notes.removed)
            report.note("returned", notes.returned_names, notes.returned)
            report.note("noted", (), notes.noted)
            _delete_removed(kept, users, report)
            kept.do("reconcile_note_to_write", sink=topics.TO_NOCODB)
            if bring_back:
                kept.do("reconcile_note_to_bring_back", why=REMOVED_IN_NOCODB)
            _write(kept, users, report)
            if notes.unexplained and not bring_back:
                absent = kept.rows("ledger_absent", after=UUID(int=0), limit=NAMED)
                report.note("unexplained", [uuid for (uuid,) in absent], notes.unexplained)
            strangers = kept.stream("ledger_read_strangers")
            for uuid, store in strangers:
                report.note("extra", [f"{uuid} in {'PostgreSQL' if store == 'postgresql' else 'NocoDB'}"])
    finally:
        users.close()
    return report


def _delete_removed(kept: Book, users: Users, report: Report) -> None:
    for piece in kept.pieces("reconcile_to_delete"):
        uuids = [uuid for (uuid,) in piece]
        users.delete(uuids)
        report.note("deleted", uuids)


def _write(kept: Book, users: Users, report: Report) -> None:
    """Write people from their rows: to NocoDB first, then the note of it, which also ends that they are removed."""
    for piece in kept.people("reconcile_to_write", why=REMOVED_IN_NOCODB):
        people = {row["uuid"]: UserRow(person_of(row), row["fetch_id"], row["source"]) for row in piece}
        refused = {row.person.login.uuid: why for row, why in users.insert(list(people.values()))}
        written = [uuid for uuid in people if uuid not in refused]
        with kept.moment():
            kept.do("reconcile_note_written", uuids=written)
            kept.do("ledger_forget_removed", uuids=written, why=REMOVED_IN_NOCODB)
        report.note("written", [f"{uuid} {_called(people[uuid])}" for uuid in written])
        report.note("refused", [f"{uuid} {_called(people[uuid])}: {why.message}" for uuid, why in refused.items()])


def _called(row: UserRow) -> str:
    return f"{row.person.name.first} {row.person.name.last}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when both stores agree now, 1 when something is left to be looked at or a server does not answer."""
    made = argparse.ArgumentParser(
        prog="Administrator_scripts/Reconcile.sh",
        description="Compares PostgreSQL and NocoDB by uuid, and repairs NocoDB.",
    )
    made.add_argument("--bring-back", action="store_true", help="write those again whom a person removed in NocoDB")
    made.add_argument("--accept", action="store_true", help="take any number of absent people for removed by a person")
    made.add_argument("--json", action="store_true", help="one JSON object for programs")
    asked = made.parse_args(arguments)

    def work(settings: Settings) -> int:
        report = reconcile(settings, bring_back=asked.bring_back, accept=asked.accept)
        print(json.dumps(report.as_object(), ensure_ascii=False) if asked.json else "\n".join(report.lines()))
        return 0 if report.ok else 1

    return entry.main("reconciliation", work)


if __name__ == "__main__":
    sys.exit(main())
