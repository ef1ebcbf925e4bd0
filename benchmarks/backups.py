"""Backups of 300,000 people: a base backup, a day of Backup.sh, and a restore.

Run it against an instance that was started with ``--offline`` and that nobody else uses, and delete that instance
afterwards. Real are PostgreSQL, pgBackRest, NocoDB, Kafka and the scripts. Simulated: most people are copies, under
uuids of their own, of some thousands that went through the pipeline, and a day passes in minutes: each of its 288 runs
of Backup.sh comes after a checkpoint and five minutes' people, with a WAL segment ended after each minute of them, as
archive_timeout does it. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Python_Files"))

from chain import behind, end, feed
from rich.console import Console
from rich.table import Table

from pipeline import entry, settings, topics
from pipeline.backup import command, configuration, points, repository
from pipeline.database.connection import Cursor, connect
from pipeline.nocodb.client import Client
from pipeline.nocodb.tables import find_base, find_table
from pipeline.settings import ROOT, Settings

MINUTES = 5
PEOPLE_A_MINUTE = 10
RUNS_A_DAY = 288
HOURS_BETWEEN = 12
# Far enough apart that no copy has the place of another.
FAR = 10_000_000
# Of the steps that a restore tells, those that take long when there are many people.
TOLD = ("WAL   ", "Base backup", "postgresql   ", "Files   ", "nocodb   ", "People   ", "Pipeline   ", "Restore   ")
# Whatever makes one row of these tables another person's or another fetch's. All came in a month, not in an hour: what
# looks at the newest people, such as the page, is not to have all of them before it.
_EARLIER = "{0} - %(hours)s * interval '1 hour'"
COPIED = {
    "fetches": {
        "source_offset": "source_offset + %(copy)s",
        "fetch_id": "fetch_id || '-' || %(copy)s",
        "received": "coalesce(%(people)s, received)",
        "arrived_at": _EARLIER.format("arrived_at"),
        "stored_at": _EARLIER.format("stored_at"),
    },
    "fetched_users": {"source_offset": "source_offset + %(copy)s", "uuid": "md5(uuid::text || %(copy)s)::uuid"},
    "users": {
        "uuid": "md5(uuid::text || %(copy)s)::uuid",
        "source_offset": "source_offset + %(copy)s",
        "fetch_id": "fetch_id || '-' || %(copy)s",
        "fetched_at": _EARLIER.format("fetched_at"),
        "created_at": _EARLIER.format("created_at"),
    },
    "nocodb_users": {
        "uuid": "md5(uuid::text || %(copy)s)::uuid",
        "fetch_id": "fetch_id || '-' || %(copy)s",
        "written_at": _EARLIER.format("written_at"),
    },
}


# Those that came through the pipeline first; the same people first in every table, a fetch after the other.
_FIRST = {
    "fetches": 'SELECT * FROM pipeline.fetches ORDER BY fetch_id COLLATE "C"',
    "fetched_users": "SELECT f.* FROM pipeline.fetched_users f JOIN pipeline.fetches "
    'USING (source_topic, source_partition, source_offset) ORDER BY fetch_id COLLATE "C", uuid',
    "users": 'SELECT * FROM pipeline.users ORDER BY fetch_id COLLATE "C", uuid',
    "nocodb_users": 'SELECT * FROM pipeline.nocodb_users ORDER BY fetch_id COLLATE "C", uuid',
}


class Copier:
    """Makes more people of those who came through the pipeline, in both databases."""

    def __init__(self, loaded: Settings) -> None:
        client = Client(loaded)
        base = find_base(client)
        table = find_table(client, base) if base else None
        client.close()
        if base is None or table is None:
            raise SystemExit("NocoDB has no table of people: start the instance first")
        self._pipeline = connect(loaded, role="postgres", name="benchmark")
        self._nocodb = connect(loaded, role="postgres", database="nocodb", name="benchmark")
        self._nocodb_table = (str(base["id"]), str(table["table_name"]))
        for connection in (self._pipeline, self._nocodb):
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = 0")
        with self._pipeline.cursor() as cursor:
            for name, first in _FIRST.items():
                cursor.execute(f"CREATE TEMP TABLE first_{name} AS {first}")
            cursor.execute("SELECT count(*) FROM first_users")
            self.first = int(cursor.fetchone()[0])
            cursor.execute("SELECT uuid::text FROM first_users LIMIT %s", (PEOPLE_A_MINUTE,))
            few = [uuid for (uuid,) in cursor]
        with self._nocodb.cursor() as cursor:
            schema, name = self._nocodb_table
            cursor.execute(
                f'CREATE TEMP TABLE first_users AS SELECT * FROM "{schema}"."{name}" '  # noqa: S608
                "ORDER BY uuid = ANY (%s) DESC",
                (few,),
            )

    def copy(self, number: int, people: int | None = None) -> None:
        """All of the first people once more, or so many of them; ``number`` makes them others than before."""
        hours = 0 if people else number * HOURS_BETWEEN
        values: dict[str, object] = {"copy": number * FAR, "rows": people, "people": people, "hours": hours}
        with self._pipeline.cursor() as cursor:
            for name, changed in COPIED.items():
                rows = 1 if people and name == "fetches" else people
                self._insert(cursor, "pipeline", name, f"first_{name}", changed, {**values, "rows": rows})
        with self._nocodb.cursor() as cursor:
            changed = {"uuid": "md5(uuid || %(copy)s)::uuid::text", "fetch": "\"fetch\" || '-' || %(copy)s"}
            self._insert(cursor, *self._nocodb_table, "first_users", changed, values)

    def _insert(
        self, cursor: Cursor, schema: str, name: str, first: str, changed: dict[str, str], values: dict[str, object]
    ) -> None:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s "
            "AND coalesce(column_default, '') NOT LIKE 'nextval%%' AND is_identity = 'NO' AND is_generated = 'NEVER' "
            "ORDER BY ordinal_position",
            (schema, name),
        )
        columns = [row[0] for row in cursor.fetchall()]
        listed = ", ".join(f'"{column}"' for column in columns)
        taken = ", ".join(changed.get(column, f'"{column}"') for column in columns)
        cursor.execute(
            f'INSERT INTO "{schema}"."{name}" ({listed}) SELECT {taken} FROM {first} LIMIT %(rows)s',  # noqa: S608
            values,
        )

    def order(self, sql: str) -> None:
        """Something that no transaction may hold."""
        with self._pipeline.cursor() as cursor:
            cursor.execute(sql)

    def close(self) -> None:
        self._pipeline.close()
        self._nocodb.close()


def stored(place: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def mb(number: float) -> str:
    return f"{number / 1e6:,.1f} MB"


def quietly_back_up(loaded: Settings, full: bool) -> float:
    begin = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()):
        command.back_up(loaded, full=full)
    return time.monotonic() - begin


def day(loaded: Settings, copier: Copier, runs: int, table: Table) -> None:
    """So many runs of Backup.sh with the feed's usual people between them; a base backup each BACKUP_FULL_HOURS."""
    place = configuration.repository(loaded)
    before = stored(place)
    due = loaded.backup_full_hours * 60 // MINUTES
    plain, bases, sizes = [], [], []
    for run in range(1, runs + 1):
        copier.order("CHECKPOINT")
        for minute in range(MINUTES):
            copier.copy(20_000 + run * MINUTES + minute, PEOPLE_A_MINUTE)
            copier.order("SELECT pg_switch_wal()")
        full = run % due == 0
        (bases if full else plain).append(quietly_back_up(loaded, full))
        if full:
            sizes.append(repository.read(loaded).backups[-1].repository_bytes)
        if run % 24 == 0:
            print(f"{run} runs, {mb(stored(place) - before)} so far", flush=True)
    total = stored(place) - before
    name = f"{runs} runs of Backup.sh (a day has {RUNS_A_DAY})"
    table.add_row(f"{name}: all that they added", f"{sum(plain) + sum(bases):.0f} s", mb(total))
    table.add_row(f"... of that {len(bases)} base backups, each", _median(bases), mb(statistics.mean(sizes or [0])))
    table.add_row(f"... and WAL, {runs * MINUTES} segments or more", "", mb(total - sum(sizes)))
    table.add_row("... a run without a base backup, median", _median(plain), mb((total - sum(sizes)) / runs))


