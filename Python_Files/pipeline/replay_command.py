"""The command line of refused records: list, show, replay, discard."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline import broker, entry, log, replay, topics
from pipeline.errors import PipelineError, UsageError
from pipeline.replay import Row, Whole
from pipeline.settings import Settings, load

NAME = "Rejected"
WAIT_SECONDS = 20.0
_FILE_BYTES = 16 * 1024 * 1024
_SHOWN_BYTES = 100_000


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="Administrator_scripts/Rejected.sh")
    verbs = made.add_subparsers(dest="verb", required=True, metavar="list | show | replay | discard")
    listing = verbs.add_parser("list", help="what was refused, newest first")
    listing.add_argument("--all", action="store_true", help="those that are settled (replayed, discarded) too")
    listing.add_argument("--stage", metavar="NAME", help="only those of a stage, such as 1-Add_Timestamp")
    listing.add_argument("--reason", metavar="WORD", help="only those of a reason, such as wrong_shape")
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (100)")
    listing.add_argument("--json", action="store_true", help="as a list of objects")
    showing = verbs.add_parser("show", help="one record: its value, headers, place, reason, and what was tried")
    showing.add_argument("id", type=int)
    showing.add_argument("--value", action="store_true", help="the value alone, to correct it in a file")
    sending = verbs.add_parser("replay", help="send records again into the stage that refused them")
    sending.add_argument("ids", type=int, nargs="+", metavar="ID")
    sending.add_argument(
        "--with",
        dest="file",
        type=Path,
        metavar="FILE",
        help="with this corrected value (of one ID); - is standard input",
    )
    sending.add_argument(
        "--fetched-at", type=_moment, metavar="TIME", help="with this moment of its fetch, such as 2026-11-21T08:00:00Z"
    )
    ending = verbs.add_parser("discard", help="settle records that nobody needs")
    ending.add_argument("ids", type=int, nargs="+", metavar="ID")
    ending.add_argument("--why", required=True, metavar="TEXT", help="kept on the row")
    return made


def _moment(told: str) -> int:
    try:
        at = datetime.fromisoformat(told)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{told!r} is no moment such as 2026-11-21T08:00:00Z") from error


def _at(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _place(row: Row) -> str:
    return f"{row.topic} {row.partition}:{row.offset}" if row.topic else ""


def outcome(row: Row) -> str:
    """What became of a record, in a few words."""
    stores = [
        f"{name}: {told}" for name, told in (("PostgreSQL", row.in_postgresql), ("NocoDB", row.in_nocodb)) if told
    ]
    if row.in_postgresql and row.in_postgresql == row.in_nocodb:
        stores = [row.in_postgresql]
    if row.state == "open" and row.tries:
        return "it was to be sent again; whether it was is not known, and once more does no harm"
    return "; ".join([*stores, row.state_note] if row.state_note else stores)


def _printable(text: str) -> str:
    """Text that cannot move a terminal's cursor or colour it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _list(asked: argparse.Namespace, settings: Settings) -> None:
    if asked.limit < 1:
        raise UsageError(f"--limit is {asked.limit}; allowed: 1 or more")
    rows, count = replay.listed(
        settings, every=asked.all, stage=asked.stage, reason=asked.reason, limit=min(asked.limit, 2**31)
    )
    if asked.json:
        print(json.dumps([row._asdict() for row in rows], indent=2, ensure_ascii=False, default=str))
        return
    if not rows:
        print("nothing was refused" if asked.all else "nothing that was refused waits for a decision")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("id", "refused (UTC)", "stage", "reason", "message", "place", "fetch", "state"):
        table.add_column(name, justify="right" if name == "id" else "left", overflow="fold")
    for row in rows:
        told = outcome(row)
        cells = (
            str(row.id), _at(row.rejected_at), row.stage, row.reason, row.message[:200], _place(row), row.fetch_id,
            f"{row.state}: {told}" if told else row.state,
        )  # fmt: skip
        table.add_row(*map(_printable, cells))
    console = Console(
        width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "180")), highlight=False, markup=False
    )
    console.print(table)
    if len(rows) < count:
        print(f"{len(rows)} of {count}; --limit {count} shows all of them")


