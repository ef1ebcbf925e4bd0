"""A restore of a whole instance while records flow: what comes back, what is told first, what is refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import Instance, end, new_instance, until
from pipeline.backup import chain, configuration, files, points
from pipeline.database.connection import connect
from pipeline.nocodb.client import Client

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgBackRest is not installed"),
]


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    one = new_instance()
    print(one.run("Project_Start.sh", "--offline").stdout)
    yield one
    end(one)


def in_nocodbs_database(instance: Instance, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """The rows of a query on NocoDB's own database; {} is the table of the people."""
    connection = connect(instance.settings, role="postgres", database="nocodb", name="tests")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_schema FROM information_schema.columns "
                "WHERE table_name = 'users' AND column_name = 'nc_order' AND table_schema <> 'public'"
            )
            schema = cursor.fetchone()[0]
            cursor.execute(sql.format(f'"{schema}".users'), values)
            return list(cursor.fetchall())
    finally:
        connection.close()


def edit_in_nocodb(instance: Instance, uuid: str) -> None:
    """What NocoDB itself writes when a person changes a cell."""
    edit = "UPDATE {} SET company = %s, updated_at = now() AT TIME ZONE %s WHERE uuid = %s RETURNING uuid"
    assert in_nocodbs_database(instance, edit, "edited by a person", "UTC", uuid)


def files_come_back(instance: Instance, point: points.Point) -> None:
    """NocoDB's files of the point are gone, also from a backup taken since, and come back as they were."""
    place = files.directory(instance.settings)
    wanted, faults = files.at(instance.settings, point.taken_at)
    assert not faults
    content = {name: (place / name).read_bytes() for name in wanted}
    assert content
    for name in wanted:
        (place / name).unlink()
    instance.run("Database/Backup.sh")
    only = ("Database/Restore.sh", "--only", "files")
    assert "--only files wants --to" in instance.run(*only, "--latest", ok=False).stdout
    assert f"{len(wanted)} put back" in instance.run(*only, "--to", point.name, "--dry-run").stdout
    assert not [name for name in wanted if (place / name).exists()]
    instance.run(*only, "--to", point.name)
    assert {name: (place / name).read_bytes() for name in wanted} == content


def test_everybody_fetched_after_the_point_is_back_in_both_stores_and_edits_are_told_first(instance: Instance) -> None:
    instance.feed("--results", "200")
    instance.run("Database/Backup.sh")
    point = points.read_journal(instance.settings)[-1]
    kept = until(lambda: instance.in_nocodb(), "people are in NocoDB")
    instance.feed("--results", "300")
    instance.run("Database/Backup.sh")
    until(lambda: len(instance.in_nocodb()) >= len(kept) + 300, "the later ones are in NocoDB, too")
    before = instance.in_postgresql()
    edited = min(kept)
    edit_in_nocodb(instance, edited)

    looked = instance.run("Database/Restore.sh", "--to", point.name, "--dry-run").stdout
    assert "1 rows edited" in looked
    assert edited in looked
    assert "it still holds all that was fetched" in looked
    assert before <= instance.in_postgresql(), "a dry run changes nothing"
    nobody = instance.run("Database/Restore.sh", "--to", point.name, ok=False)
    assert nobody.returncode == 2
    assert "there is nobody to ask" in nobody.stdout
    files_come_back(instance, point)
    unsaid = instance.run("Database/Restore.sh", ok=False)
    assert unsaid.returncode == 2
    assert "Database/Backup.sh --list shows the points" in unsaid.stdout

    # A gap is told before anything is touched: PostgreSQL would go into service with less.
    repository = configuration.repository(instance.settings)
    [segment] = repository.glob(f"archive/main/*/{point.wal_segment[:16]}/{point.wal_segment}-*")
    aside = segment.with_name("aside")
    segment.rename(aside)
    refused = instance.run("Database/Restore.sh", "--to", point.name, "--yes", ok=False)
    assert refused.returncode == 1
    assert point.wal_segment in refused.stdout
    aside.rename(segment)
    assert before <= instance.in_postgresql()

    told = instance.run("Database/Restore.sh", "--to", point.name, "--yes").stdout
    print(told)
    assert f'at restore point "{point.name}"' in told
    assert "(RTO)" in told
    assert before <= instance.in_postgresql()
    assert before <= instance.in_nocodb()
    assert instance.run("Administrator_scripts/Ledger.sh").returncode == 0
    ((company,),) = instance.rows("SELECT company FROM pipeline.users WHERE uuid = %s", (edited,))
    assert company != "edited by a person"
    assert len(list(instance.settings.data.glob("postgresql-before-restore-*"))) == 1
    newest = points.read_journal(instance.settings)[-1]
    assert chain.timeline(newest.wal_segment) > chain.timeline(point.wal_segment), "the next restore knows the way"


def nobody_is_lost(instance: Instance, before: set[str]) -> None:
    """Everybody comes to both stores, and the ledger agrees."""
    until(lambda: before <= instance.in_postgresql(), "all are in PostgreSQL", 240)
    until(lambda: before <= instance.in_nocodb(), "all are in NocoDB", 240)
    assert instance.run("Administrator_scripts/Ledger.sh").returncode == 0