def _median(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} s" if seconds else ""


def restore(loaded: Settings, since: int, table: Table) -> None:
    """Restore.sh to the newest point, so many people having come after it, who are read again from Kafka."""
    feed(since)
    for name in topics.STAGES:
        while behind(loaded, name):
            time.sleep(0.5)
    arguments = ["--to", points.read_journal(loaded)[-1].name, "--yes"]
    begin = time.monotonic()
    with subprocess.Popen(
        [str(ROOT / "Database" / "Restore.sh"), *arguments], stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        for line in process.stdout or ():
            print(f"{time.monotonic() - begin:7.1f} s  {line}", end="", flush=True)
            if line.startswith(TOLD) and line.endswith(" s\n") and "not ready yet" not in line:
                what, seconds, _ = line[28:].rsplit(maxsplit=2)
                table.add_row(f"Restore.sh: {line[:27].strip()} {what.strip()}", f"{seconds} s", "")
    accounted = "everybody accounted for" if process.returncode == 0 else f"EXIT CODE {process.returncode}"
    table.add_row(f"Restore.sh, ledger included: {accounted}", f"{time.monotonic() - begin:.1f} s", "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=RUNS_A_DAY)
    parser.add_argument("--since", type=int, default=1000, help="people who come after the point of the restore")
    parser.add_argument("--filled", action="store_true", help="the tables are filled already")
    asked = parser.parse_args()
    loaded = settings.load()
    entry.become_owner(loaded)
    table = Table(title=f"{asked.people:,} people, {os.cpu_count()} cores", title_justify="left", box=None)
    for name in ("what", "time or rate", "in the repository"):
        table.add_column(name, justify="left" if name == "what" else "right")
    copier = Copier(loaded)
    end(loaded, ("scheduler",))
    for number in range(1, 0 if asked.filled else -(-asked.people // copier.first)):
        copier.copy(number)
    copier.order("VACUUM ANALYZE")
    seconds = quietly_back_up(loaded, full=True)
    base = repository.read(loaded).backups[-1]
    table.add_row(
        f"base backup of {mb(base.database_bytes)}",
        f"{seconds:.1f} s",
        mb(base.repository_bytes),
    )
    print(f"base backup: {seconds:.1f} s, {mb(base.repository_bytes)} of {mb(base.database_bytes)}", flush=True)
    if asked.runs:
        day(loaded, copier, asked.runs, table)
    copier.close()
    restore(loaded, asked.since, table)
    console = Console(width=int(shutil.get_terminal_size((130, 20)).columns))
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
