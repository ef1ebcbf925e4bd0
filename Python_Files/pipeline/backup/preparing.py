"""Making the repositories ready for this cluster, each once: what is found in them is never overwritten."""

from __future__ import annotations

import time

from pipeline.backup import configuration, repository
from pipeline.backup.repository import Contents, Repository
from pipeline.database.connection import connect, passing
from pipeline.database.queries import query
from pipeline.errors import PassingFault, PipelineError
from pipeline.settings import Settings

_LOCKED_SECONDS = 30
# PostgreSQL pauses for a minute after a segment failed three times, as it does while there is no repository.
_FIRST_SEGMENT_SECONDS = 150


def prepare(settings: Settings) -> tuple[list[Repository], list[PipelineError]]:
    """Make every repository ready for this cluster, which must be running: those that are, and why others are not.

    At once when all are ready. The first time it also waits until one WAL segment went the whole way. Raises
    PassingFault when PostgreSQL does not answer, and the first fault when no repository is ready.
    """
    configuration.write_configuration(settings)
    system_id = _system_id(settings)
    ready, faults = [], []
    for view in configuration.views(settings):
        try:
            ready.append(Repository(view, _prepare(settings, view, system_id)))
        except PassingFault:
            raise
        except PipelineError as error:
            faults.append(error)
        except OSError as error:
            faults.append(PipelineError("the repository of the backups cannot be used", detail=str(error)))
    if not ready:
        raise faults[0]
    return ready, faults


def _prepare(settings: Settings, view: Settings, system_id: int) -> Contents:
    """Raises PipelineError; one says that the repository holds the backups of another cluster, which are left as they
    are, and one that it is gone: an empty one in its place, on the disk below a missing mount, would split the backups
    in two without a word.
    """
    configuration.make_place(view)
    place, prepared = str(configuration.repository(view)), configuration.prepared_file(settings)
    contents = repository.read(view)
    if contents.system_id not in (0, system_id):
        raise PipelineError(
            "the repository holds the backups of another database cluster",
            detail=f"{place} is of cluster {contents.system_id}, PostgreSQL's data is cluster {system_id}",
            hint=f"To begin anew and keep them, move {place} and the files beside it to another directory; or set "
            f"{setting_of(settings, view)} to another one.",
        )
    known = configuration.prepared(settings)
    if not contents.system_id:
        if place in known:
            forget = f"remove {prepared}"
            if settings.pipeline_mode == "docker":
                forget = f"docker compose run --rm --no-deps setup-postgres rm {prepared}"
            raise PipelineError(
                "the repository of the backups is gone",
                detail=f"{place} was prepared for this cluster, and now nothing is in it",
                hint=f"Mount its disk or bring it back. If it is lost, {forget}, and a new one is begun.",
            )
        _create_stanza(view)
    if place not in known:
        configuration.write_private(prepared, "".join(f"{one}\n" for one in [*known, place]).encode())
        configuration.write_configuration(settings)  # from now on WAL goes there too
    if not contents.system_id:
        repository.run(view, "check", f"--archive-timeout={_FIRST_SEGMENT_SECONDS}")
        contents = repository.read(view)
    return contents


def setting_of(settings: Settings, view: Settings) -> str:
    """The name of the setting that says where this repository is."""
    return "BACKUP_DIR" if view.backup == settings.backup else "BACKUP_DIR_2"


def _create_stanza(settings: Settings) -> None:
    """PostgreSQL may be trying to archive just then, and what it started holds the same lock for a second or two."""
    deadline = time.monotonic() + _LOCKED_SECONDS
    while True:
        try:
            repository.run(settings, "stanza-create")
        except PipelineError as error:
            if "[050]" not in error.detail or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _system_id(settings: Settings) -> int:
    connection = connect(settings, role="postgres", database="postgres", name="backup")
    try:
        with passing(), connection, connection.cursor() as cursor:
            cursor.execute(query("system_id"))
            return int(cursor.fetchone()[0])
    finally:
        connection.close()
