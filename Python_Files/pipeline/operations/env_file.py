"""The file ``.env``: made from ``.env.example`` with secrets of its own, and brought up to date by an update."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from pipeline import settings
from pipeline.errors import SettingsError
from pipeline.operations import files
from pipeline.operations.telling import tell

EXAMPLE = settings.ROOT / ".env.example"

_PLAIN = re.compile(r"^[\w./:@,+=%-]*$", re.ASCII)
_LINE = re.compile(r"^([A-Z][A-Z0-9_]*)=.*$")


def generate(name: str) -> str:
    """A secret for the setting ``name``: 32 characters, 192 random bits."""
    secret = secrets.token_urlsafe(24)
    if len(secret) != 32:
        raise AssertionError(f"{name}: a secret has 32 characters")
    return secret


def quote(name: str, value: str) -> str:
    """The value as it stands in the file. Raises SettingsError for one that no line can hold."""
    if _PLAIN.match(value):
        return value
    if "\n" in value or "\r" in value:
        raise SettingsError(f"{name} has a line break", hint="Give it in one line.")
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fill(example: str, values: Mapping[str, str]) -> str:
    """The example with ``values`` put in; comments and order stay, values without a line of their own are appended."""
    left = dict(values)
    lines = []
    for line in example.splitlines():
        match = _LINE.match(line)
        name = match.group(1) if match else ""
        lines.append(f"{name}={quote(name, left.pop(name))}" if name in left else line)
    lines += [f"{name}={quote(name, value)}" for name, value in left.items()]
    return "\n".join(lines) + "\n"


def prepare(
    path: Path, environ: Mapping[str, str] = os.environ, *, mode: str = "", owner: tuple[int, int] | None = None
) -> settings.Settings:
    """Make or complete the settings file and return the settings. Everything is checked before anything is written.

    A new file has the values that the environment gives, and generated secrets. One that is there keeps its values and
    gets the settings that it lacks, for it is of an older version; ``mode``, if given, is recorded in both. The file is
    readable by its owner alone. Raises SettingsError.
    """
    there = path.exists()
    values = settings.read_file(path) if there else {}
    settings.check_names(path, values)
    new: dict[str, str] = {}
    if not there:
        new = {name: environ[name] for name in settings.defaults() if name in environ}
    for name, default in settings.defaults().items():
        if name in values or name in new or name == "PIPELINE_MODE":
            continue
        if name in settings.secret_names():
            new[name] = environ.get(name) or generate(name)
        elif there:
            new[name] = environ.get(name, str(default).lower() if isinstance(default, bool) else str(default))
    if mode and values.get("PIPELINE_MODE", "") != mode:
        new["PIPELINE_MODE"] = mode
    given = {name: environ[name] for name in settings.defaults() if name in environ}
    if mode:
        given["PIPELINE_MODE"] = mode  # this is its place, whatever the environment says
    checked = settings.parse({**values, **new, **given})
    if new:
        text = path.read_text(encoding="utf-8") if there else EXAMPLE.read_text(encoding="utf-8")
        files.write(path, fill(text, new), 0o600, owner)
        added = ", ".join(name for name in new if name != "PIPELINE_MODE")
        tell("Settings", f"{path.name} completed: {added or 'PIPELINE_MODE'}" if there else f"{path.name} written")
    else:
        _close(path, owner)
        tell("Settings", f"{path.name} is there")
    return checked


def _close(path: Path, owner: tuple[int, int] | None) -> None:
    """The file is its owner's alone, whoever wrote it."""
    status = path.stat()
    if owner is not None and (status.st_uid, status.st_gid) != owner:
        os.chown(path, *owner)
    if status.st_mode & 0o077:
        path.chmod(0o600)
        tell("Settings", f"{path.name} was open to other users and is closed now")
