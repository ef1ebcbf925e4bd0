"""The ledger over a million people: seconds and peak memory of Ledger.sh, Reconcile.sh and Status.sh.

Run it against a running instance that nobody else uses, and delete that instance afterwards. Real are PostgreSQL,
NocoDB (whose rows are listed over its API, page by page), Kafka, and the scripts. Simulated is how the people came:
rows of the database are made by generate_series, ten people a fetch, and so are NocoDB's, with nothing in them but
their uuid; no record of them is in Kafka. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Python_Files"))

from rich.console import Console
from rich.table import Table

from pipeline import entry, settings
from pipeline.database.connection import connect
from pipeline.nocodb.client import Client
from pipeline.nocodb.tables import find_base, find_table
from pipeline.settings import ROOT, Settings

FILL = """
INSERT INTO pipeline.topics (cluster_id, topic_id, name) VALUES ('benchmark', 'benchmark', 'benchmark')
ON CONFLICT DO NOTHING;
INSERT INTO pipeline.fetches (source_topic, source_partition, source_offset, fetch_id, kind, source, requested,
                              received, arrived_at)
SELECT t.id, 0, n, 'benchmark-' || n, 'scheduled', 'benchmark', 10, 10, now() - n * interval '1 minute'
FROM generate_series(0, %(people)s / 10 - 1) AS n, pipeline.topics t WHERE t.topic_id = 'benchmark';
INSERT INTO pipeline.fetched_users (source_topic, source_partition, source_offset, ordinal, uuid)
SELECT t.id, 0, n / 10, n %% 10, md5('benchmark' || n)::uuid
FROM generate_series(0, %(people)s - 1) AS n, pipeline.topics t WHERE t.topic_id = 'benchmark';
INSERT INTO pipeline.users
SELECT md5('benchmark' || n)::uuid, 'female', 'Ms', 'Ann', 'Benchmark', 1, 'Street', 'City', 'State', 'Country',
       '12345', 1.5, 2.5, '+1:00', 'zone', 'ann@example.com', 'ann', '1990-01-01', '2010-01-01', '1', '2', 'id', NULL,
       'l', 'm', 't', 'DE', 'Company', now(), 'benchmark-' || n / 10, 'benchmark', NULL, t.id, 0, n
FROM generate_series(0, %(people)s - 1) AS n, pipeline.topics t WHERE t.topic_id = 'benchmark';
INSERT INTO pipeline.nocodb_users (uuid, fetch_id, source)
SELECT md5('benchmark' || n)::uuid, 'benchmark-' || n / 10, 'benchmark' FROM generate_series(0, %(people)s - 1) AS n;
-- One in a hundred was fetched again later.
INSERT INTO pipeline.fetched_users (source_topic, source_partition, source_offset, ordinal, uuid)
SELECT t.id, 0, n / 10, 10 + n %% 10, md5('benchmark' || n / 2)::uuid
FROM generate_series(100, %(people)s - 1, 100) AS n, pipeline.topics t WHERE t.topic_id = 'benchmark';
INSERT INTO pipeline.repeats (sink, source_topic, source_partition, source_offset, uuid, fetch_id)
SELECT sink, t.id, 1, n, md5('benchmark' || n / 2)::uuid, 'benchmark-' || n / 10
FROM generate_series(100, %(people)s - 1, 100) AS n, pipeline.topics t,
     unnest(ARRAY['3-Add_Database-postgresql', '3-Add_Database-nocodb']) AS sink
WHERE t.topic_id = 'benchmark';
ANALYZE pipeline.fetches, pipeline.fetched_users, pipeline.users, pipeline.nocodb_users, pipeline.repeats
"""

LOSE = "DELETE FROM pipeline.users WHERE source = 'benchmark' AND source_offset % 1000 = 0"


def fill(loaded: Settings, people: int) -> None:
    connection = connect(loaded, role="postgres", name="benchmark")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute(FILL, {"people": people})
    finally:
        connection.close()
    client = Client(loaded)
    base = find_base(client)
    table = find_table(client, base) if base else None
    client.close()
    if base is None or table is None:
        raise SystemExit("NocoDB has no table of people: start the instance first")
    connection = connect(loaded, role="nocodb", database="nocodb", name="benchmark")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute(
                f'INSERT INTO "{base["id"]}"."{table["table_name"]}" (uuid) '  # noqa: S608 - NocoDB's own names
                "SELECT md5('benchmark' || n)::uuid::text FROM generate_series(0, %s - 1) AS n",
                (people,),
            )
            cursor.execute(f'ANALYZE "{base["id"]}"."{table["table_name"]}"')
    finally:
        connection.close()


def run(*command: str) -> tuple[float, float, int, str]:
    """Seconds, the peak memory in MiB of the largest process, exit code and output of a script.

    Each is run by a Python of its own, for the kernel keeps one peak for all children that ever were.
    """
    begin = time.monotonic()
    program = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=open('/dev/shm/benchmark-ledger', 'w'))\n"
        "print(json.dumps([done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / command[0]), *command[1:]],
        stdout=subprocess.PIPE,
        check=True,
    )
    code, peak = json.loads(told.stdout)
    output = Path("/dev/shm/benchmark-ledger")  # noqa: S108 - the output must not take part in the measure
    text = output.read_text(encoding="utf-8")
    output.unlink()
    return time.monotonic() - begin, peak, code, text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--filled", action="store_true", help="the tables are filled already")
    asked = parser.parse_args()
    loaded = settings.load()
    entry.become_owner(loaded)
    if not asked.filled:
        fill(loaded, asked.people)
    table = Table(title=f"{asked.people:,} people", title_justify="left", box=None)
    for name in ("what", "seconds", "peak MiB", "exit", "output bytes"):
        table.add_column(name, justify="left" if name == "what" else "right")

    def measure(what: str, *command: str) -> str:
        seconds, peak, code, text = run(*command)
        print(f"{what}: {seconds:.1f} s, {peak:.0f} MiB, exit code {code}: {' '.join(text[:300].split())}", flush=True)
        table.add_row(what, f"{seconds:.1f}", f"{peak:.0f}", str(code), f"{len(text):,}")
        return text

    ledger = "Administrator_scripts/Ledger.sh"
    measure("Ledger.sh --json, all accounted for", ledger, "--json")
    measure("Ledger.sh --fetch, one of the fetches", ledger, "--fetch", "benchmark-77")
    measure("Status.sh", "Administrator_scripts/Status.sh")
    connection = connect(loaded, name="benchmark")
    with connection, connection.cursor() as cursor:
        for what, text, values in (
            ("a page of 25", "SELECT * FROM pipeline.ledger LIMIT 25", ()),
            ("count(*)", "SELECT count(*) FROM pipeline.ledger", ()),
        ):
            begin = time.monotonic()
            cursor.execute(text, values)
            cursor.fetchall()
            table.add_row(f"view pipeline.ledger, {what}", f"{time.monotonic() - begin:.2f}", "", "", "")
        cursor.execute(LOSE)
        lost = cursor.rowcount
    connection.close()
    measure("Reconcile.sh, nothing to do", "Administrator_scripts/Reconcile.sh")
    measure(f"Ledger.sh --json, {lost:,} lost from PostgreSQL", ledger, "--json")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
