"""The note of a restore that is at work: what a start or another restore finds when it was cut off.

It is written before anything is changed and removed when everything is done or undone. Who finds it while nobody holds
the lock knows that the restore was killed, and in which of the two states it has left the data.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from pipeline.backup import configuration, scratch
from pipeline.database import replacement
from pipeline.errors import PipelineError
from pipeline.operations import lock
from pipeline.operations.lock import Busy
from pipeline.operations.telling import warn
from pipeline.settings import Settings

WHOLE, ONLY_PIPELINE = "whole", "pipeline"


class Note(msgspec.Struct, kw_only=True):
    """``old`` is where the old data is kept when it was there: a directory, or a database of the cluster.

    ``proven``: the new data is in place, and is what was asked for (of a whole restore).
    """

    kind: str
    target: str
    began_at: datetime
    old: str
    proven: bool = False


def lock_file(settings: Settings) -> Path:
    """Held for as long as a restore is at work."""
    return settings.run / "restore.lock"


def _file(settings: Settings) -> Path:
    return settings.run / "restore.json"


def write(settings: Settings, note: Note) -> None:
    """It survives a power cut from now on. Raises OSError."""
    configuration.write_private(_file(settings), msgspec.json.encode(note))


def remove(settings: Settings) -> None:
    _file(settings).unlink(missing_ok=True)


def read(settings: Settings) -> Note | None:
    """The note, if there is one. Raises PipelineError when it cannot be understood."""
    try:
        return msgspec.json.decode(_file(settings).read_bytes(), type=Note)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise PipelineError("the note of a restore cannot be read", detail=f"{_file(settings)}: {error}") from None


def cut_off(settings: Settings) -> Note | None:
    """The note of a restore that was killed; None while it is at work, or when there is none."""
    return None if lock.is_held(lock_file(settings)) else read(settings)


def settle(settings: Settings, note: Note | None) -> None:
    """Clear away what a killed ``--only pipeline`` has left, and say which data is in place. PostgreSQL must answer.

    ``note`` of something else is none of its business. Raises PassingFault.
    """
    if note is None or note.kind != ONLY_PIPELINE:
        return
    exchanged = replacement.exists(settings, note.old)
    remove_scratch(settings)
    replacement.drop_new(settings)
    remove(settings)
    begun = f"a restore of the pipeline's database to {note.target}, begun {note.began_at:%Y-%m-%d %H:%M:%S} UTC,"
    if exchanged:
        warn(f"{begun} was cut off when the NEW data was in place; the old data is in the database {note.old}")
    else:
        warn(f"{begun} was cut off; the OLD data is in place, nothing of it was changed")


def remove_scratch(settings: Settings) -> None:
    """What a killed run has left of a scratch copy, unless another one is in use."""
    try:
        with lock.held(scratch.lock_file(settings), Busy()):
            scratch.remove_leftovers(scratch.place(settings))
    except Busy:
        return
