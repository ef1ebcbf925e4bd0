"""An installation is moved into containers and back, whole; skipped, and saying so, where no engine answers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from conftest import DATA, Instance, new_instance, until
from pipeline.database.connection import connect
from pipeline.nocodb.client import Client
from pipeline.nocodb.tables import USERS, find_base, find_table
from pipeline.settings import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(3000)]

EDITED, OWN_COLUMN, OWN_VALUE = "Edited by hand", "Remark", "met in spring"


def engine_answers() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class Nocodb:
    """What a person does and sees in NocoDB, over its published port, which is the same in both ways."""

    def __init__(self, instance: Instance) -> None:
        self.client = Client(instance.settings)
        base = find_base(self.client)
        table = base and find_table(self.client, base)
        assert table, f"NocoDB has no table {USERS}"
        self.table = table["id"]

    def __enter__(self) -> Nocodb:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def rows(self, **parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self.client.call(
                "GET",
                f"/api/v2/tables/{self.table}/records",
                params={"limit": 1000, "offset": len(found), "sort": "Id", **parameters},
            )["list"]
            found += page
            if len(page) < 1000:
                return found

    def people(self) -> dict[str, dict[str, Any]]:
        """Everybody's row by uuid, less what NocoDB signs anew whenever it shows a picture."""
        people = {}
        for row in self.rows():
            for picture in row.get("Portrait") or []:
                for part in (picture, *(picture.get("thumbnails") or {}).values()):
                    part.pop("signedPath", None)
                    part.pop("signedUrl", None)
            people[row["UUID"]] = row
        return people

    def change_as_a_person_does(self) -> str:
        """An edit, a column of one's own with a value in it, and somebody deleted; whom."""
        self.client.call(
            "POST",
            f"/api/v2/meta/tables/{self.table}/columns",
            json={"title": OWN_COLUMN, "column_name": "remark", "uidt": "SingleLineText"},
        )
        first, second, *_ = self.rows()
        self.client.call(
            "PATCH",
            f"/api/v2/tables/{self.table}/records",
            json=[{"Id": first["Id"], "Name": EDITED, OWN_COLUMN: OWN_VALUE}],
        )
        self.client.call("DELETE", f"/api/v2/tables/{self.table}/records", json=[{"Id": second["Id"]}])
        return str(second["UUID"])

    def a_picture(self, address: str) -> bytes:
        """The portrait of somebody, as a browser would get it."""
        row = next(row for row in self.rows() if row.get("Portrait"))
        picture = httpx.get(f"{address}/{row['Portrait'][0]['signedPath']}", trust_env=False, timeout=30)
        assert picture.status_code == 200
        return picture.content


def is_settled(instance: Instance) -> bool:
    """Everybody who was fetched is in both stores; one person was deleted in NocoDB."""
    totals = instance.status()["totals"]
    return bool(
        totals
        and totals["on_the_way"] == totals["missing"] == totals["rejected"] == 0
        and totals["fetched"] == totals["postgresql"] == totals["nocodb"] + totals["removed"]
    )


@pytest.fixture(scope="module")
def installation() -> Iterator[Instance]:
    """A native installation with some hundred people, for the tests below to move, one after the other."""
    if not engine_answers():
        pytest.skip("no container engine answers")
    instance = new_instance()
    instance.environment["COMPOSE_PROJECT_NAME"] = instance.directory.name.lower().replace("_", "x")
    # The way is in the settings file alone, as a person has it: a move changes it there.
    del instance.environment["PIPELINE_MODE"]
    elsewhere = os.environ.pop("PIPELINE_MODE", None)
    try:
        instance.run("Project_Initialize.sh", "--native")
        instance.run("Project_Start.sh", "--offline")
        instance.feed("--file", str(DATA / "randomuser_200.json"))
        instance.feed("--offline", "--results", "200")
        until(lambda: is_settled(instance), "everybody in both stores")
        yield instance
    finally:
        instance.run("Project_Stop.sh", ok=False)
        subprocess.run(
            ["docker", "compose", "down", "--volumes", "--rmi", "local", "--timeout", "20"],
            cwd=ROOT,
            env={**os.environ, **instance.environment},
            capture_output=True,
            check=False,
        )
        shutil.rmtree(instance.directory, ignore_errors=True)
        if elsewhere is not None:
            os.environ["PIPELINE_MODE"] = elsewhere


@pytest.fixture(scope="module")
def before(installation: Instance) -> tuple[str, dict[str, dict[str, Any]]]:
    """Whom a person deleted in NocoDB, and everybody's row after that person's changes."""
    with Nocodb(installation) as nocodb:
        deleted = nocodb.change_as_a_person_does()
        return deleted, nocodb.people()


def move(instance: Instance, way: str, *, ok: bool = True) -> subprocess.CompletedProcess[str]:
    begin = time.monotonic()
    done = instance.run("Administrator_scripts/Move.sh", "--to", way, "--yes", seconds=1800, ok=ok)
    print(done.stdout, f"Move.sh --to {way} took {time.monotonic() - begin:.0f} s")
    return done


