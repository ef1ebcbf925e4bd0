"""A database that takes the place of the pipeline's: made beside it under another name, and exchanged for it.

Both names change in one transaction, so that at every moment, and after a crash at any moment, there is one database
``pipeline``, the old one or the new one, whole.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg2.errors
from psycopg2.sql import SQL, Composable, Identifier

from pipeline.database.connection import Cursor, connect, passing
from pipeline.database.queries import query
from pipeline.errors import PassingFault, PipelineError
from pipeline.settings import Settings

LIVE = "pipeline"
NEW = "pipeline_restoring"
_OLD = "pipeline_before_restore_"
_SWAP_SECONDS = 30
# Of what describes a database: what is its own, and what can be compared only in words.
_OWN = ("oid", "datname", "datfrozenxid", "datminmxid", "datacl", "datcollversion", "datlastsysoid", "dathasloginevt")
# The value of such a setting is a list of quoted names already.
_LISTS = ("search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries")


def old_name(moment: datetime) -> str:
    """The name under which the replaced database is kept."""
    return f"{_OLD}{moment:%Y%m%d_%H%M%S}"


@contextmanager
def _cursor(settings: Settings, database: str = "postgres", *, autocommit: bool = True) -> Iterator[Cursor]:
    connection = connect(settings, role="postgres", database=database, name="restore")
    try:
        connection.autocommit = autocommit
        with passing(), connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            yield cursor
            if not autocommit:
                connection.commit()
    except psycopg2.Error as error:
        raise PipelineError("PostgreSQL refuses it", detail=" ".join(str(error).split())) from error
    finally:
        connection.close()


def exists(settings: Settings, name: str) -> bool:
    with _cursor(settings) as cursor:
        cursor.execute(query("replacement_exists"), {"name": name})
        return bool(cursor.fetchone()[0])


def size(settings: Settings, name: str = LIVE) -> int:
    """Its bytes. Raises PassingFault."""
    with _cursor(settings) as cursor:
        cursor.execute(query("replacement_size"), {"name": name})
        return int(cursor.fetchone()[0])


def kept(settings: Settings) -> list[tuple[str, int]]:
    """The databases that were replaced and not dropped yet, with their bytes."""
    with _cursor(settings) as cursor:
        cursor.execute(query("replacement_kept"), {"pattern": _OLD.replace("_", r"\_") + "%"})
        return [(str(name), int(size)) for name, size in cursor.fetchall()]


def drop_kept(settings: Settings, name: str) -> None:
    """Drop a database that was replaced, and no other. Raises PipelineError when there is none of that name."""
    names = [one for one, _ in kept(settings)]
    if name not in names:
        raise PipelineError(
            f"there is no database {name!r} that a restore has kept",
            detail=f"kept are: {', '.join(names)}" if names else "none is kept",
        )
    _drop(settings, name)


def drop_new(settings: Settings) -> bool:
    """Drop what was being loaded; whether there was anything. Raises PassingFault."""
    if not exists(settings, NEW):
        return False
    _drop(settings, NEW)
    return True


def _drop(settings: Settings, name: str) -> None:
    with _cursor(settings) as cursor:
        # A loader whose master was killed may still be in it.
        cursor.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


def make_new(settings: Settings) -> None:
    """An empty database, in all but its contents like the live one. Raises PassingFault."""
    drop_new(settings)
    with _cursor(settings) as cursor:
        cursor.execute(query("replacement_model"), {"name": LIVE})
        owner, encoding, tablespace, told = cursor.fetchone()
        cursor.execute(SQL("CREATE DATABASE {} ").format(Identifier(NEW)) + _model(owner, encoding, tablespace, told))
        cursor.execute(query("replacement_comment"), {"name": LIVE})
        cursor.execute(SQL("COMMENT ON DATABASE {} IS %s").format(Identifier(NEW)), cursor.fetchone())
        _give_rights(cursor)
        _give_settings(cursor)


def _model(owner: str, encoding: str, tablespace: str, told: dict[str, Any]) -> Composable:
    parts = [
        SQL("TEMPLATE template0 OWNER {} ENCODING {} TABLESPACE {}").format(
            Identifier(owner), Identifier(encoding), Identifier(tablespace)
        ),
        SQL("LC_COLLATE {} LC_CTYPE {}").format(Identifier(told["datcollate"]), Identifier(told["datctype"])),
        SQL("CONNECTION LIMIT {}").format(SQL(str(int(told["datconnlimit"])))),
    ]
    locale = str(told.get("datlocale") or told.get("daticulocale"))
    provider = told.get("datlocprovider")
    if provider == "i":
        parts.append(SQL("LOCALE_PROVIDER icu ICU_LOCALE {}").format(Identifier(locale)))
        if told.get("daticurules"):
            parts.append(SQL("ICU_RULES {}").format(Identifier(told["daticurules"])))
    elif provider == "b":
        parts.append(SQL("LOCALE_PROVIDER builtin BUILTIN_LOCALE {}").format(Identifier(locale)))
    return SQL(" ").join(parts)


def _role(name: str) -> Composable:
    return Identifier(name) if name else SQL("PUBLIC")


def _give_rights(cursor: Cursor) -> None:
    for name, verb in ((NEW, "REVOKE"), (LIVE, "GRANT")):
        cursor.execute(query("replacement_rights"), {"name": name})
        for role, right, handed_on in cursor.fetchall():
            if verb == "REVOKE":
                cursor.execute(SQL("REVOKE {} ON DATABASE {} FROM {}").format(SQL(right), Identifier(NEW), _role(role)))
            else:
                option = SQL(" WITH GRANT OPTION") if handed_on and role else SQL("")
                cursor.execute(
                    SQL("GRANT {} ON DATABASE {} TO {}").format(SQL(right), Identifier(NEW), _role(role)) + option
                )


def _give_settings(cursor: Cursor) -> None:
    cursor.execute(query("replacement_settings"), {"name": LIVE})
    for role, name, value in cursor.fetchall():
        whose = (
            SQL("ALTER ROLE {} IN DATABASE {}").format(Identifier(role), Identifier(NEW))
            if role
            else SQL("ALTER DATABASE {}").format(Identifier(NEW))
        )
        what = SQL(".").join(Identifier(part) for part in name.split("."))
        if name in _LISTS:
            cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
            cursor.execute(whose + SQL(" SET {} FROM CURRENT").format(what))
        else:
            cursor.execute(whose + SQL(" SET {} TO %s").format(what), (value,))


def described(settings: Settings, name: str) -> list[str]:
    """All that a database is beside its contents, in lines: owner, encoding, limits, rights, settings, comment."""
    with _cursor(settings) as cursor:
        cursor.execute(query("replacement_model"), {"name": name})
        owner, encoding, tablespace, told = cursor.fetchone()
        lines = [f"owner {owner}", f"encoding {encoding}", f"tablespace {tablespace}"]
        lines += [f"{key} {value}" for key, value in sorted(told.items()) if key not in _OWN]
        for what in ("comment", "rights", "settings"):
            cursor.execute(query(f"replacement_{what}"), {"name": name})
            lines += [f"{what} {' '.join(map(str, row))}" for row in cursor.fetchall()]
        return lines


def extensions(settings: Settings, database: str) -> list[str]:
    with _cursor(settings, database) as cursor:
        cursor.execute(query("replacement_extensions"))
        return [line for (line,) in cursor.fetchall()]


def analyze_new(settings: Settings) -> None:
    """What the planner must know, which a load does not bring."""
    with _cursor(settings, NEW) as cursor:
        cursor.execute("ANALYZE")


def carry_over(settings: Settings, table: str, key: str) -> None:
    """Rows of the live database's table that the new one does not have, by the column ``key``.

    For a table that tells of what is outside of the databases. One that is not there any more has nothing to give.
    """
    content = io.BytesIO()
    with _cursor(settings, NEW, autocommit=False) as new:
        new.execute(query("replacement_columns"), {"table": table})
        there = [name for (name,) in new.fetchall()]
        with _cursor(settings, LIVE) as live:
            live.execute(query("replacement_columns"), {"table": table})
            columns = [name for (name,) in live.fetchall() if name in there]
            if key not in columns:
                return
            names = SQL(", ").join(map(Identifier, columns))
            place = SQL(".").join(map(Identifier, table.split(".")))
            live.copy_expert(SQL("COPY {} ({}) TO STDOUT").format(place, names).as_string(live), content)
        content.seek(0)
        carried = "CREATE TEMPORARY TABLE carried ON COMMIT DROP AS SELECT {} FROM {} WHERE false"
        new.execute(SQL(carried).format(names, place))
        new.copy_expert(SQL("COPY carried ({}) FROM STDIN").format(names).as_string(new), content)
        added = "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM carried ON CONFLICT ({}) DO NOTHING"
        new.execute(SQL(added).format(place, names, names, Identifier(key)))


def note_points(settings: Settings, points: Iterable[dict[str, Any]]) -> None:
    """Restore points that the new database does not know, and the number of its next proof."""
    with _cursor(settings, NEW, autocommit=False) as cursor:
        for point in points:
            cursor.execute(query("note_restore_point") + " ON CONFLICT DO NOTHING", point)
        cursor.execute(query("replacement_next_proof"))


def exchange(settings: Settings, old: str) -> None:
    """The new database becomes ``pipeline``, and what was ``pipeline`` is called ``old``; both or neither.

    Whoever is in one of them is sent away, and finds the new one by connecting again. Raises PassingFault.
    """
    deadline = time.monotonic() + _SWAP_SECONDS
    while True:
        try:
            with _cursor(settings, autocommit=False) as cursor:
                cursor.execute(query("replacement_end_sessions"), {"names": [LIVE, NEW]})
                rename = SQL("ALTER DATABASE {} RENAME TO {}")
                cursor.execute(rename.format(Identifier(LIVE), Identifier(old)))
                cursor.execute(rename.format(Identifier(NEW), Identifier(LIVE)))
            return
        except PassingFault as fault:
            # Somebody came back faster than the lock was taken, which now keeps everybody out.
            if not isinstance(fault.__cause__, psycopg2.errors.ObjectInUse) or time.monotonic() > deadline:
                if exists(settings, NEW) or not exists(settings, old):
                    raise
                return  # the answer was lost, and the exchange was made
