"""pgBackRest: the only module that runs it, and what its repository holds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pipeline.backup import configuration
from pipeline.errors import PipelineError
from pipeline.settings import Settings

_INSTALL = "Run ./Project_Initialize.sh, which installs what is missing."
_LOCKED_SECONDS = 30
_REWRITTEN_SECONDS = 2
_PUSH_ERROR = re.compile(r"^repo(\d+): \[\w+\] (.*)$", re.MULTILINE)
_SEGMENT_FILE = re.compile(r"^([0-9A-F]{24})-[0-9a-f]{40}(\.\w+)?$")


class BaseBackup(NamedTuple):
    """A base backup: when it began and ended, the first and last WAL segment it needs, sizes in bytes."""

    label: str
    kind: str
    started_at: datetime
    ended_at: datetime
    first_segment: str
    last_segment: str
    database_bytes: int
    repository_bytes: int
    faulty: bool


class Contents(NamedTuple):
    """What the repository holds. ``archive_id`` is "" and ``backups`` empty before it was prepared."""

    archive_id: str
    system_id: int
    backups: list[BaseBackup]


def refuse_root() -> None:
    """Raises PipelineError for root."""
    if os.geteuid() == 0:
        raise PipelineError(
            "a backup must not run as root",
            detail="files of root in the repository would stop the archiving of the WAL",
            hint="Use Database/Backup.sh, which changes to the user of the setting RUN_AS_USER.",
        )


def run(settings: Settings, verb: str, *arguments: str) -> str:
    """Run pgBackRest; its standard output. Raises PipelineError: it failed, is missing, or root calls it."""
    refuse_root()
    command = [
        configuration.program(),
        f"--config={configuration.config_file(settings)}",
        f"--stanza={configuration.STANZA}",
        *arguments,
        verb,
    ]
    # No variable of the caller's reaches it: PGBACKREST_* and PG* would change where it reads and writes.
    environment = {"PATH": configuration.PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise PipelineError("pgBackRest is not installed", hint=_INSTALL) from None
    if done.returncode != 0:
        raise PipelineError(
            f"pgBackRest could not do '{verb}'",
            detail=_said(done.stdout + done.stderr) or f"it ended with {done.returncode}",
        )
    return done.stdout


def _said(output: str) -> str:
    """Its error in one line, without its time stamps and indentation."""
    text = " ".join(output.partition("ERROR:")[2].split())
    return re.sub(r" \d{4}-\d\d-\d\d [\d:.]+ P\d\d +\w+: .*", "", text) or " ".join(output.split())[-300:]


def end_restores_into(directory: Path) -> None:
    """End the pgBackRest of a killed run that may still be writing into the directory."""
    deadline = time.monotonic() + _LOCKED_SECONDS
    while left := list(_restores_into(directory)):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise PipelineError("a restore that was cut off does not end", detail=f"processes {left}")
        time.sleep(0.1)


def _restores_into(directory: Path) -> Iterator[int]:
    wanted = f"--pg1-path={directory}".encode()
    for process in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            pid, arguments = int(process.name), (process / "cmdline").read_bytes().split(b"\0")
            if wanted in arguments and arguments[0].endswith(b"pgbackrest"):
                yield pid


def read(settings: Settings) -> Contents:
    """What the repository holds; needs no PostgreSQL. Raises as run does, and PipelineError when it is damaged."""
    [stanza] = msgspec.json.decode(run(settings, "info", "--output=json"))
    code, message = stanza["status"]["code"], stanza["status"]["message"]
    if not stanza["db"] and code in (1, 3):
        return Contents("", 0, [])
    if code not in (0, 2):
        told = [one["status"]["message"] for one in stanza.get("repo", ()) if one["status"]["code"] != 0]
        why = " ".join("; ".join(told or [message]).split())
        raise PipelineError("the repository cannot be used", detail=f"{configuration.repository(settings)}: {why}")
    newest = stanza["db"][-1]
    backups = [_base_backup(one) for one in stanza["backup"] if one["database"]["id"] == newest["id"]]
    return Contents(f"{newest['version']}-{newest['id']}", newest["system-id"], backups)


def _base_backup(told: dict[str, Any]) -> BaseBackup:
    return BaseBackup(
        label=told["label"],
        kind=told["type"],
        started_at=datetime.fromtimestamp(told["timestamp"]["start"], UTC),
        ended_at=datetime.fromtimestamp(told["timestamp"]["stop"], UTC),
        first_segment=told["archive"]["start"] or "",
        last_segment=told["archive"]["stop"] or "",
        database_bytes=told["info"]["size"],
        repository_bytes=told["info"]["repository"]["delta"],
        faulty=bool(told["error"]),
    )


class Repository(NamedTuple):
    """One that can be written: the settings that name it alone, and what it holds."""

    settings: Settings
    contents: Contents


def check_files(settings: Settings) -> list[str]:
    """Every file of base backups and WAL against its checksum; what is wrong, in words. Raises as run does.

    Its status is no help, it is 0 in any case. A damaged manifest and a segment that is missing are not found by it.
    """
    told = run(settings, "verify", "--output=text")
    if "status: error" not in told:
        return []
    wrong = [" ".join(line.split()) for line in told.splitlines() if re.search(r"[1-9]\d*|invalid|missing", line)]
    return [f"files of the repository are damaged: {'; '.join(wrong)[:400]}"]


def check_twins(settings: Settings, contents: Contents) -> list[str]:
    """Each list of pgBackRest is there twice, and a damaged one is silently replaced by the other when it is read.

    Which of the two is damaged stays open; while there are two, one of them can still be read.
    """
    stanza = configuration.repository(settings)
    lists = [
        stanza / "archive" / configuration.STANZA / "archive.info",
        stanza / "backup" / configuration.STANZA / "backup.info",
        *(stanza / "backup" / configuration.STANZA / one.label / "backup.manifest" for one in contents.backups),
    ]
    suspects = [path for path in lists if not _has_twin(path)]
    if suspects:
        time.sleep(_REWRITTEN_SECONDS)  # one that is just being written is not damaged
    return [f"a list of the repository is damaged: {path}" for path in suspects if not _has_twin(path)]


def _has_twin(path: Path) -> bool:
    try:
        return path.read_bytes() == path.with_name(path.name + ".copy").read_bytes()
    except FileNotFoundError:
        return False


def holds(settings: Settings, archive_id: str, segment: str) -> bool:
    """Whether the segment is whole in the repository: while it is being written its name has another form."""
    directory = archive(settings, archive_id) / segment[:16]
    return directory.is_dir() and bool(_in_directory(directory, lambda name: name == segment))


def segments(settings: Settings, archive_id: str, after: str, last: str) -> dict[str, int]:
    """The WAL segments in the repository after ``after`` up to ``last``, in order, and the bytes each takes there."""
    found: dict[str, int] = {}
    for directory in archive(settings, archive_id).glob("[0-9A-F]" * 16):
        if after[:16] <= directory.name <= last[:16]:
            found.update(_in_directory(directory, lambda name: after < name <= last))
    return dict(sorted(found.items()))


def segment_files(settings: Settings, archive_id: str, names: Collection[str]) -> dict[str, Path]:
    """The files of those of these segments that are whole in the repository."""
    wanted, found = set(names), {}
    for folder in sorted({name[:16] for name in names}):
        directory = archive(settings, archive_id) / folder
        for entry in os.scandir(directory) if directory.is_dir() else ():
            matched = _SEGMENT_FILE.match(entry.name)
            if matched and matched[1] in wanted:
                found[matched[1]] = Path(entry.path)
    return found


def archive(settings: Settings, archive_id: str) -> Path:
    """The directory with the WAL of a cluster."""
    return configuration.repository(settings) / "archive" / configuration.STANZA / archive_id


def errors_of_pushing(settings: Settings) -> dict[str, str]:
    """Per repository that WAL could not be sent to: its path, and why, as pgBackRest said it last. Raises OSError."""
    paths = [str(configuration.repository(view)) for view in configuration.receiving(settings)]
    directory = configuration.errors_of_pushing(settings)
    found: dict[str, str] = {}
    for entry in sorted(directory.glob("*.error")) if directory.is_dir() else ():
        with suppress(FileNotFoundError):
            found.update(told_of_pushing(entry.read_text(encoding="utf-8", errors="replace"), paths))
    return found


def told_of_pushing(text: str, paths: Sequence[str]) -> dict[str, str]:
    """The same from the text of one segment's error. ``paths`` are those of pgBackRest's configuration, in order."""
    found = {int(number): reason for number, reason in _PUSH_ERROR.findall(text)}
    return {paths[number - 1]: reason.rstrip(":") for number, reason in found.items() if number <= len(paths)}


def _in_directory(directory: Path, wanted: Callable[[str], bool]) -> dict[str, int]:
    found = {}
    for entry in os.scandir(directory):
        matched = _SEGMENT_FILE.match(entry.name)
        if matched and wanted(matched[1]):
            found[matched[1]] = entry.stat().st_size
    return found
