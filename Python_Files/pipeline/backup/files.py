"""What NocoDB keeps outside of its database: the pictures and whatever else people attached to rows.

In each directory of backups there is, below ``files/``:

``contents/ab/ab01...``     each content once, under its SHA-256 sum, as it is
``lists/TIME-SUM.zst``      what was there at that time, one list per change; SUM is half of its own sum

A list is written when all its contents are safe, and nothing is ever changed, so that whatever is cut short leaves what
was there before. A row names its file only after the file is there: so a list that was begun after a restore point has
all that the point's rows name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard

from pipeline.backup import place
from pipeline.errors import PipelineError
from pipeline.operations import nocodb_server
from pipeline.settings import Settings

_PIECE = 1 << 20
_FORM = "%Y%m%dT%H%M%S.%fZ"
# What a container of the service "backup", and one that restores, has of NocoDB.
_MOUNTED = Path("/var/lib/nocodb")


class File(msgspec.Struct, frozen=True, array_like=True):
    """``path`` is relative, ``sum`` the SHA-256 sum, ``size`` in bytes, ``changed`` in nanoseconds since 1970."""

    path: str
    sum: str
    size: int
    changed: int


class List(NamedTuple):
    """What was there at a moment."""

    taken_at: datetime
    path: Path


class Saved(NamedTuple):
    """``added`` contents were new, ``added_bytes`` together, of ``files`` in all; ``unread`` could not be read."""

    files: int
    added: int
    added_bytes: int
    unread: list[str]


class Restored(NamedTuple):
    """Files: missing ones that were added, damaged ones replaced, ones newer than the moment left alone, ones lost."""

    added: int
    replaced: int
    newer: int
    lost: list[str]


def directory(settings: Settings) -> Path:
    """NocoDB's own directory."""
    return _MOUNTED if settings.pipeline_mode == "docker" else nocodb_server.directory(settings)


def save(settings: Settings) -> Saved:
    """Bring the store up to date; ``settings`` are those of one directory of backups. Raises OSError, PipelineError.

    What has the same size and time as in the newest list is taken for unchanged: that is what makes it cheap.
    """
    began = datetime.now(UTC)
    known = lists(settings)
    before: dict[str, File] = {}
    with suppress(PipelineError):  # a damaged list is the proof's to tell; the next one replaces it
        before = {one.path: one for one in _read(known[-1])} if known else {}
    found, unread, added, added_bytes = [], [], 0, 0
    fresh: set[Path] = set()
    source = directory(settings)
    for path, name in _walk(source):
        try:
            stat = path.stat(follow_symlinks=False)
            old = before.get(name)
            same = old is not None and (old.size, old.changed) == (stat.st_size, stat.st_mtime_ns)
            if old is None or not same or not _content(settings, old.sum).exists():
                content, is_new = _keep(settings, path)
                if is_new:
                    added, added_bytes = added + 1, added_bytes + stat.st_size
                    fresh.add(_content(settings, content).parent)
                old = File(name, content, stat.st_size, stat.st_mtime_ns)
            found.append(old)
        except FileNotFoundError:
            continue  # it was removed meanwhile
        except PermissionError as error:
            unread.append(str(error.filename))
    for folder in fresh:
        place.make_durable(folder)
    found.sort(key=lambda one: one.path)
    if found != sorted(before.values(), key=lambda one: one.path):
        _write(settings, began, found)
    return Saved(len(found), added, added_bytes, unread)


def _walk(source: Path) -> Iterator[tuple[Path, str]]:
    """All plain files, and their paths in the lists."""
    for folder, _, names in os.walk(source):
        for name in names:
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink():
                yield path, os.fsencode(path.relative_to(source)).decode("utf-8", "backslashreplace")


def _content(settings: Settings, content: str) -> Path:
    return place.stored(settings) / "contents" / content[:2] / content


def _keep(settings: Settings, source: Path) -> tuple[str, bool]:
    """Copy a content into the store unless it is there; its sum, and whether it was new."""
    contents = place.stored(settings) / "contents"
    contents.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = contents / f".unfinished.{os.getpid()}"
    digest = hashlib.sha256()
    try:
        with (
            source.open("rb") as reading,
            os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as writing,
        ):
            while piece := reading.read(_PIECE):
                digest.update(piece)
                writing.write(piece)
            writing.flush()
            path = _content(settings, digest.hexdigest())
            if path.exists():
                return path.name, False
            os.fsync(writing.fileno())
        path.parent.mkdir(mode=0o700, exist_ok=True)
        unfinished.replace(path)
        return path.name, True
    finally:
        unfinished.unlink(missing_ok=True)


def _write(settings: Settings, moment: datetime, found: Sequence[File]) -> None:
    folder = place.stored(settings) / "lists"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = zstandard.ZstdCompressor().compress(msgspec.json.encode(found))
    place.write_private(folder / f"{moment.strftime(_FORM)}-{_sum(content)}.zst", content)


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def lists(settings: Settings) -> list[List]:
    """Those of one directory of backups, oldest first."""
    found = []
    for path in (place.stored(settings) / "lists").glob("2*-*.zst"):
        with suppress(ValueError):
            found.append(List(datetime.strptime(path.name.partition("-")[0], _FORM).replace(tzinfo=UTC), path))
    return sorted(found)


