"""The base Randomuser: its table, its views, and the pipeline's own database beside it. Made once, then left alone."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from pipeline.errors import PassingFault, PipelineError
from pipeline.log import event
from pipeline.nocodb import columns
from pipeline.nocodb.client import Client
from pipeline.nocodb.columns import COLUMNS, FETCHED_AT, GENDER, PORTRAIT
from pipeline.nocodb.tables import BASE, USERS, check_key, find_base, find_table, mark
from pipeline.settings import Settings

logger = logging.getLogger(__name__)

SOURCE = "pipeline"
_JOB_SECONDS = 120


def ready(settings: Settings) -> None:
    """Raises PassingFault unless NocoDB answers a question about its data: its health route says 200 to all."""
    client = Client(settings)
    try:
        base = find_base(client)
        table = find_table(client, base) if base else None
        if table:
            client.call("GET", f"/api/v2/tables/{table['id']}/records/count")
    finally:
        client.close()


def bootstrap(settings: Settings) -> list[str]:
    """Make what is missing; what was made. What people changed since (columns, views, edits) stays as they left it.

    Views are made with their table and never again: a view that somebody deleted stays deleted. Raises PassingFault.
    """
    client = Client(settings)
    made: list[str] = []
    try:
        base = find_base(client)
        if base is None:
            base = client.call("POST", "/api/v2/meta/bases", json={"title": BASE, "type": "database"})
            made.append(f"base {BASE}")
        check_key(base, settings.nocodb_encryption_key)
        table = find_table(client, base)
        if table is None:
            table = _make_table(client, base["id"])
            made.append(f"table {USERS} with its views")
        mark(client, base, table["id"], settings.nocodb_encryption_key)
        made += _add_source(client, base["id"], settings)
    finally:
        client.close()
    for name in made:
        event(logger, logging.INFO, "made in NocoDB", name=name)
    return made


def _make_table(client: Client, base: str) -> dict[str, Any]:
    table: dict[str, Any] = client.call(
        "POST",
        f"/api/v2/meta/bases/{base}/tables",
        json={"table_name": "users", "title": USERS, "columns": [columns.definition(one) for one in COLUMNS]},
    )
    made = {column["title"]: column["id"] for column in table["columns"]}
    try:
        _arrange_grid(client, table["id"], made)
        path = f"/api/v2/meta/tables/{table['id']}"
        # The picture fills its card, and is not shown a second time among the fields below it.
        cover = {"fk_cover_image_col_id": made[PORTRAIT], "meta": {"fk_cover_image_object_fit": "cover"}}
        gallery = client.call("POST", f"{path}/galleries", json={"title": "Faces", **cover})
        _show_only(client, gallery["id"], made, ("Name", "Company", "City", "Nationality", FETCHED_AT))
        _newest_first(client, gallery["id"], made)
        calendar = {"title": "Calendar", "calendar_range": [{"fk_from_column_id": made[FETCHED_AT]}]}
        client.call("POST", f"{path}/calendars", json=calendar)
        board = {"title": "By gender", "fk_grp_col_id": made[GENDER], **cover}
        board_id = client.call("POST", f"{path}/kanbans", json=board)["id"]
        _show_only(client, board_id, made, ("Name", "Company", "City", "Nationality"))
    except BaseException:
        # Half a table would be found the next time and taken for whole.
        client.call("DELETE", f"/api/v2/meta/tables/{table['id']}")
        raise
    return table


def _arrange_grid(client: Client, table: str, made: dict[str, str]) -> None:
    """The first view: the columns in our order, with fitting widths, technical ones hidden, newest people first."""
    view = client.every(f"/api/v2/meta/tables/{table}/views")[0]["id"]
    titles = {column: title for title, column in made.items()}
    ordered = {column.title: (number + 1, column.width) for number, column in enumerate(COLUMNS)}
    for own in client.every(f"/api/v2/meta/views/{view}/columns"):
        title = titles.get(own["fk_column_id"], "")
        if title in ordered:
            order, width = ordered[title]
            client.call(
                "PATCH",
                f"/api/v2/meta/views/{view}/columns/{own['id']}",
                json={"show": width is not None, "order": order},
            )
            if width is not None:
                client.call("PATCH", f"/api/v2/meta/grid-columns/{own['id']}", json={"width": f"{width}px"})
    client.call("PATCH", f"/api/v2/meta/grids/{view}", json={"row_height": 1})
    _newest_first(client, view, made)


def _show_only(client: Client, view: str, made: dict[str, str], titles: tuple[str, ...]) -> None:
    wanted = {made[title]: number + 1 for number, title in enumerate(titles)}
    for own in client.every(f"/api/v2/meta/views/{view}/columns"):
        order = wanted.get(own["fk_column_id"])
        change: dict[str, Any] = {"show": order is not None}
        if order is not None:
            change["order"] = order
        client.call("PATCH", f"/api/v2/meta/views/{view}/columns/{own['id']}", json=change)


def _newest_first(client: Client, view: str, made: dict[str, str]) -> None:
    client.call(
        "POST", f"/api/v2/meta/views/{view}/sorts", json={"fk_column_id": made[FETCHED_AT], "direction": "desc"}
    )


def _add_source(client: Client, base: str, settings: Settings) -> list[str]:
    """The pipeline's own PostgreSQL, read-only, so that its tables and views can be browsed beside the people."""
    sources = [one for one in client.every(f"/api/v2/meta/bases/{base}/sources") if one.get("alias") == SOURCE]
    integrated = {
        "title": SOURCE,
        "type": "database",
        "sub_type": "pg",
        "config": {"client": "pg", "connection": _connection(settings), "searchPath": ["pipeline"]},
    }
    if sources:
        if sources[0].get("fk_integration_id"):
            # The port and the password may be others now than when the source was made.
            client.call("PATCH", f"/api/v2/meta/integrations/{sources[0]['fk_integration_id']}", json=integrated)
        # Tables and views that an update of the project brought; some milliseconds when there are none.
        _job(client, base, client.call("POST", f"/api/v2/meta/bases/{base}/meta-diff/{sources[0]['id']}", json={}))
        return []
    integrations = client.every("/api/v2/meta/integrations", type="database")
    integration = next((one for one in integrations if one["title"] == SOURCE), None) or client.call(
        "POST",
        "/api/v2/meta/integrations",
        json=integrated,
    )
    job = client.call(
        "POST",
        f"/api/v2/meta/bases/{base}/sources",
        json={
            "alias": SOURCE,
            "type": "pg",
            # Without it the source is made, and stays without a single table, and no error says so.
            "fk_integration_id": integration["id"],
            "config": {"client": "pg", "connection": {"database": "pipeline"}, "searchPath": ["pipeline"]},
            "inflection_column": "none",
            "inflection_table": "none",
            "is_schema_readonly": True,
            "is_data_readonly": True,
        },
    )
    _job(client, base, job)
    return [f"source {SOURCE}: the pipeline's own database, read-only"]


def _connection(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.postgres_host,
        "port": settings.postgres_port,
        "user": "pipeline_reader",
        "password": settings.reader_db_password,
        "database": "pipeline",
        "ssl": False,
    }


def _job(client: Client, base: str, job: Any) -> None:
    """Wait until a job of NocoDB is done. Raises PipelineError when it fails."""
    number = job.get("id") if isinstance(job, dict) else None
    deadline = time.monotonic() + _JOB_SECONDS
    while number and time.monotonic() < deadline:
        jobs = client.call("POST", f"/api/v2/jobs/{base}", json={})
        state = next((one.get("status") for one in jobs if one.get("id") == number), None)
        if state in (None, "completed"):
            return
        if state == "failed":
            raise PipelineError("NocoDB could not read the pipeline's database", detail=json.dumps(job)[:300])
        time.sleep(0.5)
    if number:
        raise PassingFault("NocoDB is still reading the pipeline's database")
