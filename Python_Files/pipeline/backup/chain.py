"""The WAL that a restore reads: which segments, along which timelines, and whether the repository has them unharmed.

PostgreSQL itself takes the end of what it finds for the end of what there was, and goes into service with less.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import zstandard

from pipeline.backup import repository, sums
from pipeline.errors import PipelineError
from pipeline.settings import Settings

# Segments of 16 MiB, which the cluster is made with.
_SEGMENT_BITS = 24
_SEGMENTS = 1 << (32 - _SEGMENT_BITS)


class Life(NamedTuple):
    """A timeline, and the number of the first segment that is read from it."""

    timeline: int
    first: int


def place(lsn: str) -> int:
    """A place in the WAL as a number of bytes."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def number(segment: str) -> int:
    """The number of a segment, counted through all of a timeline."""
    return int(segment[8:16], 16) * _SEGMENTS + int(segment[16:], 16)


def timeline(segment: str) -> int:
    return int(segment[:8], 16)


def begin(segment: str) -> int:
    """The place where a segment begins."""
    return number(segment) << _SEGMENT_BITS


def name(line: int, count: int) -> str:
    """The name of a segment by its timeline and its number."""
    return f"{line:08X}{count // _SEGMENTS:08X}{count % _SEGMENTS:08X}"


def ancestry(settings: Settings, archive_id: str, line: int) -> list[Life]:
    """The timelines that lead to ``line``, oldest first, itself last. Raises PipelineError when that is not known."""
    if line == 1:
        return [Life(1, 0)]
    path = repository.archive(settings, archive_id) / f"{line:08X}.history"
    try:
        if sums.is_damaged(settings, path):
            raise PipelineError(
                f"the repository's history of timeline {line} is damaged",
                detail=f"{path} is not as it was noted",
                hint="The database's own pg_wal may have it still, and so may another copy of the repository.",
            )
        return lives(path.read_text(encoding="utf-8"), line)
    except (OSError, ValueError) as error:
        raise PipelineError(f"the repository does not know how timeline {line} came about", detail=str(error)) from None


def lives(history: str, line: int) -> list[Life]:
    """The same from the text of PostgreSQL's history file of ``line``."""
    found, first = [], 0
    for row in history.splitlines():
        if row.strip() and not row.startswith("#"):
            before, switch = row.split("\t")[:2]
            found.append(Life(int(before), first))
            first = place(switch) >> _SEGMENT_BITS
    return [*found, Life(line, first)]


def needed(way: Iterable[Life], first: int, last: int) -> list[str]:
    """The names of the segments with these numbers, each of the newest timeline that has it."""
    newest_first = list(way)[::-1]
    return [
        name(next(life.timeline for life in newest_first if life.first <= count), count)
        for count in range(first, last + 1)
    ]


def damaged(files: Iterable[Path]) -> Iterator[str]:
    """The segments whose content is not what their name says. Each is read whole."""
    for path in files:
        segment, _, rest = path.name.partition("-")
        if _sum(path) != rest.partition(".")[0]:
            yield segment


def _sum(path: Path) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    try:
        content = path.read_bytes()  # a segment at most
        if path.suffix == ".zst":
            frame = zstandard.ZstdDecompressor().decompressobj()
            content = frame.decompress(content)
            if not frame.eof or frame.unused_data:
                return ""  # its end is damaged, behind the last of the content: pgBackRest does not take it
        digest.update(content)
    except (zstandard.ZstdError, OSError):
        return ""
    return digest.hexdigest()