def read_through_nocodb(instance: Instance) -> int:
    """How many people NocoDB finds in the pipeline's own database, which it reads beside its own."""
    ((table,),) = in_nocodbs_database(
        instance,
        "SELECT m.id FROM public.nc_models_v2 m JOIN public.nc_sources_v2 s ON s.id = m.source_id "
        "WHERE m.table_name = 'users' AND s.alias = 'pipeline'",
    )
    client = Client(instance.settings)
    try:
        return int(client.call("GET", f"/api/v2/tables/{table}/records/count")["count"])
    finally:
        client.close()


def kill_restore_when(instance: Instance, condition: Callable[[], object], *arguments: str) -> str:
    """Start Restore.sh and kill its program when the condition holds; what it said until then."""
    log = instance.directory / "restore.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(instance.root / "Database" / "Restore.sh"), *arguments, "--yes"],
            env={**os.environ, **instance.environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
        deadline = time.monotonic() + 240
        while not condition():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)
        for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            with suppress(psutil.NoSuchProcess):  # it starts programs that end meanwhile
                if "pipeline.backup.restore_command" in " ".join(one.cmdline()):
                    one.send_signal(signal.SIGKILL)
        process.wait(60)
    return log.read_text(encoding="utf-8")


def moved_aside(instance: Instance) -> list[Path]:
    return list(instance.settings.data.glob("postgresql-before-restore-*"))


def test_the_pipelines_database_alone_brings_everybody_back_and_loses_no_edit(instance: Instance) -> None:
    instance.feed("--results", "200")
    instance.run("Database/Backup.sh")
    until(lambda: len(instance.in_nocodb()) >= 200, "people are in NocoDB")
    began = datetime.now(UTC)
    # The schedule's fetches flow all the time; the moment lies between two that are by hand.
    instance.feed("--results", "100")
    until(lambda: len(instance.in_postgresql()) >= 300, "they are stored")
    moment = datetime.now(UTC)
    instance.feed("--results", "300")
    until(lambda: len(instance.in_nocodb()) >= 600, "the later ones are in NocoDB, too")
    instance.run("Database/Backup.sh")
    before = instance.in_postgresql()
    edited = min(instance.in_nocodb())
    edit_in_nocodb(instance, edited)
    assert read_through_nocodb(instance) >= 600

    told = instance.run("Database/Restore.sh", "--to", moment.isoformat(), "--only", "pipeline", "--yes").stdout
    print(told)
    assert "its database is not touched" in told
    assert "sinks running (RTO)" in told
    assert "missing" in told
    nobody_is_lost(instance, before)
    assert in_nocodbs_database(instance, "SELECT company FROM {} WHERE uuid = %s", edited) == [("edited by a person",)]
    assert read_through_nocodb(instance) >= len(before), "NocoDB reads the new database"
    assert instance.rows("SELECT count(*) FROM pipeline.restore_points WHERE taken_at > %s", (began,))[0][0] >= 1
    ((double,),) = in_nocodbs_database(instance, "SELECT count(*) - count(DISTINCT uuid) FROM {}")
    assert double == 0


def test_a_restore_that_fails_or_is_killed_leaves_the_old_or_the_new_data_and_loses_nobody(instance: Instance) -> None:
    for directory in moved_aside(instance):
        shutil.rmtree(directory)
    instance.feed("--results", "100")
    instance.run("Database/Backup.sh")
    before = instance.in_postgresql()
    point = points.read_journal(instance.settings)[-1]

    # A segment goes away when all was checked and the old data is moved aside: PostgreSQL goes into service with less.
    repository = configuration.repository(instance.settings)
    [segment] = repository.glob(f"archive/main/*/{point.wal_segment[:16]}/{point.wal_segment}-*")
    away = segment.with_name("away")
    failed = fail_restore(instance, lambda: segment.rename(away))
    away.rename(segment)
    assert "started again with the data that it had" in failed
    assert "the restored database is not at" in failed or "did not get ready" in failed
    assert not moved_aside(instance)
    nobody_is_lost(instance, before)

    # Killed before the new data is proven, and after it.
    kill_restore_when(instance, lambda: moved_aside(instance), "--latest")
    assert "the OLD data is in place" in instance.run("Project_Start.sh", "--offline").stdout
    assert not moved_aside(instance)
    nobody_is_lost(instance, before)
    note = instance.settings.run / "restore.json"
    kill_restore_when(instance, lambda: note.exists() and b'"proven":true' in note.read_bytes(), "--latest")
    assert "the NEW data was in place and proven" in instance.run("Project_Start.sh", "--offline").stdout
    assert len(moved_aside(instance)) == 1
    nobody_is_lost(instance, before)


def fail_restore(instance: Instance, fault: Callable[[], object]) -> str:
    """Restore.sh, with a fault that comes when the old data has been moved aside; what it said."""
    failing = threading.Thread(target=lambda: (until(lambda: moved_aside(instance), "it is moved", 240), fault()))
    failing.start()
    done = instance.run("Database/Restore.sh", "--latest", "--yes", ok=False)
    failing.join()
    assert done.returncode == 1, done.stdout
    return done.stdout
