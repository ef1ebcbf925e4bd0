"""The read API over a million people: requests a second and how long one takes, beside the bare query of each.

Run it against a running instance. Real are PostgreSQL and the API's own process, of which a second one serves a
scratch database of that server; it is made here and dropped afterwards. Simulated are the people: generate_series
makes them. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Python_Files"))

import httpx
from rich.console import Console
from rich.table import Table

from pipeline import entry
from pipeline.database.connection import connect
from pipeline.database.kinds import USERS
from pipeline.settings import ROOT, Settings

DATABASE = "api_benchmark"
FIRST_SCRIPT_OF_THE_API = "10"
SEED = 1

FILL = """
INSERT INTO pipeline.topics (cluster_id, topic_id, name) VALUES ('benchmark', 'benchmark', 'users.labelled');
INSERT INTO pipeline.users
SELECT md5('person' || n)::uuid, CASE WHEN hashint4(n) %% 2 = 0 THEN 'female' ELSE 'male' END, 'Ms',
       names.first[1 + abs(hashint4(n * 3)) %% 20], initcap(left(md5('last' || abs(hashint4(n)) %% 5000), 7)),
       n %% 1000, 'Main Street', initcap(left(md5('city' || abs(hashint4(n * 5)) %% 2000), 8)), 'State', 'Country',
       '12345', 0, 0, '+0:00', 'UTC', 'person' || n || '@example.com', 'user' || left(md5('u' || n), 12),
       timestamptz '1940-01-01Z' + abs(hashint4(n * 7)) %% 25000 * interval '1 day', now(), '1', '1', 'ID', NULL,
       'l', 'm', 's', names.nationalities[1 + abs(hashint4(n * 11)) %% 21],
       'Company ' || abs(hashint4(n * 13)) %% 20000, names.moment,
       'benchmark-' || n / 10, 'benchmark', NULL, (SELECT min(id) FROM pipeline.topics), n %% 6, n / 6,
       names.moment + interval '1 second' + abs(hashint4(n)) %% 1000 * interval '1 millisecond'
FROM generate_series(1, %(people)s) AS n,
LATERAL (
    SELECT now() - interval '1 hour' - (%(people)s - n) * interval '6 seconds' AS moment,
           string_to_array('AU BR CA CH DE DK ES FI FR GB IE IN IR MX NL NO NZ RS TR UA US', ' ') AS nationalities,
           string_to_array('Ada Ben Cleo Dan Eva Finn Gia Hugo Ida Jan Kim Leo Mia Nils Ola Pia Rosa Sam Tess Uwe', ' ')
               AS first
) AS names
"""


class Case(NamedTuple):
    """What is asked for: the address, and the same as one query with its values. Each call makes up another."""

    name: str
    ask: Callable[[random.Random], tuple[str, str, dict[str, Any]]]


def page_query(where: str, offset: int) -> tuple[str, dict[str, Any]]:
    """A page as anybody would write it by hand: the rows, and nothing of the API's own."""
    text = f"""SELECT {USERS.columns} FROM pipeline.users AS its {where}
        ORDER BY its.fetched_at DESC, its.uuid DESC OFFSET %(offset)s LIMIT 10"""  # noqa: S608 - own words
    return text, {"offset": offset}


