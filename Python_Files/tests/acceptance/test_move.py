"""An installation moved into containers and back, with everything in it; skipped, and saying so, where no engine answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
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


def account(instance: Instance) -> dict[str, int]:
    totals: dict[str, int] = instance.status()["totals"]
    return totals


def is_settled(instance: Instance) -> bool:
    totals = account(instance)
    return bool(totals and totals["on_the_way"] == totals["missing"] == 0)


def end_the_feed(instance: Instance) -> None:
    """The schedule would add people between two looks."""
    if mode(instance) == "docker":
        instance.run("docker", "compose", "--env-file", instance.environment["PIPELINE_ENV_FILE"], "stop", "get-data")


def mode(instance: Instance) -> str:
    return instance.settings.pipeline_mode


@pytest.fixture(scope="module")
def moved() -> Iterator[Instance]:
    """A native installation with some hundred people, for the tests below to move, one after the other."""
    if not engine_answers():
        pytest.skip("no container engine answers")
    instance = new_instance()
    instance.environment["COMPOSE_PROJECT_NAME"] = instance.directory.name.lower().replace("_", "-")
    try:
        instance.run("Project_Start.sh", "--offline")
        instance.feed("--file", str(DATA / "randomuser_200.json"))
        instance.feed("--offline", "--results", "200")
        yield instance
    finally:
        instance.run("Project_Stop.sh", ok=False)
        compose = ("docker", "compose", "--env-file", instance.environment["PIPELINE_ENV_FILE"])
        instance.run(*compose, "down", "--volumes", "--rmi", "local", "--timeout", "20", ok=False)
        shutil.rmtree(instance.directory, ignore_errors=True)


def move(instance: Instance, way: str, *arguments: str, ok: bool = True) -> str:
    begin = time.monotonic()
    done = instance.run("Administrator_scripts/Move.sh", "--to", way, *arguments, seconds=1800, ok=ok)
    print(done.stdout, f"it took {time.monotonic() - begin:.0f} s")
    return done.stdout
