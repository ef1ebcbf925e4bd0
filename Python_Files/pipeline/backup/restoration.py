"""A restore of the whole cluster: checked before anything is touched, done, proven, undone when it fails."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pipeline.backup import chain, configuration, repository, target, unfinished
from pipeline.backup.plan import Plan, proven_end, without
from pipeline.backup.unfinished import Note
from pipeline.database.connection import connect, passing
from pipeline.errors import PassingFault, PipelineError
from pipeline.operations import leftovers, parts, places, postgresql_server, readiness, servers, supervision
from pipeline.operations.supervision import Supervisor
from pipeline.operations.telling import step, tell, warn
from pipeline.settings import Settings

# The WAL of a week may be read.
_REPLAY_SECONDS = 6 * 3600
_SPARE_BYTES = 256 << 20


def check_room(settings: Settings, planned: Plan) -> None:
    """The old data directory stays, so there must be room for another one. Raises PipelineError."""
    data = configuration.cluster(settings)[0]
    free, wanted = shutil.disk_usage(data.parent).free, planned.base.database_bytes + _SPARE_BYTES
    if free < wanted:
        raise PipelineError(
            "there is no room for a second data directory; the old one is kept until you delete it",
            detail=f"{data.parent} has {free >> 20} MiB left, {wanted >> 20} MiB are needed",
            hint=f"Delete what an earlier restore left ({data.name}-before-restore-...), or free the room otherwise.",
        )


def restore(settings: Settings, planned: Plan) -> Path | None:
    """Do it; PostgreSQL alone runs afterwards. Where the old data directory is now.

    The files are fetched beside the old ones while everything still runs. Raises PipelineError: then the old data
    directory is in its place again and nothing runs, or, if not even the files could be had, nothing was touched.
    """
    data = postgresql_server.directory(settings)
    old = kept_directory(settings) if data.exists() else None
    note = Note(
        kind=unfinished.WHOLE,
        target=str(planned.target),
        began_at=datetime.now(UTC),
        old=str(old or ""),
    )
    unfinished.write(settings, note)
    try:
        planned = fetch(settings, planned, data)
        with servers.alone(settings):
            with step("Pipeline", "stopped"):
                servers.bring_down(settings)
            with _swapped(settings, old):
                _replay(settings, planned)
            (settings.run / "applied").unlink(missing_ok=True)  # tables and base may be older than this version
            unfinished.write(settings, msgspec.structs.replace(note, proven=True))
    except BaseException:
        if old is None or not old.exists():
            unfinished.remove(settings)
        raise
    return old


def settle(settings: Settings, note: Note | None) -> None:
    """Put the old data back that a killed restore has moved away, unless the new data is proven, and say which it is.

    Ends what runs on data that was not proven. The caller holds the operations' lock. Raises PipelineError.
    """
    if note is None or note.kind != unfinished.WHOLE:
        return
    data, old = postgresql_server.directory(settings), Path(note.old) if note.old else None
    repository.end_restores_into(new_directory(settings))
    shutil.rmtree(new_directory(settings), ignore_errors=True)
    begun = f"a restore to {note.target}, begun {note.began_at:%Y-%m-%d %H:%M:%S} UTC,"
    if note.proven:
        warn(
            f"{begun} was cut off when the NEW data was in place and proven" + (f"; the old is in {old}" if old else "")
        )
        (settings.run / "applied").unlink(missing_ok=True)
    elif old is None:
        warn(f"{begun} was cut off, and there was no older data: restore again, for the data in place is not proven")
    else:
        if old.exists():
            servers.bring_down(settings)
            if data.exists():
                data.rename(new_directory(settings))
            old.rename(data)
            shutil.rmtree(new_directory(settings), ignore_errors=True)
        warn(f"{begun} was cut off; the OLD data is in place")
    unfinished.remove(settings)


def new_directory(settings: Settings) -> Path:
    """Where the files are fetched to, beside the data directory."""
    data = configuration.cluster(settings)[0]
    return data.with_name(f"{data.name}-restoring")


def kept_directory(settings: Settings) -> Path:
    """Where the data directory is moved to now."""
    data = configuration.cluster(settings)[0]
    return data.with_name(f"{data.name}-before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")


def fetch(settings: Settings, planned: Plan, replayed_at: Path) -> Plan:
    """The base backup into the new directory, to be started at ``replayed_at``. When it raises, nothing is left.

    The plan whose files were had: of two repositories the other one's, when this one's base backup is damaged.
    """
    try:
        _fetch_from(settings, planned, replayed_at)
    except PipelineError as error:
        planned = without(settings, planned, error)
        warn(f"the other repository is restored from: {planned.instead}")
        _fetch_from(settings, planned, replayed_at)
    return planned


def _fetch_from(settings: Settings, planned: Plan, replayed_at: Path) -> None:
    new = new_directory(settings)
    repository.end_restores_into(new)
    shutil.rmtree(new, ignore_errors=True)
    command = [configuration.program(), f"--config={configuration.config_file(planned.source)}"]
    command += [f"--stanza={configuration.STANZA}", f"--pg1-path={replayed_at}", "archive-get"]
    try:
        with step("Base backup", f"{planned.base.label} fetched and its sums compared"):
            repository.run(
                planned.source,
                "restore",
                f"--pg1-path={new}",
                # It may be moved before it is started.
                f'--recovery-option=restore_command={shlex.join(command).replace("%", "%%")} %f "%p"',
                *target.pgbackrest_arguments(planned.target, planned.base),
            )
        if not (new / "PG_VERSION").exists():
            raise PipelineError("the base backup has no cluster in it", detail=planned.base.label)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


@contextmanager
def _swapped(settings: Settings, old: Path | None) -> Iterator[None]:
    """The new directory in the place of the old one; when the block fails, the other way round again."""
    data, new = postgresql_server.directory(settings), new_directory(settings)
    if old:
        data.rename(old)
    new.rename(data)
    try:
        yield
    except BaseException:
        with suppress(PipelineError):
            servers.bring_down(settings)
        if not leftovers.living(settings) and old is not None:
            shutil.rmtree(data, ignore_errors=True)
            old.rename(data)
            tell("Restore", "failed; the old data directory is in its place again")
        raise


def _replay(settings: Settings, planned: Plan) -> None:
    """Start PostgreSQL alone, wait until it has read its WAL, and prove how far it came."""
    supervisor: Supervisor = servers.start_supervisor(settings, (parts.POSTGRESQL,))
    supervisor.start(parts.POSTGRESQL, parts.POSTGRESQL)
    readiness.wait(
        settings,
        parts.POSTGRESQL,
        lambda: _has_ended(settings),
        _REPLAY_SECONDS,
        told=f"has replayed {len(planned.segments)} segments of WAL",
    )
    tell("Proof", proven_end(planned, postgresql_server.directory(settings), timeline(settings)))


def _has_ended(settings: Settings) -> bool:
    """Whether the recovery is over. While it lasts PostgreSQL answers, too."""
    try:
        servers.postgresql_answers(settings)
    except PassingFault:
        raise
    except PipelineError as error:
        # A password that was changed after that moment can be set only when the recovery is over.
        raise PassingFault(error.message, detail=error.detail) from None
    return not asked(settings, "SELECT pg_is_in_recovery()")


def timeline(settings: Settings) -> int:
    """The timeline of the server that answers."""
    return chain.timeline(str(asked(settings, "SELECT pg_walfile_name(pg_current_wal_lsn())")))


def asked(settings: Settings, question: str) -> object:
    """The one value of the answer. Raises PassingFault."""
    connection = connect(settings, role="postgres", database="postgres", name="restore")
    try:
        with passing(), connection, connection.cursor() as cursor:
            cursor.execute(question)
            found: object = cursor.fetchone()[0]
            return found
    finally:
        connection.close()


def runs(settings: Settings) -> bool:
    """Whether the pipeline runs."""
    return supervision.daemon(settings) is not None


def installed() -> None:
    """Raises PipelineError when a program is missing that a start needs; better now than with nothing running."""
    places.installed()
