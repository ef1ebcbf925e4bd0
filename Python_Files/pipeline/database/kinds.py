"""What the read API lists: the columns that a row shows, its filters and its orders. The indexes are made for these."""

from __future__ import annotations

from pipeline.database.listing import Kind

_TEXT = "(first_name || ' ' || last_name || ' ' || email || ' ' || username || ' ' || city || ' ' || company)"


def _of_row(names: str) -> str:
    return ", ".join(f"its.{name}" for name in names.split())


# What is searched for stands for itself: the signs that mean something to LIKE are escaped.
_LITERALLY = r"replace(replace(replace(%(search)s, '\', '\\'), '%%', '\%%'), '_', '\_')"

USERS = Kind(
    table="pipeline.users",
    key=("uuid",),
    columns=_of_row(
        """
        uuid gender title first_name last_name street_number street_name city state country postcode
        latitude longitude timezone_offset timezone_description email username date_of_birth registered_at
        phone cell id_name id_value picture_large picture_medium picture_thumbnail nationality company
        fetched_at fetch_id source further created_at
        """
    ),
    stored="created_at",
    conditions={
        "nationality": "nationality = %(nationality)s",
        "company": "company = %(company)s",
        "gender": "gender = %(gender)s",
        "fetch_id": "fetch_id = %(fetch_id)s",
        "fetched_since": "fetched_at >= %(fetched_since)s",
        "fetched_until": "fetched_at < %(fetched_until)s",
        "search": f"{_TEXT} ILIKE '%%' || {_LITERALLY} || '%%'",
    },
    sorts={
        "fetched_at": ("fetched_at", "uuid"),
        "last_name": ("last_name", "uuid"),
        "company": ("company", "fetched_at", "uuid"),
    },
)

_PLACE = ("source_topic", "source_partition", "source_offset")

FETCHES = Kind(
    table="pipeline.fetches",
    key=_PLACE,
    columns=_of_row(
        """
        fetch_id kind source seed page due_at requested received rejected nationalities failure arrived_at
        stored_at
        """
    ),
    stored="stored_at",
    conditions={
        "fetch_id": "fetch_id = %(fetch_id)s",
        "kind": "kind = %(kind)s",
        "source": "source = %(source)s",
        "since": "stored_at >= %(since)s",
        "until": "stored_at < %(until)s",
    },
    sorts={"stored_at": ("stored_at", *_PLACE)},
)

REJECTED = Kind(
    table="pipeline.rejected",
    key=("id",),
    columns=_of_row(
        """
        id stage reason message topic partition offset fetch_id source uuid value_text fetched_at
        rejected_at state state_note state_at replay_of tries tried_at in_postgresql in_nocodb stored_at
        """
    ),
    stored="stored_at",
    conditions={
        "stage": "stage = %(stage)s",
        "reason": "reason = %(reason)s",
        "state": "state = %(state)s",
        "fetch_id": "fetch_id = %(fetch_id)s",
        "since": "rejected_at >= %(since)s",
        "until": "rejected_at < %(until)s",
    },
    sorts={"id": ("id",)},
)

BACKUPS = Kind(
    table="pipeline.restore_points",
    key=("name",),
    columns="""its.name, its.taken_at, its.lsn::text AS lsn, its.wal_segment, its.base_backup, its.duration_seconds""",
    stored="taken_at",
    conditions={"since": "taken_at >= %(since)s", "until": "taken_at < %(until)s"},
    sorts={"taken_at": ("taken_at", "name")},
)
