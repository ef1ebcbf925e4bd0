"""The rows of NocoDB's table Users: written idempotently by uuid, counted, listed, deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

from pipeline.errors import PassingFault, Rejected
from pipeline.nocodb import columns
from pipeline.nocodb.client import Client, Refused
from pipeline.nocodb.columns import UserRow
from pipeline.nocodb.portraits import Portraits
from pipeline.nocodb.tables import BASE, USERS, find_base, find_table
from pipeline.settings import Settings

ROWS = 500
"""Rows a request: the pipeline's NocoDB takes up to 1,000 (NC_DATA_PAYLOAD_LIMIT), and larger ones gain nothing."""

ASKED = 250
"""Uuids a question: NocoDB answers 431 to a header of more than 16 KiB."""

NOT_UNIQUE = "FIELD_UNIQUE_CONSTRAINT_VIOLATION"

PAGE = 1000
"""Rows a page: NocoDB caps what one request reads."""


class Users:
    """The table Users. Raises PassingFault when NocoDB does not answer or has no such table (yet)."""

    def __init__(self, settings: Settings) -> None:
        self._client = Client(settings)
        self._portraits = Portraits(settings, self._client)
        self._table = ""
        self._uuid, self._title, self._unique = "", "", False
        # The last row that the table took in this process's life.
        self._taken: dict[str, Any] | None = None

    def _ready(self) -> None:
        """Know the table and its columns."""
        if not self._table:
            base = find_base(self._client)
            table = find_table(self._client, base) if base else None
            if table is None:
                raise PassingFault(
                    f"NocoDB has no table {USERS} in a base {BASE}",
                    hint="Run ./Project_Initialize.sh, which makes it.",
                )
            self._look_up_columns(table["id"])
            self._table = table["id"]

    @property
    def _records(self) -> str:
        self._ready()
        return f"/api/v2/tables/{self._table}/records"

    def _look_up_columns(self, table: str) -> None:
        """Questions name the uuid's column by its id, and answers by its title, which people may change."""
        own = self._client.call("GET", f"/api/v2/meta/tables/{table}")["columns"]
        uuid = next((one for one in own if one["column_name"] == columns.name_of(columns.UUID)), None)
        if uuid is None:
            raise PassingFault(
                f"NocoDB's table {USERS} has no column {columns.UUID} any more",
                hint="Restore that column, or delete the table and run ./Project_Initialize.sh, which makes it anew.",
            )
        self._uuid, self._title, self._unique = uuid["id"], uuid["title"], bool(uuid.get("unique"))

    def _list(self, **parameters: Any) -> list[dict[str, Any]]:
        """Rows, with the uuid as ``columns.UUID`` whatever that column's title is now."""
        rows: list[dict[str, Any]] = self._call("GET", self._records, params=parameters)["list"]
        if rows and self._title not in rows[0]:
            self._look_up_columns(self._table)
        for row in rows:
            row[columns.UUID] = row.get(self._title)
        return rows

    def _call(self, method: str, path: str, **given: Any) -> Any:
        try:
            return self._client.call(method, path, **given)
        except Refused as fault:
            if fault.status == 404:
                # The table was deleted; its successor, if one is made, has another id.
                self._table = ""
                raise PassingFault("NocoDB's table Users is gone", detail=fault.detail) from fault
            raise

    def _found(self, uuids: Collection[UUID], *, whole: bool = False) -> list[dict[str, Any]]:
        asked = [str(uuid) for uuid in uuids]
        found: list[dict[str, Any]] = []
        for start in range(0, len(asked), ASKED):
            piece = ",".join(asked[start : start + ASKED])
            self._ready()
            parameters = {"where": f"({self._uuid},in,{piece})", "limit": PAGE}
            if not whole:
                parameters["fields"] = f"Id,{self._uuid}"
            found += self._list(**parameters)
        return found

    def present(self, uuids: Collection[UUID]) -> set[UUID]:
        """Who of these is in the table."""
        return {UUID(row[columns.UUID]) for row in self._found(uuids)}

    def rows(self, uuids: Collection[UUID]) -> list[dict[str, Any]]:
        """The rows of these people, by the titles of the columns."""
        return self._found(uuids, whole=True)

    def insert(self, rows: Sequence[UserRow]) -> list[tuple[UserRow, Rejected]]:
        """Write the people who are not there yet; the ones whom NocoDB refuses for good, each with its reason.

        Whatever an earlier try left is found and not written twice: uuids are looked up first, the column is unique,
        and a batch is written whole or not at all. When nobody is taken, the table is asked whether it takes anybody at
        all: if it was changed (a column that must be filled, another type), a person can mend that, so it is a
        PassingFault.
        """
        refused: list[tuple[UserRow, Rejected]] = []
        for start in range(0, len(rows), ROWS):
            piece = rows[start : start + ROWS]
            there = self.present([row.person.login.uuid for row in piece])
            missing = [row for row in piece if row.person.login.uuid not in there]
            these = self._write(missing)
            if missing and len(these) == len(missing):
                self._check_table(these[0][1].message)
            refused += these
        return refused

    def _check_table(self, why: str) -> None:
        """Raise PassingFault unless the table takes people.

        It is asked for a person whom it would take twice, as two rows of one uuid: the second is refused because that
        column is unique, and with it the first, so nobody is written. Any other answer is the table's own fault. Known
        to be good are the sample, and whomever the table took last: somebody may have changed the choices of a column
        so that one of the two does not fit, and yet the table takes others.
        """
        self._ready()
        self._look_up_columns(self._table)
        if not self._unique:
            raise PassingFault(
                f"NocoDB's table {USERS} has a column {columns.UUID} that is not unique any more",
                detail=f"whether {why!r} is the fault of the person or of the table cannot be told without it",
                hint="Make that column unique again; the people wait in Kafka meanwhile.",
            )
        for good in filter(None, (self._taken, columns.sample())):
            probe = {**good, columns.name_of(columns.UUID): str(uuid4())}
            try:
                self._call("POST", self._records, json=[probe, probe])
            except Refused as fault:
                if fault.error == NOT_UNIQUE:
                    return
        raise PassingFault(
            f"NocoDB's table {USERS} takes nobody",
            detail=why,
            hint="Undo what was changed in the table's columns; the people wait in Kafka meanwhile.",
        )

    def _write(self, rows: Sequence[UserRow]) -> list[tuple[UserRow, Rejected]]:
        if not rows:
            return []
        records = [columns.record(row, self._portraits.attachment(row)) for row in rows]
        try:
            self._call("POST", self._records, json=records)
        except Refused as fault:
            if fault.error == NOT_UNIQUE:
                # Somebody wrote one of them in between: look again.
                there = self.present([row.person.login.uuid for row in rows])
                left = [row for row in rows if row.person.login.uuid not in there]
                if len(left) < len(rows):
                    return self._write(left)
            if len(rows) == 1:
                return [(rows[0], Rejected("refused_by_nocodb", fault.detail))]
            half = len(rows) // 2
            return self._write(rows[:half]) + self._write(rows[half:])
        self._taken = records[-1]
        return []

    def count(self) -> int:
        """How many people the table has; rows that somebody made by hand, without a uuid, are none."""
        self._ready()
        return int(self._call("GET", f"{self._records}/count", params={"where": f"({self._uuid},notblank)"})["count"])

    def uuids(self) -> Iterator[UUID]:
        """Everybody in the table, page by page in the order of NocoDB's own ids. Rows without a uuid are left out.

        Whoever is there when it is called and stays is in it; who comes meanwhile may be.
        """
        self._ready()
        newest = self._list(sort="-Id", fields=f"Id,{self._uuid}", limit=1)
        end = newest[0]["Id"] if newest else 0
        last, window = 0, PAGE
        while last < end:
            self._ready()
            # Both ends are told, for NocoDB sorts (and counts) all that a question lets through before it takes a page.
            where = f"(Id,gt,{last})~and(Id,le,{last + window})"
            page = self._list(where=where, sort="Id", fields=f"Id,{self._uuid}", limit=PAGE)
            for row in page:
                try:
                    yield UUID(row[columns.UUID])
                except (TypeError, ValueError):
                    continue  # a row that a person made by hand
            last = page[-1]["Id"] if len(page) == PAGE else last + window
            # Where many rows were deleted, few ids are left.
            window = min(window * 2, PAGE * 1000) if len(page) < PAGE // 2 else PAGE

    def delete(self, uuids: Collection[UUID]) -> None:
        """Remove these people's rows, as far as they are there."""
        ids = [{"Id": row["Id"]} for row in self._found(uuids)]
        for start in range(0, len(ids), ROWS):
            self._call("DELETE", self._records, json=ids[start : start + ROWS])

    def close(self) -> None:
        self._portraits.close()
        self._client.close()
