"""The file ``.env``: made from ``.env.example`` with secrets of its own, and brought up to date by an update."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline import settings
from pipeline.errors import SettingsError
from pipeline.operations import files
from pipeline.operations.telling import tell

EXAMPLE = settings.ROOT / ".env.example"

_PLAIN = re.compile(r"^[\w./:@,+=%-]*$", re.ASCII)
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Z][A-Z0-9_]*)\s*=.*$")


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
    seen = set()
    lines = []
    for line in example.splitlines():
        match = _LINE.match(line)
        name = match.group(1) if match else ""
        seen.add(name)
        # Every line of the name: of two the last one counts.
        lines.append(f"{name}={quote(name, values[name])}" if name in values else line)
    lines += [f"{name}={quote(name, value)}" for name, value in values.items() if name not in seen]
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
        _write(path, fill(text, new), owner)
        added = ", ".join(name for name in new if name != "PIPELINE_MODE")
        tell("Settings", f"{path.name} completed: {added or 'PIPELINE_MODE'}" if there else f"{path.name} written")
    else:
        _close(path, owner)
        tell("Settings", f"{path.name} is there")
    return checked


def change(path: Path, new: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> settings.Settings:
    """Put ``new`` into a settings file that is there, and return the settings as they are then.

    All else stays: comments, order, owner. Everything is checked before anything is written. Raises SettingsError, also
    for a value that would have no effect, because the environment gives another one.
    """
    path = path.resolve()  # the file itself is replaced, not a link to it
    with _alone(path):
        values = settings.read_file(path)
        checked = settings.parse({**values, **environ, **new})
        for name, value in new.items():
            if environ.get(name, value).strip() != value:
                raise SettingsError(
                    f"{name} is set in the environment, which goes before {path.name}",
                    detail=f"the environment says {environ[name]!r}, so {value!r} in {path.name} would have no effect",
                    hint=f"Call this with {name} removed from the environment (unset {name}).",
                )
        if any(values.get(name) != value for name, value in new.items()):
            status = path.stat()
            # A group that its owner is not in any more is none that anybody could give it.
            keep = os.geteuid() == 0 or status.st_gid in (os.getegid(), *os.getgroups())
            owner = (status.st_uid, status.st_gid) if keep else None
            _write(path, fill(path.read_text(encoding="utf-8"), new), owner)
        return checked


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Of two who change the file at once the second waits, and so keeps what the first one wrote."""
    try:
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(f"{path.parent} cannot be looked into", detail=str(error)) from None
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(path: Path, text: str, owner: tuple[int, int] | None) -> None:
    try:
        files.write(path, text, 0o600, owner)
    except OSError as error:
        raise SettingsError(
            f"the settings file {path} cannot be written",
            detail=str(error),
            hint=f"Call this as the user that {path.parent} belongs to, or as root.",
        ) from None


def _close(path: Path, owner: tuple[int, int] | None) -> None:
    """The file is its owner's alone, whoever wrote it."""
    status = path.stat()
    if owner is not None and (status.st_uid, status.st_gid) != owner:
        os.chown(path, *owner)
    if status.st_mode & 0o077:
        path.chmod(0o600)
        tell("Settings", f"{path.name} was open to other users and is closed now")
