"""What of the project was applied to the data: so that a second run has nothing to do, and an update has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from pipeline import topics
from pipeline.operations import files, parts
from pipeline.settings import ROOT, Settings

# Whatever decides what is in the databases and topics: the scripts, the programs, the packages, the settings.
_SOURCES = (
    "Database-Init/*.sql",
    "Python_Files/pipeline/**/*.py",
    "Python_Files/pipeline/**/*.sql",
    "Administrator_scripts/native/*/*",
    "requirements.lock",
)


def fingerprint(settings: Settings, root: Path = ROOT) -> str:
    """One value for the project's state and the settings together."""
    # How many processes a stage has is in no database and no topic.
    unscaled = dict.fromkeys((parts.processes_setting(stage).lower() for stage in topics.STAGES), 1)
    digest = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(settings, **unscaled)))
    for pattern in _SOURCES:
        for path in sorted(root.glob(pattern)):
            if path.is_file():
                digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _stamp(settings: Settings) -> Path:
    return settings.run / "applied"


def is_current(settings: Settings) -> bool:
    path = _stamp(settings)
    return path.exists() and path.read_text(encoding="ascii").strip() == fingerprint(settings)


def forget(settings: Settings) -> None:
    """Some of the data is new, or an older one's: the next start applies everything."""
    _stamp(settings).unlink(missing_ok=True)


def record(settings: Settings) -> None:
    files.write(_stamp(settings), fingerprint(settings) + "\n")
