"""The page's files: its own, and those of the npm packages that Project_Initialize.sh installs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pipeline.settings import ROOT

STATIC = Path(__file__).parent / "static"
PACKAGES = Path(__file__).parent / "npm"
"""package.json and its lock; Administrator_scripts/native/page.sh installs by them."""

# A file's name here, and where it lies among the installed packages.
OF_PACKAGES = {"uplot.js": "uplot/dist/uPlot.esm.js", "uplot.css": "uplot/dist/uPlot.min.css"}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Asset(NamedTuple):
    content: bytes
    media_type: str


def installed(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where the npm packages are, or None. PIPELINE_PAGE_PACKAGES says it, else the cache of this clone does.

    The name there has the hash of what decides what is in it, as Administrator_scripts/native/page.sh makes it.
    """
    named = environ.get("PIPELINE_PAGE_PACKAGES")
    if named:
        return Path(named)
    try:
        cache_directory = (ROOT / ".venv" / "cache-directory").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    content = b"".join((PACKAGES / name).read_bytes() for name in ("package.json", "package-lock.json"))
    return Path(cache_directory) / f"page-{hashlib.sha256(content).hexdigest()[:12]}" / "node_modules"


@cache
def read(name: str) -> Asset | None:
    """One of the page's files, or None when there is none of that name; they do not change while the process lives."""
    path: Path | None = STATIC / name
    if name in OF_PACKAGES:
        packages = installed()
        path = packages / OF_PACKAGES[name] if packages else None
    elif name not in _own():
        return None
    try:
        return Asset(path.read_bytes(), _TYPES[Path(name).suffix]) if path else None
    except OSError:
        return None


@cache
def _own() -> frozenset[str]:
    return frozenset(path.name for path in STATIC.iterdir() if path.suffix in _TYPES)
