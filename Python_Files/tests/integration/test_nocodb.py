"""NocoDB with a real server: rows are written once whatever happens, and what people change there stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
from psycopg2.sql import SQL, Identifier

from conftest import DATA, Instance, until
from pipeline import person, steps
from pipeline.database.connection import connect
from pipeline.errors import PassingFault, PipelineError
from pipeline.nocodb import UserRow, Users, bootstrap, ready
from pipeline.nocodb.client import Client, Refused
from pipeline.nocodb.tables import find_base, find_table
from pipeline.settings import Settings

pytestmark = pytest.mark.integration

PEOPLE: list[dict[str, Any]] = json.loads((DATA / "randomuser_200.json").read_text(encoding="utf-8"))["results"]


class Scene:
    """The table, and rows of new people that are gone again after the test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.users = Users(settings)
        self.client = Client(settings)
        base = find_base(self.client)
        assert base
        self.base = base
        table = find_table(self.client, base)
        assert table
        self.table: dict[str, Any] = table
        self.made: list[UUID] = []

    def rows(self, count: int, **changed: Any) -> list[UserRow]:
        found = []
        for number in range(count):
            uuid = uuid4()
            self.made.append(uuid)
            plain = person.without_credentials(PEOPLE[number % len(PEOPLE)])
            plain = {**plain, **changed, "login": {**plain["login"], "uuid": str(uuid)}}
            value = steps.add_label(steps.add_timestamp(json.dumps(plain).encode(), 1_790_000_000_000), 0)
            found.append(UserRow(person.decode(value, person.LabelledPerson), "tests", "stand-in"))
        return found

    def columns(self) -> dict[str, dict[str, Any]]:
        told = self.client.call("GET", f"/api/v2/meta/tables/{self.table['id']}")
        return {column["column_name"]: column for column in told["columns"]}

    def change(self, row: UserRow, **values: Any) -> None:
        """Edit a row as a person does."""
        [stored] = self.users.rows([row.person.login.uuid])
        self.client.call("PATCH", f"/api/v2/tables/{self.table['id']}/records", json=[{"Id": stored["Id"], **values}])

    @contextmanager
    def renamed(self, path: str, before: dict[str, Any], **after: Any) -> Iterator[None]:
        """Something has another title for a while."""
        self.client.call("PATCH", path, json={**before, **after})
        try:
            yield
        finally:
            self.client.call("PATCH", path, json=before)

    def close(self) -> None:
        self.users.delete(self.made)
        self.users.close()
        self.client.close()


@pytest.fixture
def scene(stack: Instance) -> Iterator[Scene]:
    scene = Scene(stack.settings_of_tests)
    yield scene
    scene.close()


def uuids(rows: list[UserRow]) -> list[UUID]:
    return [row.person.login.uuid for row in rows]


def test_it_is_ready(scene: Scene) -> None:
    ready(scene.settings)


def test_whoever_is_written_again_is_there_once(scene: Scene) -> None:
    rows = scene.rows(30)
    assert scene.users.insert(rows[:20]) == []
    assert scene.users.insert(rows) == []
    assert scene.users.insert(rows) == []
    assert sorted(row["UUID"] for row in scene.users.rows(uuids(rows))) == sorted(map(str, uuids(rows)))


def test_two_who_write_the_same_people_at_once_write_them_once(scene: Scene) -> None:
    rows = scene.rows(40)
    other = Users(scene.settings)
    # The other one has looked, found nobody, and writes after this one has.
    other.present = lambda asked, look=other.present, first=[True]: (  # type: ignore[method-assign, misc]
        set() if first and first.pop() else look(asked)
    )
    assert scene.users.insert(rows[10:]) == []
    assert other.insert(rows) == []
    other.close()
    assert len(scene.users.rows(uuids(rows))) == 40


def test_a_row_that_is_refused_for_good_comes_back_and_keeps_nobody_out(scene: Scene) -> None:
    [bad] = scene.rows(1, nat="ZZ")
    good = scene.rows(24)
    [(refused, why)] = scene.users.insert([*good[:11], bad, *good[11:]])
    assert refused is bad
    assert why.reason == "refused_by_nocodb"
    assert "ZZ" in why.message
    assert scene.users.present(uuids([*good, bad])) == set(uuids(good))


@pytest.mark.parametrize("count", [1, 2])
def test_people_who_are_all_refused_are_their_own_fault_while_the_table_takes_others(
    stack: Instance, scene: Scene, count: int
) -> None:
    before = set(scene.users.uuids())
    refused = scene.users.insert(bad := scene.rows(count, nat="ZZ"))
    assert [row for row, _ in refused] == bad
    assert scene.users.present(uuids(bad)) == set()
    # The schedule's own people may come meanwhile; the row that the table was asked with is none of them.
    came = {str(uuid) for uuid in set(scene.users.uuids()) - before}
    until(lambda: came <= stack.in_postgresql(), "the table was asked, and nobody was written")


@pytest.mark.parametrize("count", [1, 2])
def test_people_whom_a_changed_table_refuses_wait_and_are_written_later(scene: Scene, count: int) -> None:
    rows = scene.rows(count)
    connection = connect(scene.settings, role="nocodb", database="nocodb", name="tests")
    connection.autocommit = True
    table = SQL("ALTER TABLE {} ").format(Identifier(scene.base["id"], scene.table["table_name"]))
    try:
        with connection.cursor() as cursor:
            cursor.execute(table + SQL("ADD CONSTRAINT nobody CHECK (false) NOT VALID"))
            try:
                with pytest.raises(PassingFault, match="takes nobody"):
                    scene.users.insert(rows)
            finally:
                cursor.execute(table + SQL("DROP CONSTRAINT nobody"))
    finally:
        connection.close()
    assert scene.users.insert(rows) == []
    assert scene.users.present(uuids(rows)) == set(uuids(rows))


