"""What docs/disaster.md promises, done for real: the database deleted, WAL lost, Kafka lost, the whole machine lost."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from conftest import Instance, end, new_instance, standing_still, until
from integration.test_verify import flipped
from pipeline import broker, topics
from pipeline.backup import configuration, points
from pipeline.settings import ROOT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgBackRest is not installed"),
]


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    one = new_instance()
    print(one.run("Project_Start.sh", "--offline").stdout)
    one.feed("--results", "200")
    one.run("Database/Backup.sh")
    yield one
    end(one)


@contextmanager
def feeding(instance: Instance) -> Iterator[None]:
    """People keep coming in, whatever happens meanwhile."""
    ended = threading.Event()

    def feed() -> None:
        while not ended.is_set():
            instance.feed("--results", "20", ok=False)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def fetched(instance: Instance) -> set[str]:
    """Everybody who was ever fetched, asked of Kafka and not of the database that was lost."""
    records = broker.tail(instance.settings_of_tests, topics.FETCHED, 10**9, 120)
    return {str(UUID((record.key or b"").decode())) for record in records}


def everybody_is_in_both_stores(instance: Instance) -> None:
    people = fetched(instance)
    until(lambda: people <= instance.in_postgresql(), "all of them are in PostgreSQL", 120)
    until(lambda: people <= instance.in_nocodb(), "all of them are in NocoDB", 120)
    until(lambda: instance.run("Administrator_scripts/Ledger.sh", ok=False).returncode == 0, "the ledger is content")
    print(f"{len(people)} people are in both stores")


@pytest.mark.timeout(1800)
def test_the_database_deleted_while_people_come_in_is_back_with_everybody(instance: Instance) -> None:
    data = instance.settings.data / "postgresql"
    with feeding(instance):
        until(lambda: len(instance.in_postgresql()) >= 260, "people come in")
        # A server that still writes may put a file into a directory that is just being removed.
        until(lambda: shutil.rmtree(data, ignore_errors=True) or not data.exists(), "it is deleted", 30)
        until(lambda: not answers(instance), "PostgreSQL has noticed")
        assert any("the database is gone" in one for one in instance.status()["warnings"])
        refused = instance.run("Project_Start.sh", "--offline", ok=False)
        assert refused.returncode == 1
        assert "Database/Restore.sh --latest brings it back" in refused.stdout
        assert not (data / "PG_VERSION").exists(), "no empty database hides the backups"
        told = instance.run("Database/Restore.sh", "--latest", "--yes", ok=False).stdout
    print(told)
    assert re.search(r"pipeline running \(RTO\) +[\d.]+ s", told)
    everybody_is_in_both_stores(instance)


def answers(instance: Instance) -> bool:
    return {one["name"]: one["state"] for one in instance.status()["services"]}["postgresql"] == "ok"


@pytest.mark.timeout(1800)
def test_no_restore_pretends_to_be_complete_when_wal_is_missing_or_damaged(instance: Instance) -> None:
    instance.run("Database/Backup.sh")
    instance.feed("--results", "50")
    instance.run("Database/Backup.sh")
    instance.run("Database/Backup.sh")
    _, middle, last = points.read_journal(instance.settings)[-3:]
    assert middle.wal_segment < last.wal_segment
    repository = configuration.repository(instance.settings)
    [segment] = repository.glob(f"archive/main/*/{middle.wal_segment[:16]}/{middle.wal_segment}-*")
    moment = f"{last.taken_at - timedelta(milliseconds=1):%Y-%m-%dT%H:%M:%S.%f}"
    aside = segment.with_name("aside")
    server = (instance.settings.data / "postgresql" / "postmaster.pid").read_bytes()

    def refuses(words: str) -> None:
        for asked in (["--latest"], ["--to", last.name], ["--to", moment]):
            for how in ("--dry-run", "--yes"):
                refused = instance.run("Database/Restore.sh", *asked, how, ok=False)
                assert refused.returncode == 1, refused.stdout
                assert words in refused.stdout
                assert middle.wal_segment in refused.stdout
                assert "nothing was touched" in refused.stdout

    # A scheduled backup would begin with a new base backup, from which the end can be reached without the segment.
    with standing_still(instance, "scheduler"):
        with flipped(segment):
            refuses("is damaged")
        segment.rename(aside)
        try:
            refuses("is missing")
        finally:
            aside.rename(segment)
    assert (instance.settings.data / "postgresql" / "postmaster.pid").read_bytes() == server, "it was never stopped"
    assert not list(instance.settings.data.glob("postgresql-restoring*"))
    told = instance.run("Database/Restore.sh", "--to", moment, "--dry-run").stdout
    assert "nothing was changed" in told, "with its segment it can be done"


@pytest.mark.timeout(1800)
def test_kafka_lost_with_people_on_their_way_is_told_by_name_and_they_are_fetched_again(instance: Instance) -> None:
    instance.run("Administrator_scripts/Scale.sh", "2-Add_Label", "0")
    instance.feed("--results", "30")
    [(fetch, received)] = until(
        lambda: (
            instance.rows("SELECT fetch_id, received FROM pipeline.fetches ORDER BY arrived_at DESC LIMIT 1")
            if instance.rows("SELECT 1 FROM pipeline.fetches WHERE received = 30")
            else None
        ),
        "the fetch is on record",
    )
    instance.run("Project_Stop.sh")
    shutil.rmtree(instance.settings.data / "kafka")
    instance.run("Administrator_scripts/Scale.sh", "2-Add_Label", "1")
    print(instance.run("Project_Start.sh", "--offline").stdout)
    told = until(
        lambda: (done := instance.run("Administrator_scripts/Ledger.sh", ok=False)).returncode == 1 and done.stdout,
        "who was on the way is missing",
    )
    assert "in no topic any more" in told
    for lost in missing(told):
        print(instance.feed("--again", lost).stdout)
    everybody_is_in_both_stores(instance)
    print(f"{fetch}, {received} people: back")


def missing(told: str) -> list[str]:
    """The fetches whose people the ledger names."""
    return sorted(set(re.findall(r"in no topic any more, of (\S+)", told)))


@pytest.mark.timeout(1800)
def test_a_restore_on_an_empty_machine_needs_the_directory_of_the_backups_alone(instance: Instance) -> None:
    everybody_is_in_both_stores(instance)
    instance.run("Administrator_scripts/Scale.sh", "3-Add_Database-nocodb", "0")
    instance.feed("--results", "40")
    people = fetched(instance)
    until(lambda: people <= instance.in_postgresql(), "they are in PostgreSQL, and only on their way to NocoDB", 120)
    key = instance.settings.nocodb_encryption_key
    portraits = {path.name for path in (instance.settings.data / "nocodb").rglob("*") if path.is_file()}
    instance.run("Database/Backup.sh")
    instance.run("Project_Stop.sh")
    place = new_instance().directory
    shutil.copytree(instance.settings.backup, place / "backup", symlinks=True)  # by root, as from another disk
    shutil.rmtree(instance.settings.data)

    begin = time.monotonic()
    copy_project(place / "clone")
    checked = subprocess.run(["sha256sum", "--check", "configuration/SHA256SUMS"], cwd=place / "backup", check=False)
    assert checked.returncode == 0
    text = (place / "backup" / "configuration" / "env").read_text(encoding="utf-8")
    text = re.sub("^BACKUP_DIR=.*$", f"BACKUP_DIR={place / 'backup'}", text, flags=re.MULTILINE)
    text = re.sub("^DATA_DIR=.*$", f"DATA_DIR={place / 'data'}", text, flags=re.MULTILINE)
    text = re.sub("^ADD_DATABASE_NOCODB_PROCESSES=.*$", "ADD_DATABASE_NOCODB_PROCESSES=1", text, flags=re.MULTILINE)
    (place / "clone" / ".env").write_text(text, encoding="utf-8")
    machine = Instance(place, {"PIPELINE_ENV_FILE": str(place / "clone" / ".env")}, root=place / "clone")
    try:
        told = machine.run("Project_Initialize.sh").stdout
        assert "Database/Restore.sh --latest brings it back" in told
        print(told, machine.run("Database/Restore.sh", "--latest", "--yes").stdout)
        print(f"on an empty machine, from the first command on: {time.monotonic() - begin:.0f} s")
        assert people <= machine.in_postgresql()
        assert people <= machine.in_nocodb(), "who was on the way to NocoDB alone is written there from PostgreSQL"
        assert machine.run("Administrator_scripts/Ledger.sh").returncode == 0
        assert machine.settings.nocodb_encryption_key == key
        assert portraits <= {path.name for path in (machine.settings.data / "nocodb").rglob("*") if path.is_file()}
        assert "is safe in the repository" in machine.run("Database/Backup.sh").stdout
    finally:
        end(machine)


def copy_project(clone: Path) -> None:
    names = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True).stdout
    for name in names.decode().split("\0"):
        if name:
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name, follow_symlinks=False)
