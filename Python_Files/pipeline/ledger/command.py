"""Ledger.sh: the account for people and for programs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO
from uuid import UUID

from rich.console import Console
from rich.table import Table

from pipeline import entry
from pipeline.account import STORES, StoreAccount
from pipeline.errors import PassingFault, UsageError
from pipeline.ledger.account import Entry, Ledger, opened
from pipeline.ledger.look import Choice
from pipeline.settings import Settings

SHOWN_RUNS = 10
"""Of how many runs a person sees the account when none was asked for; those with somebody missing are shown besides."""
SHOWN_NAMES = 100
"""How many people a person sees by name; --json has all of them."""

TITLES = {"postgresql": "PostgreSQL", "nocodb": "NocoDB", "kafka": "Kafka"}
_PLACES = ("stored", "repeats", "removed", "rejected", "on the way", "missing")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="Administrator_scripts/Ledger.sh",
        description="Accounts for everybody who was ever fetched, in both stores, by uuid.",
    )
    made.add_argument(
        "--since", type=moment, metavar="TIME", help="only fetches since then: 2026-01-31, 2026-01-31T08:00"
    )
    made.add_argument("--fetch", metavar="ID", help="only this fetch")
    made.add_argument("--json", action="store_true", help="one JSON object for programs, with all names")
    return made


def moment(text: str) -> datetime:
    """A date or a moment as ISO 8601 has it; local time, unless it says another. Raises ArgumentTypeError."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-01-31 or 2026-01-31T08:00") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when everybody is accounted for, 1 when not or when a server does not answer, 2 for wrong usage."""
    asked = parser().parse_args(arguments)
    if asked.fetch is not None and asked.since is not None:
        print(UsageError("--fetch and --since exclude each other").report(), file=sys.stderr)
        return 2
    choice = Choice(asked.fetch, asked.since)
    return entry.main("ledger", lambda settings: work(settings, choice, as_json=asked.json))


def work(settings: Settings, choice: Choice, *, as_json: bool) -> int:
    try:
        with opened(settings, choice) as ledger:
            if as_json:
                write_json(ledger, sys.stdout)
            else:
                console = Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "120")))
                show(ledger, choice, console)
            sys.stdout.flush()
            return 0 if ledger.ok else 1
    except PassingFault:
        if not as_json:
            raise
        nothing = {
            "ok": False,
            "totals": None,
            "missing": [],
            "extra": [],
            "fetches": [],
            "unreachable": ["postgresql"],
        }
        print(json.dumps(nothing))
        return 1
    except BrokenPipeError:
        # Whoever read it has seen enough; what Python would flush at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _list(out: TextIO, name: str, items: Iterable[Any], end: str) -> None:
    out.write(f' "{name}": [')
    separator = "\n  "
    for item in items:
        out.write(separator + json.dumps(item, ensure_ascii=False, default=_plain))
        separator = ",\n  "
    out.write(f"]{end}\n")


def write_json(ledger: Ledger, out: TextIO) -> None:
    """The ledger as one JSON object, an entry a line, however many they are."""
    totals = ledger.totals
    told = {
        "fetched": totals.fetched,
        "postgresql": totals.postgresql._asdict(),
        "nocodb": totals.nocodb._asdict(),
    }
    out.write(f'{{"ok": {json.dumps(ledger.ok)},\n "totals": {json.dumps(told)},\n')
    _list(out, "missing", (missing_object(*one) for one in ledger.missing()), ",")
    _list(out, "extra", ({"uuid": uuid, "store": store} for uuid, store in ledger.extra()), ",")
    _list(out, "fetches", map(run_object, ledger.runs()), ",")
    _list(out, "unreachable", sorted(ledger.unreachable), "}")


def missing_object(uuid: UUID, store: str, fetch_id: str, place: Any) -> dict[str, Any]:
    topic, partition, offset = place or (None, None, None)
    return {
        "uuid": uuid, "store": store, "fetch_id": fetch_id,
        "topic": topic, "partition": partition, "offset": offset,
    }  # fmt: skip


def run_object(run: Entry) -> dict[str, Any]:
    return {**run._asdict(), **{store: getattr(run, store)._asdict() for store in STORES}}


def total_lines(ledger: Ledger) -> Iterator[str]:
    """fetched = stored + repeats + removed + rejected + on the way + missing, a line a store."""
    totals = ledger.totals
    for store in STORES:
        numbers = zip(totals.of(store), _PLACES, strict=True)
        told = " + ".join(
            f"[{'red' if place == 'missing' and number else 'bold'}]{number:,}[/] {place}" for number, place in numbers
        )
        yield f"{TITLES[store]:<10}  [bold]{totals.fetched:,}[/] fetched = {told}"


def show(ledger: Ledger, choice: Choice, console: Console) -> None:
    """The ledger for a person."""
    for server, detail in ledger.unreachable.items():
        console.print(f"[red]{TITLES[server]} does not answer:[/] {_unknown(server)} [dim]{detail}[/]", highlight=False)
    for line in total_lines(ledger):
        console.print(line, highlight=False, soft_wrap=True)
    for line in _verdict(ledger):
        console.print(line, highlight=False, soft_wrap=True)
    _show_runs(ledger, choice, console)
    _show_missing(ledger, console)
    for shown, (uuid, store) in enumerate(ledger.extra()):
        if shown == 0:
            console.print("\n[bold]Never fetched, but there[/]")
        if shown == SHOWN_NAMES:
            console.print(f"and {ledger.strangers - SHOWN_NAMES:,} more; --json names all of them")
            break
        console.print(f"{uuid}  in {TITLES[store]}", highlight=False)


def _unknown(server: str) -> str:
    if server == "kafka":
        return "who is in no store counts as on the way, for nobody could look."
    return "what was noted as written there counts as stored."


def _verdict(ledger: Ledger) -> Iterator[str]:
    missing = {TITLES[store]: ledger.totals.of(store).missing for store in STORES if ledger.totals.of(store).missing}
    if missing:
        yield "[red]missing:[/] " + ", ".join(f"{number:,} in {store}" for store, number in missing.items())
    if ledger.notes.unexplained:
        yield (
            f"[yellow]{ledger.notes.unexplained:,} people are not in NocoDB any more, too many to be taken for removed "
            "by a person:[/] Reconcile.sh --bring-back writes them again, Reconcile.sh --accept takes them for removed"
        )
    if ledger.strangers:
        yield f"[red]never fetched, but in a store:[/] {ledger.strangers:,}"
    if ledger.ok:
        yield "[green]Everybody is accounted for:[/] nobody is missing, and nobody is there who was never fetched."
    if ledger.notes.removed:
        yield f"recorded now: {ledger.notes.removed:,} removed in NocoDB by a person"
    if ledger.notes.returned:
        yield f"recorded now: {ledger.notes.returned:,} brought back in NocoDB by a person"


def _show_runs(ledger: Ledger, choice: Choice, console: Console) -> None:
    table = Table(title="\nFetches", title_justify="left", title_style="bold", box=None)
    for name in ("fetch", "arrived", "fetched", *TITLES.values()):
        if name != TITLES["kafka"]:
            table.add_column(name, justify="right" if name == "fetched" else "left")
    for number, run in enumerate(ledger.runs(SHOWN_RUNS if choice.all else None)):
        if number == SHOWN_RUNS * 100:
            table.caption = "and more; --json has all of them"
            break
        arrived = run.arrived_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if run.arrived_at else ""
        name = f"{run.fetch_id} [red]{run.failure}[/]" if run.failure else run.fetch_id
        table.add_row(name, arrived, f"{run.fetched:,}", *(_in_words(getattr(run, store)) for store in STORES))
    if table.row_count:
        console.print(table, highlight=False)


def _in_words(numbers: StoreAccount) -> str:
    """What there is of anything: ``8 stored, 2 on the way``."""
    return ", ".join(
        f"[red]{number:,} {place}[/]" if place == "missing" else f"{number:,} {place}"
        for number, place in zip(numbers, _PLACES, strict=True)
        if number
    )


def _show_missing(ledger: Ledger, console: Console) -> None:
    total = sum(ledger.totals.of(store).missing for store in STORES)
    for shown, one in enumerate(ledger.missing()):
        if shown == 0:
            console.print("\n[bold]Missing[/]")
        if shown == SHOWN_NAMES:
            console.print(f"and {total - SHOWN_NAMES:,} more; --json names all of them")
            break
        last = (
            f"last in {one.place.topic}-{one.place.partition} at {one.place.offset}"
            if one.place
            else "in no topic any more"
        )
        console.print(
            f"{one.uuid}  not in {TITLES[one.store]}, {last}, of {one.fetch_id}", highlight=False, soft_wrap=True
        )