def test_more_people_than_fit_one_address_are_found(scene: Scene) -> None:
    rows = scene.rows(700)
    assert scene.users.insert(rows) == []
    assert scene.users.present([*uuids(rows), uuid4()]) == set(uuids(rows))
    assert set(uuids(rows)) <= set(scene.users.uuids())


def test_the_deleted_are_gone_and_nobody_else_is(scene: Scene) -> None:
    rows = scene.rows(12)
    scene.users.insert(rows)
    scene.users.delete(uuids(rows[:5]))
    scene.users.delete(uuids(rows[:5]))
    assert scene.users.present(uuids(rows)) == set(uuids(rows[5:]))


def test_an_edit_and_a_column_of_somebodys_own_survive_a_repeat_and_an_update(scene: Scene) -> None:
    [row] = rows = scene.rows(1)
    scene.users.insert(rows)
    column = f"Note {uuid4().hex[:8]}"
    path = f"/api/v2/meta/tables/{scene.table['id']}/columns"
    scene.client.call("POST", path, json={"title": column, "uidt": "SingleLineText", "column_name": column.lower()})
    made = next(one for one in scene.columns().values() if one["title"] == column)
    try:
        scene.change(row, City="Springfield", **{column: "a friend"})
        bootstrap(scene.settings)
        scene.users.insert(rows)
        [stored] = scene.users.rows(uuids(rows))
        assert (stored["City"], stored[column]) == ("Springfield", "a friend")
    finally:
        scene.client.call("DELETE", f"/api/v2/meta/columns/{made['id']}")


@pytest.mark.parametrize("name", ["uuid", "city"])
def test_a_renamed_column_is_written_and_read_as_before(scene: Scene, name: str) -> None:
    first, second = scene.rows(2)
    scene.users.insert([first])
    column = scene.columns()[name]
    title = f"{column['title']} renamed"
    with scene.renamed(f"/api/v2/meta/columns/{column['id']}", column, title=title):
        assert scene.users.insert([first, second]) == []
        assert scene.users.present(uuids([first, second])) == set(uuids([first, second]))
        [stored] = scene.users.rows(uuids([second]))
        assert stored[title] == (str(second.person.login.uuid) if name == "uuid" else second.person.location.city)


def test_a_renamed_table_and_base_are_found_and_no_second_one_is_made(scene: Scene) -> None:
    bases = len(scene.client.every("/api/v2/meta/bases"))
    base = {"title": scene.base["title"]}
    table = {key: scene.table[key] for key in ("title", "table_name", "base_id")}
    with (
        scene.renamed(f"/api/v2/meta/bases/{scene.base['id']}", base, title="People of mine"),
        # As the browser does it: the table's name in the database changes too.
        scene.renamed(f"/api/v2/meta/tables/{scene.table['id']}", table, title="Folks", table_name="Folks"),
    ):
        assert bootstrap(scene.settings) == []
        users = Users(scene.settings)
        rows = scene.rows(1)
        assert users.insert(rows) == []
        users.close()
        assert scene.users.present(uuids(rows)) == set(uuids(rows))
        assert len(scene.client.every("/api/v2/meta/bases")) == bases


def test_a_view_that_is_no_longer_there_is_not_made_again(scene: Scene) -> None:
    path = f"/api/v2/meta/tables/{scene.table['id']}/views"
    calendar = next(view for view in scene.client.every(path) if view["title"] == "Calendar")
    with scene.renamed(f"/api/v2/meta/views/{calendar['id']}", {"title": "Calendar"}, title="Mine"):
        assert bootstrap(scene.settings) == []
        assert "Calendar" not in {view["title"] for view in scene.client.every(path)}


def test_the_pipelines_own_tables_can_be_read_there_and_not_written(scene: Scene) -> None:
    tables = scene.client.every(f"/api/v2/meta/bases/{scene.base['id']}/tables")
    fetches = next(table for table in tables if table["title"] == "fetches")
    path = f"/api/v2/tables/{fetches['id']}/records"
    assert "list" in scene.client.call("GET", path, params={"limit": 1})
    with pytest.raises(Refused):
        scene.client.call("POST", path, json=[{"fetch_id": "forged"}])


def test_writing_goes_on_when_the_administrator_signs_out_in_a_browser(scene: Scene) -> None:
    rows = scene.rows(2)
    scene.users.insert(rows[:1])
    scene.client.call("POST", "/api/v1/auth/user/signout", json={})
    assert scene.users.insert(rows) == []
    assert scene.users.present(uuids(rows)) == set(uuids(rows))


def test_a_face_is_stored_once_and_outlives_the_people_who_share_it(scene: Scene) -> None:
    rows = scene.rows(3, picture=PEOPLE[0]["picture"])
    scene.users.insert(rows)
    faces = {row["UUID"]: row["Portrait"][0] for row in scene.users.rows(uuids(rows))}
    assert len({face["path"] for face in faces.values()}) == 1
    scene.users.delete(uuids(rows[:2]))
    [left] = scene.users.rows(uuids(rows))
    with httpx.Client(base_url=scene.settings.nocodb_url, trust_env=False) as http:
        picture = http.get("/" + left["Portrait"][0]["signedPath"])
    assert picture.status_code == 200
    assert picture.content[:2] in (b"\xff\xd8", b"\x89P")


def test_data_that_another_key_encrypted_is_told(stack: Instance) -> None:
    bootstrap(stack.settings)
    other = msgspec.structs.replace(stack.settings, nocodb_encryption_key="x" * 32)
    with pytest.raises(PipelineError, match="NOCODB_ENCRYPTION_KEY is not the one"):
        bootstrap(other)
