"""Reset.sh: all data of this project away, and nothing else."""

from __future__ import annotations

import shutil

from pipeline import backup
from pipeline.errors import PipelineError
from pipeline.operations import places, stop
from pipeline.operations.asking import confirm
from pipeline.operations.telling import tell
from pipeline.settings import Settings


def reset(settings: Settings, *, yes: bool) -> None:
    """Stop everything and empty the data directory. Raises PipelineError for a directory without the project's mark."""
    data = settings.data
    if not data.exists():
        tell("Reset", "there is no data")
        return
    if data.is_symlink() or not (data / places.MARKER).is_file():
        raise PipelineError(
            "the data directory does not bear the mark of this project, so nothing is deleted",
            detail=f"DATA_DIR is {data}; there is no plain file {places.MARKER} in it",
        )
    places_of_backups = [settings.backup, *([settings.backup_2] if settings.backup_2 else [])]
    outside = [place for place in places_of_backups if not place.resolve().is_relative_to(data.resolve())]
    print(
        f"All data in {data} is deleted for good: people, topics, NocoDB's base, logs"
        + ("" if len(outside) == len(places_of_backups) else ", and the BACKUPS in it")
        + (f". The backups in {' and '.join(map(str, outside))} stay." if outside else "."),
        flush=True,
    )
    confirm(yes)
    stop.stop(settings)
    for place in outside:
        aside = backup.set_aside(place)
        if aside:
            tell("Reset", f"the backups are in {aside}")
    # The mark goes last: what is cut short can be repeated.
    for entry in sorted(data.iterdir(), key=lambda entry: entry.name == places.MARKER):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    tell("Reset", f"{data} is empty; ./Project_Start.sh begins anew")


def remove_source(settings: Settings, source: str, *, yes: bool) -> None:
    """Remove the people of one source from both stores."""
    print(f"All people whose source is {source} are removed from PostgreSQL and NocoDB.", flush=True)
    confirm(yes)
    from pipeline import removal

    removed = removal.remove_source(settings, source)
    tell("Reset", f"people of {source} removed: {removed}")