def _read(one: List) -> list[File]:
    """Raises PipelineError for a list that is damaged."""
    try:
        content = one.path.read_bytes()
        if _sum(content) != one.path.name.partition("-")[2].removesuffix(".zst"):
            raise PipelineError("a list of stored files is damaged", detail=str(one.path))
        return msgspec.json.decode(zstandard.ZstdDecompressor().decompress(content), type=list[File])
    except OSError as error:
        raise PipelineError("a list of stored files cannot be read", detail=str(error)) from None


def forget_before(settings: Settings, moment: datetime) -> None:
    """Drop the lists that only moments before ``moment`` need, and what is in no list any more. Raises OSError.

    Nothing else may write meanwhile.
    """
    known = lists(settings)
    needed = [one for one in known if one.taken_at > moment]
    needed = [one for one in known if one.taken_at <= moment][-1:] + needed
    for one in known:
        if one not in needed:
            one.path.unlink()
    used = {file.sum for one in needed for file in _read(one)}
    for path in (place.stored(settings) / "contents").glob("*/*"):
        if path.name not in used:
            path.unlink()
    for path in (place.stored(settings) / "contents").glob(".unfinished.*"):
        path.unlink()


def damaged(settings: Settings) -> list[str]:
    """What of the store is not what its name says, or missing, in words. Reads all of it."""
    faults: list[str] = []
    wanted: dict[str, str] = {}
    for one in lists(settings):
        try:
            wanted.update({file.sum: file.path for file in _read(one)})
        except PipelineError as error:
            faults.append(f"{error.message}: {error.detail}")
    wrong = [(content, name) for content, name in sorted(wanted.items()) if not _is_whole(_content(settings, content))]
    if wrong:
        faults.append(
            f"{len(wrong)} of NocoDB's files are damaged or missing in the backups, such as "
            f"{_content(settings, wrong[0][0])}, which is {wrong[0][1]} (delete it, and Backup.sh takes it anew)"
        )
    return faults


def _is_whole(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == path.name
    except OSError:
        return False


def at(settings: Settings, moment: datetime) -> tuple[dict[str, File], list[str]]:
    """The files of a moment, by path, and which lists are damaged; ``settings`` are those of one directory.

    Those of the last list before it, and of the first one after it those that were there before it.
    """
    known = lists(settings)
    found: dict[str, File] = {}
    faults = []
    before, after = ([one for one in known if (one.taken_at > moment) is later] for later in (False, True))
    for one in before[-1:] + after[:1]:
        try:
            for file in _read(one):
                if one.taken_at <= moment or file.changed <= moment.timestamp() * 1e9:
                    found[file.path] = file
        except PipelineError as error:
            faults.append(f"{error.message}: {error.detail}")
    return found, faults


def restore(settings: Settings, moment: datetime | None = None, *, write: bool = True) -> Restored:
    """Put back NocoDB's files of a moment (None: the newest), from whichever directory of backups has each.

    Missing files are added, and those whose content is another although they are not newer than the moment are
    replaced; newer ones are left alone. It may be repeated, while NocoDB runs as well. ``lost`` names what no directory
    has unharmed; the rest is put back all the same. Without ``write`` it is only told what would be done.
    Raises PipelineError when nothing can be written.
    """
    moment = moment or datetime.now(UTC)
    target = directory(settings)
    wanted: dict[str, File] = {}
    lost: list[str] = []
    added = replaced = newer = 0
    views = place.views(settings)
    for view in reversed(views):
        found, faults = at(view, moment)
        wanted.update(found)
        lost += faults
    if wanted and len(views) > 1 and len(lost) < len(views):
        lost = []  # the other directory has the same list
    try:
        for file in wanted.values():
            path = target / file.path
            if not path.resolve().is_relative_to(target.resolve()):
                continue
            there = path.stat() if path.is_file() else None
            if there and there.st_mtime_ns > moment.timestamp() * 1e9:
                newer += 1
            elif there and there.st_size == file.size and _digest(path) == file.sum:
                continue
            elif not (_put(views, file, path) if write else _source(views, file)):
                lost.append(file.path)
            elif there:
                replaced += 1
            else:
                added += 1
    except OSError as error:
        raise PipelineError("NocoDB's files cannot be put back", detail=str(error)) from None
    return Restored(added, replaced, newer, lost)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _source(views: Sequence[Settings], file: File) -> Path | None:
    """Where its content lies unharmed."""
    return next((one for one in (_content(view, file.sum) for view in views) if _is_whole(one)), None)


def _put(views: Sequence[Settings], file: File, path: Path) -> bool:
    """One file from the store into its place, whole or not at all; whether it could be had."""
    source = _source(views, file)
    if source is None:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name[:80]}.{os.getpid()}")
    try:
        shutil.copyfile(source, unfinished)
        os.utime(unfinished, ns=(file.changed, file.changed))
        # Its directory says whose it is to be, when root puts it back.
        owner = path.parent.stat()
        os.chown(unfinished, owner.st_uid, owner.st_gid)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return True


def told(found: Restored) -> str:
    """What was put back, in one line for a person."""
    text = f"{found.added} put back, {found.replaced} replaced, {found.newer} newer ones left alone"
    return text + (f", {len(found.lost)} LOST, such as {found.lost[0]}" if found.lost else "")
