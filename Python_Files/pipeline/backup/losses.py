"""What a restore takes away for good, and what comes back by itself, as far as the running servers can tell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pipeline import broker
from pipeline.backup.points import Point
from pipeline.database.connection import NotWhole, connect, passing
from pipeline.database.edits import edits
from pipeline.database.queries import query
from pipeline.errors import PassingFault
from pipeline.settings import Settings


def told(settings: Settings, moment: datetime, before: Point | None, *, only: bool = False) -> Iterator[str]:
    """Lines for a person. ``before`` is the newest point that the restored database holds. Changes nothing.

    ``only``: NocoDB's database is not restored.
    """
    if only:
        yield "NocoDB: its database is not touched; whatever people did there stays"
    try:
        if not only:
            yield from _in_nocodb(settings, moment)
        yield from _in_postgresql(settings, moment, only)
    except PassingFault as fault:
        yield f"PostgreSQL does not answer, so people's edits after that moment cannot be counted ({fault.detail})"
    except NotWhole as error:
        # A database that is not whole is a reason to restore it.
        said = " ".join(str(error).split())
        yield f"The databases are not whole, so people's edits after that moment cannot be counted ({said})"
    try:
        yield from _in_kafka(settings, before)
    except PassingFault as fault:
        yield f"Kafka does not answer, so it is not known whether it still holds what was fetched ({fault.detail})"


def _in_nocodb(settings: Settings, moment: datetime) -> Iterator[str]:
    connection = connect(settings, role="postgres", database="nocodb", name="restore")
    try:
        with passing(), connection, connection.cursor() as cursor:
            found = False
            cursor.execute(query("nocodb_tables"))
            for schema, table, title, is_ours in cursor.fetchall():
                edited, added, names = edits(cursor, schema, table, moment, named=is_ours)
                added = 0 if is_ours else added
                if edited or added:
                    found = True
                    yield (
                        f"NocoDB, table {title}: {edited} rows edited, {added} added by people after that moment: LOST"
                        + (f" (such as {', '.join(names)})" if names else "")
                    )
            cursor.execute(query("nocodb_designs_since"), {"moment": moment})
            for kind, count in cursor.fetchall():
                found = True
                yield f"NocoDB: {count} {kind} made or changed after that moment: LOST"
            if not found:
                yield "NocoDB: nobody has edited anything after that moment"
    finally:
        connection.close()


def _in_postgresql(settings: Settings, moment: datetime, only: bool) -> Iterator[str]:
    connection = connect(settings, role="postgres", name="restore")
    try:
        with passing(), connection, connection.cursor() as cursor:
            cursor.execute(query("people_since"), {"moment": moment})
            people, removed, in_nocodb, decided = cursor.fetchone()
            yield f"People: {people} were stored after that moment; they are read from Kafka again"
            if removed and not only:
                yield f"Removed: {removed} people were removed on purpose after that moment; they come BACK"
            elif removed:
                yield (
                    f"Removed: {removed} people were removed on purpose after that moment; they come BACK to PostgreSQL"
                    f", and {in_nocodb} of them to NocoDB, where they were written after that moment, too"
                )
            if decided:
                yield f"Refused records: {decided} decisions about them, made after that moment, are forgotten"
    finally:
        connection.close()


def _in_kafka(settings: Settings, before: Point | None) -> Iterator[str]:
    if before is None:
        yield "Kafka: no restore point before that moment says where the sinks stood; whether it holds all is not known"
        return
    names = {str(one["topic"]) for one in before.offsets}
    lives = broker.identities(settings, sorted(names)) if names else {}
    gone = 0
    for one in before.offsets:
        if str(one["topic_id"]) != lives[one["topic"]].topic_id:
            gone += 1
            yield f"Kafka: {one['topic']} was made anew since; {one['sink']} reads what it holds now, and no more"
            continue
        places = {(str(one["topic"]), int(number)): int(offset) for number, offset in one["next_offsets"].items()}
        begin = broker.beginnings(settings, places)
        lost = sum(max(0, begin[place] - offset) for place, offset in places.items())
        if lost:
            gone += 1
            yield f"Kafka: up to {lost} records of {one['topic']} are deleted already that {one['sink']} needs: LOST"
    if not gone:
        yield f"Kafka: it still holds all that was fetched since {before.name}"