def cases(people: int) -> list[Case]:
    def first(_: random.Random) -> tuple[str, str, dict[str, Any]]:
        return ("/api/users", *page_query("", 0))

    def deep(chance: random.Random) -> tuple[str, str, dict[str, Any]]:
        page = chance.randrange(people // 40, people // 10)
        return (f"/api/users?page={page}", *page_query("", (page - 1) * 10))

    def filtered(chance: random.Random) -> tuple[str, str, dict[str, Any]]:
        nationality = chance.choice(["DE", "FR", "US", "NO", "TR"])
        text, values = page_query("WHERE its.nationality = %(nationality)s", 100)
        return f"/api/users?page=11&nationality={nationality}", text, {**values, "nationality": nationality}

    def searched(chance: random.Random) -> tuple[str, str, dict[str, Any]]:
        told = f"person{chance.randrange(people // 10, people)}@"
        text, values = page_query(
            "WHERE (first_name || ' ' || last_name || ' ' || email || ' ' || username || ' ' || city || ' ' || company)"
            " ILIKE %(told)s",
            0,
        )
        return f"/api/users?search={told.replace('@', '%40')}", text, {**values, "told": f"%{told}%"}

    def one(chance: random.Random) -> tuple[str, str, dict[str, Any]]:
        number = chance.randrange(1, people)
        # The uuids are md5 sums of a name, as they are in the table.
        uuid = UUID(hashlib.md5(f"person{number}".encode(), usedforsecurity=False).hexdigest())
        text = f"SELECT {USERS.columns} FROM pipeline.users AS its WHERE its.uuid = %(uuid)s"  # noqa: S608
        return f"/api/users/{uuid}", text, {"uuid": uuid}

    return [
        Case("first page", first),
        Case("a deep page, any", deep),
        Case("by nationality", filtered),
        Case("search for one of all", searched),
        Case("one person by uuid", one),
    ]


def fill(settings: Settings, people: int, console: Console) -> None:
    """The scratch database, with the indexes made as an update of a full database makes them."""
    drop(settings)
    connection = connect(settings, role="postgres", database="postgres", name="benchmark")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
        cursor.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO pipeline_api")
    connection.close()
    connection = connect(settings, role="postgres", database=DATABASE, name="benchmark", statement_seconds=0)
    connection.autocommit = True
    scripts = sorted((ROOT / "Database-Init").glob("*.sql"))
    with connection.cursor() as cursor:
        for script in scripts:
            if script.name < FIRST_SCRIPT_OF_THE_API:
                cursor.execute(script.read_text(encoding="utf-8"))
        begin = time.monotonic()
        cursor.execute(FILL, {"people": people})
        console.print(f"{people:,} people in {time.monotonic() - begin:.0f} s")
        begin = time.monotonic()
        for script in scripts:
            if script.name >= FIRST_SCRIPT_OF_THE_API:
                cursor.execute(script.read_text(encoding="utf-8"))
        console.print(f"the scripts from {FIRST_SCRIPT_OF_THE_API} on (indexes) in {time.monotonic() - begin:.0f} s")
        cursor.execute("VACUUM ANALYZE pipeline.users")
    connection.close()


def drop(settings: Settings) -> None:
    connection = connect(settings, role="postgres", database="postgres", name="benchmark")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    connection.close()


@contextmanager
def serving(settings: Settings, port: int) -> Iterator[str]:
    """The API's own process, on another port and on the scratch database."""
    program = (
        "import sys; from pipeline.database import pool\n"
        f"there = pool.connect; pool.connect = lambda *given, **named: there(*given, **named, database={DATABASE!r})\n"
        "from pipeline.api.server import main; sys.exit(main([]))"
    )
    environment = {**os.environ, "API_PORT": str(port), "PYTHONPATH": str(ROOT / "Python_Files")}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, cwd=ROOT)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                if httpx.get(f"{address}/api/users?limit=1", trust_env=False, timeout=60).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def measure(work: Callable[[], None], seconds: float, threads: int) -> tuple[float, list[float]]:
    """``work`` again and again by so many threads: how often a second, and how long each took, in ms."""
    took: list[float] = []
    end = time.monotonic() + seconds
    lock = threading.Lock()

    def again() -> None:
        own = []
        while time.monotonic() < end:
            begin = time.perf_counter()
            work()
            own.append((time.perf_counter() - begin) * 1000)
        with lock:
            took.extend(own)

    begin = time.monotonic()
    workers = [threading.Thread(target=again) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(took) / (time.monotonic() - begin), sorted(took)


WRK = """
local addresses, number = {}, 0
for line in io.lines(os.getenv("ADDRESSES")) do addresses[#addresses + 1] = line end
request = function()
    number = number + 1
    return wrk.format("GET", addresses[number % #addresses + 1])
end
"""


def rate_of(address: str, case: Case, by_api: Callable[[], None], asked: argparse.Namespace) -> float:
    """Requests a second of so many callers at once: by wrk where it is installed, for it costs next to nothing."""
    program = shutil.which("wrk")
    if program is None:
        return measure(by_api, asked.seconds, asked.callers)[0]
    with tempfile.TemporaryDirectory() as folder:
        chance = random.Random(SEED + 1)  # noqa: S311 - the same every time
        (Path(folder) / "addresses").write_text("\n".join(case.ask(chance)[0] for _ in range(5000)))
        (Path(folder) / "script.lua").write_text(WRK)
        done = subprocess.run(
            [program, "-t1", f"-c{asked.callers}", f"-d{asked.seconds:.0f}s", "--timeout", "20s", "-s",
             f"{folder}/script.lua", address],
            env={**os.environ, "ADDRESSES": f"{folder}/addresses"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
    if "Non-2xx" in done.stdout:
        raise SystemExit(f"{case.name}: {done.stdout}")
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)[1])  # type: ignore[index]


def at(took: list[float], share: float) -> float:
    return took[min(len(took) - 1, int(len(took) * share))]


def run(settings: Settings, asked: argparse.Namespace) -> None:
    console = Console(width=140)
    if not asked.keep or not there(settings):
        fill(settings, asked.people, console)
    table = Table("what", "requests/s", "p50 ms", "p99 ms", "bare query p50", "p99", "ratio of p50", "of p99")
    with serving(settings, asked.port) as address:
        client = httpx.Client(base_url=address, trust_env=False, timeout=60)
        connection = connect(settings, role="pipeline_api", database=DATABASE, name="benchmark", statement_seconds=60)
        connection.autocommit = True
        for case in cases(asked.people):
            chance = random.Random(SEED)  # noqa: S311 - the same every time

            def by_api(case: Case = case, chance: random.Random = chance) -> None:
                answer = client.get(case.ask(chance)[0])
                if answer.status_code != 200:
                    raise SystemExit(f"{case.name}: {answer.status_code} {answer.text}")

            def by_query(case: Case = case, chance: random.Random = chance) -> None:
                _, text, values = case.ask(chance)
                with connection.cursor() as cursor:
                    cursor.execute(text, values)
                    cursor.fetchall()

            for work in (by_api, by_query):
                work()  # what is read for the first time comes from the disk, for both
            # In turn, one caller each: how long a request takes, and how long the query alone.
            rounds = [
                (measure(by_api, asked.seconds / 4, 1)[1], measure(by_query, asked.seconds / 4, 1)[1]) for _ in range(2)
            ]
            took = sorted(rounds[0][0] + rounds[1][0])
            bare = sorted(rounds[0][1] + rounds[1][1])
            rate = rate_of(address, case, by_api, asked)
            table.add_row(
                case.name, f"{rate:,.0f}", f"{at(took, 0.5):.1f}", f"{at(took, 0.99):.1f}", f"{at(bare, 0.5):.1f}",
                f"{at(bare, 0.99):.1f}", f"{statistics.median(took) / statistics.median(bare):.2f}",
                f"{at(took, 0.99) / at(bare, 0.99):.2f}",
            )  # fmt: skip
        # A reader who follows the addresses of the next pages.
        following = [f"/api/users?limit=10&page={asked.people // 20}"]

        def by_next() -> None:
            following[0] = client.get(following[0]).json()["next"]

        by_next()
        _, took = measure(by_next, asked.seconds, 1)
        table.add_row("page after page, from the middle on", f"{len(took) / asked.seconds:,.0f} (1 caller)",
                      f"{at(took, 0.5):.1f}", f"{at(took, 0.99):.1f}")  # fmt: skip
        console.print(table)
        connection.close()
    if not asked.keep:
        drop(settings)


def there(settings: Settings) -> bool:
    connection = connect(settings, role="postgres", database="postgres", name="benchmark")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", (DATABASE,))
        return bool(cursor.fetchone()[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    parser.add_argument("--callers", type=int, default=8, help="at once, for requests a second")
    parser.add_argument("--port", type=int, default=8899, help="a free one, for the API that is measured")
    parser.add_argument("--keep", action="store_true", help="leave the database for the next run, or take the one left")
    asked = parser.parse_args()
    return entry.main("benchmark", lambda settings: run(settings, asked))


if __name__ == "__main__":
    sys.exit(main())
