"""A restore of the pipeline's database alone: loaded from a scratch copy beside the live one, compared, and exchanged.

The live database serves until the exchange, which is one transaction. NocoDB's database and everything else in the
cluster are not touched. It needs a scratch copy, PostgreSQL's programs and a superuser's connection, so it works
wherever the backups are made; whoever calls it stops and starts the sinks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline.backup import configuration, points, scratch, unfinished
from pipeline.backup.plan import Plan
from pipeline.backup.scratch import Copy
from pipeline.backup.unfinished import Note
from pipeline.database import contents, migrations, replacement
from pipeline.database.replacement import LIVE, NEW
from pipeline.errors import PassingFault, PipelineError
from pipeline.operations.telling import step, tell, warn
from pipeline.settings import Settings

# A proof of the backups may be at work.
_WAIT_SECONDS = 900
# For the WAL that the load writes, beside the database itself.
_SPARE_BYTES = 512 << 20
_NAMED = 3


class Sinks(NamedTuple):
    """How what writes into the pipeline's database is stopped and started again. Both raise PipelineError."""

    stop: Callable[[], None]
    start: Callable[[], None]


def check_room(settings: Settings, planned: Plan) -> None:
    """Room for the scratch copy, and for a second database, whose size is known only when there is a copy.

    Raises PipelineError, and PassingFault when the live database does not answer.
    """
    scratch.check_room(settings, planned.base)
    wanted = scratch.needed(planned.base) if _same_disk(settings) else 0
    _check_room(settings, wanted + replacement.size(settings), "as much as it has now")


def _same_disk(settings: Settings) -> bool:
    return settings.data.stat().st_dev == _cluster(settings).stat().st_dev


def _cluster(settings: Settings) -> Path:
    return configuration.cluster(settings)[0]


def _check_room(settings: Settings, wanted: int, what: str) -> None:
    place = _cluster(settings)
    free, wanted = shutil.disk_usage(place).free, wanted + _SPARE_BYTES
    if free >= wanted:
        return
    old = replacement.kept(settings)[:3]
    kept = [f"Database/Restore.sh --drop-old {name} frees {size >> 20} MiB." for name, size in old]
    raise PipelineError(
        f"there is no room for a second pipeline database ({what}); the old one is kept until you drop it",
        detail=f"{place} has {free >> 20} MiB left, {wanted >> 20} MiB are needed",
        hint=" ".join([*kept, "Make room there; nothing was changed."]),
    )


def restore(settings: Settings, planned: Plan, sinks: Sinks) -> str:
    """Do it; the name under which the replaced database is kept. The caller holds the restore's lock.

    Raises PipelineError: then the live database is what it was, unless the message says that it was exchanged and
    that only the sinks do not start.
    """
    note = Note(
        kind=unfinished.ONLY_PIPELINE,
        target=str(planned.target),
        began_at=datetime.now(UTC),
        old=replacement.old_name(datetime.now(UTC)),
    )
    unfinished.write(settings, note)
    with scratch.signals_raise():
        try:
            _load(settings, planned)
            with _stopped(sinks):
                _carry_over(settings)
                with step("Database", "exchanged"):
                    replacement.exchange(settings, note.old)
        except BaseException:
            if _is_undone(settings, note):
                unfinished.remove(settings)
            raise
    unfinished.remove(settings)
    return note.old


def _is_undone(settings: Settings, note: Note) -> bool:
    """Nothing is left of it. When PostgreSQL does not answer, the next start clears it away."""
    with suppress(PipelineError):
        replacement.drop_new(settings)
        if replacement.exists(settings, note.old):
            warn(f"the pipeline's database is restored; the old one is {note.old}. What comes after that failed:")
        else:
            tell("Restore", "failed; the pipeline's database is what it was")
        return True
    return False


@contextmanager
def _stopped(sinks: Sinks) -> Iterator[None]:
    begin = time.monotonic()
    sinks.stop()
    try:
        yield
    finally:
        sinks.start()
        tell("Sinks", "stood still", time.monotonic() - begin)


def _load(settings: Settings, planned: Plan) -> None:
    """The database ``NEW``: the pipeline's as planned, brought to this version of the project."""

    def waits() -> None:
        tell("Wait", "for another scratch copy to be given up (a proof of the backups)")

    begin = time.monotonic()
    with scratch.restored(settings, planned, wait_seconds=_WAIT_SECONDS, waits=waits) as copy:
        tell("Scratch copy", f"{planned.base.label}, {len(planned.segments)} segments of WAL", time.monotonic() - begin)
        tell("Proof", copy.end)
        if not replacement.exists(copy.settings, LIVE):
            raise PipelineError(f"there was no database {LIVE} at {planned.target}")
        size = replacement.size(copy.settings)
        _check_room(settings, size, f"as it was, {size >> 20} MiB")
        replacement.make_new(settings)
        with step("Database", f"{size >> 20} MiB loaded beside the live one"):
            _pour(settings, copy)
        with step("Database", "") as told:
            told(_compared(settings, copy))
    with step("Database", "tables are those of this version") as told:
        scripts = migrations.apply(settings, NEW)
        if scripts:
            told(f"applied {', '.join(scripts)}")
        replacement.analyze_new(settings)
    _compare_descriptions(settings)