def _pretty(value: bytes) -> str | None:
    """The value as JSON with indents, every number and letter as it stands there; None when it is no JSON."""
    import msgspec

    try:
        return msgspec.json.format(value, indent=2).decode("utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _show(asked: argparse.Namespace, settings: Settings) -> None:
    [one] = replay.read(settings, [asked.id])
    if asked.value:
        value = one.value or b""
        pretty = _pretty(value)
        sys.stdout.buffer.write(value if pretty is None else f"{pretty}\n".encode())
        return
    for line in _told(one):
        print(line)


def _told(one: Whole) -> Iterable[str]:
    row = one.row
    facts = {
        "record": str(row.id),
        "state": f"{row.state} since {_at(row.state_at)} UTC" if row.state_at else row.state,
        "outcome": outcome(row),
        "refused by": row.stage,
        "reason": row.reason,
        "message": row.message,
        "refused at": f"{_at(row.rejected_at)} UTC",
        "place": f"{row.topic}, partition {row.partition}, offset {row.offset}" if row.topic else "",
        "fetch": row.fetch_id,
        "source": row.source,
        "fetched at": f"{_at(row.fetched_at)} UTC" if row.fetched_at else "",
        "person": str(row.uuid or ""),
        "tried": f"{row.tries} {'time' if row.tries == 1 else 'times'}, last at {_at(row.tried_at)} UTC"
        if row.tries
        else "",
        "came from": f"record {row.replay_of}, which was sent again" if row.replay_of else "",
        "refused again as": ", ".join(map(str, one.again)),
        "key": "" if one.key is None else _printable(one.key[:1000].decode("utf-8", "backslashreplace")),
    }
    yield from (f"{name + ':':<18}{_printable(told)}" for name, told in facts.items() if told)
    # Those of a refusal have just been told, unless a store refused the record: then somebody else wrote them.
    told_above = () if row.stage in topics.STORES else topics.OF_A_REFUSAL
    for name, told in one.headers:
        if name in told_above:
            continue
        yield f"{'header:':<18}{_printable(name[:200])} = {_printable(told[:1000].decode('utf-8', 'backslashreplace'))}"
    yield "value:"
    yield _shown(one.value)
    if one.corrected is not None:
        yield "value as it was sent again:"
        yield _shown(one.corrected)


def _shown(value: bytes | None) -> str:
    if value is None:
        return "(none: a tombstone)"
    pretty = _pretty(value) if len(value) <= _SHOWN_BYTES else None
    text = pretty if pretty is not None else value[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    shown = "\n".join(map(_printable, text.split("\n")))
    more = len(value) - _SHOWN_BYTES
    return shown if more <= 0 else f"{shown}\n({more} bytes more; --value shows all of it)"


def _corrected(path: Path) -> bytes:
    try:
        if str(path) == "-":
            value = sys.stdin.buffer.read(_FILE_BYTES + 1)
        else:
            with path.open("rb") as file:
                value = file.read(_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read", detail=error.strerror or str(error)) from None
    if len(value) > _FILE_BYTES:
        raise UsageError(f"{path} is larger than {_FILE_BYTES} bytes", hint="It is to hold one record.")
    return value


def _replay(asked: argparse.Namespace, settings: Settings) -> None:
    ids = list(dict.fromkeys(asked.ids))
    if len(ids) > 1 and (asked.file is not None or asked.fetched_at is not None):
        raise UsageError("--with and --fetched-at are for one record", hint="Send the others in a call of their own.")
    corrected = None if asked.file is None else _corrected(asked.file)
    ready = replay.replay(settings, ids, lambda: broker.publisher(settings, NAME), corrected, asked.fetched_at)
    for one in ready:
        record = one.records[-1]
        print(
            f"{one.row.id} was sent to {record.topic} as {(record.key or b'').decode('utf-8', 'replace')}", flush=True
        )
        if one.row.stage in topics.STORES and one.corrected is not None and record.topic == topics.STORED:
            other = {topics.TO_NOCODB: "PostgreSQL", topics.TO_POSTGRESQL: "NocoDB"}[one.row.stage]
            print(f"{one.row.id}: if {other} has this person already, the correction does not reach that row")
    _wait(settings, ids)


def _wait(settings: Settings, ids: Sequence[int]) -> None:
    """Tell what became of them, if it shows soon; nothing depends on it."""
    until = time.monotonic() + WAIT_SECONDS
    left = set(ids)
    while left:
        for one in replay.read(settings, sorted(left)):
            if one.row.state != "sent":
                print(f"{one.row.id} {one.row.state}: {outcome(one.row)}", flush=True)
                left.discard(one.row.id)
        if left and time.monotonic() > until:
            names = ", ".join(map(str, sorted(left)))
            print(f"{names}: on the way; Administrator_scripts/Rejected.sh show {min(left)} tells what becomes of it")
            return
        if left:
            time.sleep(0.3)


def _discard(asked: argparse.Namespace, settings: Settings) -> None:
    why = asked.why.strip().replace("\0", "")
    if not why:
        raise UsageError("--why is empty", hint="Say in a few words why nobody needs the record.")
    replay.discard(settings, asked.ids, why)
    print(f"discarded: {', '.join(map(str, dict.fromkeys(asked.ids)))}")


_VERBS: dict[str, Callable[[argparse.Namespace, Settings], Any]] = {
    "list": _list,
    "show": _show,
    "replay": _replay,
    "discard": _discard,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m pipeline.replay_command VERB ...``: 0 done, 1 failed, 2 wrong usage or settings."""
    asked = parser().parse_args(arguments)
    try:
        settings = load()
        entry.become_owner(settings)
        log.start(NAME, level=settings.log_level)
        _VERBS[asked.verb](asked, settings)
    except PipelineError as error:
        sys.stdout.flush()
        print(error.report(), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read the list has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