def holds_everything(instance: Instance, before: tuple[str, dict[str, dict[str, Any]]]) -> None:
    """What was there before the move is there, as it was; 500 more people arrive."""
    deleted, people = before
    with Nocodb(instance) as nocodb:
        now = nocodb.people()
        assert {uuid: now.get(uuid) for uuid in people} == people
        assert deleted not in now
        edited = [row for row in now.values() if row["Name"] == EDITED]
        assert [row[OWN_COLUMN] for row in edited] == [OWN_VALUE]
        assert nocodb.a_picture(f"http://127.0.0.1:{instance.environment['NOCODB_PORT']}")[:4] == b"\x89PNG"
    until(lambda: is_settled(instance), "everybody in both stores after the move", 240)
    fetched = instance.status()["totals"]["fetched"]
    instance.feed("--offline", "--results", "500")
    until(lambda: instance.status()["totals"]["fetched"] >= fetched + 500, "500 more people counted", 240)
    until(lambda: is_settled(instance), "500 more people in both stores", 240)


def test_a_dry_run_changes_nothing(installation: Instance) -> None:
    env = installation.settings
    done = installation.run("Administrator_scripts/Move.sh", "--to", "docker", "--dry-run", seconds=1800)
    assert "Kafka's topics" in done.stdout
    assert installation.settings == env
    assert installation.status()["ready"] is True


def test_a_way_that_the_environment_says_is_refused_before_anything_stops(installation: Instance) -> None:
    installation.environment["PIPELINE_MODE"] = "native"
    try:
        done = installation.run("Administrator_scripts/Move.sh", "--to", "docker", "--yes", ok=False)
    finally:
        del installation.environment["PIPELINE_MODE"]
    assert done.returncode == 1
    assert "PIPELINE_MODE is set in the environment" in done.stdout
    assert installation.status()["ready"] is True


def test_without_an_answer_nothing_is_moved(installation: Instance) -> None:
    done = installation.run("Administrator_scripts/Move.sh", "--to", "docker", ok=False, seconds=1800)
    assert done.returncode == 2
    assert installation.settings.pipeline_mode == "native"


def test_a_copy_that_is_cut_short_leaves_the_source_as_it_was(
    installation: Instance, before: tuple[str, dict[str, dict[str, Any]]]
) -> None:
    process = subprocess.Popen(
        [ROOT / "Administrator_scripts" / "Move.sh", "--to", "docker", "--yes"],
        env={**os.environ, **installation.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Source "):
            break
    # Nobody writes any more. The lock makes the copy stand in the middle, however fast it is.
    blocker = connect(installation.settings, role="postgres", name="tests")
    try:
        with blocker.cursor() as cursor:
            cursor.execute("LOCK TABLE pipeline.users IN ACCESS EXCLUSIVE MODE")
        until(lambda: kill_in_postgres(installation, "pg_restore"), "pg_restore runs and is killed", 300)
    finally:
        blocker.close()
    said += process.stdout.readlines()
    print("".join(said))
    assert process.wait(600) == 1
    assert "brought back as it was" in "".join(said)
    assert installation.settings.pipeline_mode == "native"
    volumes = subprocess.run(["docker", "volume", "ls", "-q"], capture_output=True, text=True, check=True).stdout
    assert installation.environment["COMPOSE_PROJECT_NAME"] not in volumes
    assert list((installation.directory / "backup").glob("set-aside-*")) == []
    holds_everything(installation, before)
    installation.run("Database/Backup.sh")


def kill_in_postgres(instance: Instance, name: str) -> bool:
    """Ends the processes of that name in the installation's own container of PostgreSQL. Whether there was one."""
    container = f"{instance.environment['COMPOSE_PROJECT_NAME']}-postgres-1"
    told = subprocess.run(
        ["docker", "top", container, "-o", "pid,comm"], capture_output=True, text=True, check=False
    ).stdout.split("\n")[1:]
    pids = [int(line.split()[0]) for line in told if line.split()[1:] == [name]]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(pids)


def test_it_moves_into_containers_whole(installation: Instance, before: tuple[str, dict[str, dict[str, Any]]]) -> None:
    move(installation, "docker")
    assert installation.settings.pipeline_mode == "docker"
    holds_everything(installation, before)


def test_it_moves_back_only_after_the_old_data_was_removed(
    installation: Instance, before: tuple[str, dict[str, dict[str, Any]]]
) -> None:
    refused = move(installation, "native", ok=False)
    assert refused.returncode == 1
    removal = re.search(r"hint: If nobody needs that data: (.+)", refused.stdout)
    assert removal, refused.stdout
    assert installation.settings.pipeline_mode == "docker"
    subprocess.run(["bash", "-c", removal[1]], check=True)
    move(installation, "native")
    assert installation.settings.pipeline_mode == "native"
    holds_everything(installation, before)
    installation.run("Database/Backup.sh")
