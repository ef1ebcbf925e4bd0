"""A restore of a whole instance while records flow: what comes back, what is told first, what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from conftest import Instance, end, new_instance, until
from pipeline.backup import chain, configuration, points
from pipeline.database.connection import connect

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("pgbackrest") is None, reason="pgBackRest is not installed"),
]


@pytest.fixture
def instance() -> Iterator[Instance]:
    one = new_instance()
    print(one.run("Project_Start.sh", "--offline").stdout)
    yield one
    end(one)


def edit_in_nocodb(instance: Instance, uuid: str) -> None:
    """What NocoDB itself writes when a person changes a cell."""
    connection = connect(instance.settings, role="postgres", database="nocodb", name="tests")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_schema FROM information_schema.columns "
                "WHERE table_name = 'users' AND column_name = 'nc_order' AND table_schema <> 'public'"
            )
            schema = cursor.fetchone()[0]
            cursor.execute(
                f'UPDATE "{schema}".users SET company = %s, updated_at = now() AT TIME ZONE %s WHERE uuid = %s',  # noqa: S608
                ("edited by a person", "UTC", uuid),
            )
            assert cursor.rowcount == 1
    finally:
        connection.close()


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