def _pour(settings: Settings, copy: Copy) -> None:
    """pg_dump of the copy into pg_restore of the live server; any fault of either is one."""
    _, socket = configuration.cluster(settings)
    reader = [str(copy.programs / "pg_dump"), "--format=custom", "--compress=0", f"--dbname={LIVE}"]
    writer = [str(copy.programs / "pg_restore"), "--exit-on-error", f"--dbname={NEW}"]
    reader += _address(copy.settings.postgres_host, copy.settings.postgres_port)
    writer += _address(str(socket), settings.postgres_port)
    environment = {
        "PATH": configuration.PATH,
        "LC_ALL": "C.UTF-8",
        # The exchange, which is written to the disk, comes after all of it.
        "PGOPTIONS": "-c synchronous_commit=off -c maintenance_work_mem=128MB -c statement_timeout=0",
    }
    names = ("pg_dump", "pg_restore")
    # What they say goes into files, so that neither of them waits for somebody who reads it.
    said = [settings.run / f"{name}.err" for name in names]
    with ExitStack() as opened:
        errors = [opened.enter_context(path.open("wb")) for path in said]
        end, begin = os.pipe()
        running = []
        try:
            plumbing = ((reader, subprocess.DEVNULL, begin, errors[0]), (writer, end, subprocess.DEVNULL, errors[1]))
            for command, source, target, error in plumbing:
                running.append(subprocess.Popen(command, env=environment, stdin=source, stdout=target, stderr=error))
        finally:
            os.close(end)
            os.close(begin)
        try:
            codes = [one.wait() for one in running[::-1]][::-1]
        finally:
            for one in running:
                one.kill()
                one.wait()
    told = [" ".join(path.read_text("utf-8", "replace").split())[-300:] for path in said]
    for path in said:
        path.unlink()
    for name, code, what in zip(names, codes, told, strict=True):
        if code != 0 and what:
            raise PipelineError(f"the database cannot be loaded: {name} failed", detail=what)
    if any(codes):
        raise PipelineError("the database cannot be loaded", detail=f"{names} ended with {codes}")


def _address(host: str, port: int) -> list[str]:
    """By the socket, where the server's own user needs no password."""
    return [f"--host={host}", f"--port={port}", "--username=postgres", "--no-password"]


def _compared(settings: Settings, copy: Copy) -> str:
    """Every table's rows and their sum, every sequence, every right and extension. Raises PipelineError."""

    def lines(one: Settings, database: str) -> list[str]:
        return [*contents.lines_of(one, database), *replacement.extensions(one, database)]

    with ThreadPoolExecutor(max_workers=2) as together:
        was, has = together.submit(lines, copy.settings, LIVE), together.submit(lines, settings, NEW)
        differences = sorted(set(was.result()) ^ set(has.result()))
    if differences:
        raise PipelineError(
            "the loaded database is not the same as the restored one", detail="; ".join(differences[:_NAMED])
        )
    tables = [line.split() for line in was.result() if line.startswith("table ")]
    return f"{len(tables)} tables, {sum(int(one[2]) for one in tables)} rows: sums and rights compared"


def _compare_descriptions(settings: Settings) -> None:
    differences = sorted(set(replacement.described(settings, LIVE)) ^ set(replacement.described(settings, NEW)))
    if differences:
        raise PipelineError(
            "the new database would not be set up as the live one is", detail="; ".join(differences[:_NAMED])
        )


def _carry_over(settings: Settings) -> None:
    """What is known of the backups is not of the moment that is gone back to."""
    replacement.carry_over(settings, "pipeline.restore_points", "name")
    replacement.carry_over(settings, "pipeline.backup_proofs", "id")
    known = points.read_journal(settings)
    replacement.note_points(
        settings,
        ({**msgspec.structs.asdict(one), "offsets": msgspec.json.encode(one.offsets).decode()} for one in known),
    )


def live_answers(settings: Settings) -> None:
    """Raises PassingFault unless it does."""
    try:
        replacement.size(settings)
    except PassingFault as fault:
        fault.hint = "Without --only pipeline both databases are restored, which needs no running PostgreSQL."
        raise
