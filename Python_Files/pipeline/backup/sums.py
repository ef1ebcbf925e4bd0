"""Checksums of the files that pgBackRest does not check: histories and ends of timelines, labels and lists of base
backups, and the copies of the settings file.

They stand beside the copies in the format of sha256sum(1), so that they can be checked without this project:
``cd BACKUP_DIR && sha256sum --check configuration/SHA256SUMS``. A file is noted when a backup first meets it.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection
from pathlib import Path

from pipeline.backup import configuration
from pipeline.errors import PipelineError
from pipeline.settings import Settings

_LINE = re.compile(r"^([0-9a-f]{64})  (\S.*)$")
_REWRITTEN_SECONDS = 2


def list_file(settings: Settings) -> Path:
    return configuration.copies(settings) / "SHA256SUMS"


def note(settings: Settings, changed: Collection[Path] = ()) -> None:
    """Note the files that are new, and those that are known to have ``changed``; forget what is gone.

    Raises OSError, and PipelineError for a list that cannot be understood.
    """
    known = _read(settings)
    now = {}
    for path in _files(settings):
        name = str(path.relative_to(settings.backup))
        now[name] = known[name] if name in known and path not in changed else _sum(path)
    if now != known:
        text = "".join(f"{digest}  {name}\n" for name, digest in sorted(now.items()))
        configuration.write_private(list_file(settings), (text + _own(text)).encode())


def is_damaged(settings: Settings, path: Path) -> bool:
    """Whether the file is another one than was noted. Raises OSError when it cannot be read, PipelineError as note."""
    known = _read(settings).get(str(path.relative_to(settings.backup)))
    return known is not None and known != _sum(path)


def damaged(settings: Settings) -> list[str]:
    """What is not as it was noted, in words. Raises OSError."""
    if not _faults(settings):
        return []
    time.sleep(_REWRITTEN_SECONDS)  # one that is just being written is not damaged
    return _faults(settings)


def _faults(settings: Settings) -> list[str]:
    try:
        known = _read(settings)
    except PipelineError as error:
        return [f"{error.message}: {error.detail}"]
    paths = [(settings.backup / name, digest) for name, digest in known.items()]
    return [f"a file of the backups is damaged: {path}" for path, its in paths if path.exists() and _sum(path) != its]


def _files(settings: Settings) -> list[Path]:
    repository = configuration.repository(settings)
    archive = repository / "archive" / configuration.STANZA
    found = [
        *archive.glob("*/*.history"),
        *archive.glob("*/*/*.backup"),
        *archive.glob("*/*/*.partial-*"),
        *(repository / "backup" / configuration.STANZA / "backup.history").glob("*/*"),
        *configuration.copies(settings).glob("env*"),
    ]
    return [path for path in found if path.is_file()]


def _read(settings: Settings) -> dict[str, str]:
    path = list_file(settings)
    known = {}
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise _damaged_list(path, str(error)) from None
    lines = text.splitlines()
    if lines and lines[-1].startswith("# "):  # one of an older version has no sum of its own
        body = "".join(f"{line}\n" for line in lines[:-1])
        if body + _own(body) != text:
            raise _damaged_list(path, "its own sum is another one")
        lines.pop()
    for number, line in enumerate(lines, 1):
        matched = _LINE.match(line)
        if matched is None:
            raise _damaged_list(path, f"line {number}")
        known[matched[2]] = matched[1]
    return known


def _own(text: str) -> str:
    """The list's own sum, in a line that is a comment to sha256sum."""
    return f"# {hashlib.sha256(text.encode()).hexdigest()}\n"


def _damaged_list(path: Path, why: str) -> PipelineError:
    return PipelineError(
        "the list of the backups' checksums is damaged",
        detail=f"{path}, {why}",
        hint="Remove it: the next Database/Backup.sh makes it anew. The backups are not touched by that.",
    )


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
