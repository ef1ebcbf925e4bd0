"""Log lines: one event each, key=value, to a rotating file and to the console."""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
import time
from pathlib import Path
from typing import Any

_PLAIN = re.compile(r"^[\w.,:/@+-]+$")

# Client libraries tell their whole inner life; what a person must know of it, the pipeline says itself. Kafka's client
# calls even a connection that was closed in order an error; the real ones reach the pipeline as exceptions.
_QUIET = {"kafka": logging.CRITICAL, **dict.fromkeys(("urllib3", "httpx", "httpcore", "faker", "yoyo"), logging.ERROR)}


def _value(value: Any) -> str:
    if isinstance(value, float):
        value = f"{value:.3f}"
    text = str(value)
    if _PLAIN.match(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def event(logger: logging.Logger, level: int, what: str, **pairs: Any) -> None:
    """Write one event: ``what`` in plain words, then the pairs sorted by key. Pairs that are None are left out."""
    if logger.isEnabledFor(level):
        told = " ".join(f"{key}={_value(pairs[key])}" for key in sorted(pairs) if pairs[key] is not None)
        logger.log(level, "%s", f"{what} {told}" if told else what)


class _Line(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, name: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)s {name}: %(message)s")


def start(
    name: str,
    *,
    level: str = "INFO",
    directory: Path | None = None,
    file_mb: int = 10,
    files: int = 5,
    console: bool = True,
) -> None:
    """Begin logging for the process ``name``; call it once, first thing.

    Lines go to standard error when ``console``, and to ``directory``/``name``.log, which is rotated at ``file_mb``
    MiB and kept ``files`` times, when a directory is given.
    """
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(level)
    formatter = _Line(name)
    if console:
        to_console = logging.StreamHandler(sys.stderr)
        to_console.setFormatter(formatter)
        root.addHandler(to_console)
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        to_file = logging.handlers.RotatingFileHandler(
            directory / f"{name}.log", maxBytes=file_mb * 1024 * 1024, backupCount=files, encoding="utf-8"
        )
        to_file.setFormatter(formatter)
        root.addHandler(to_file)
    for library, quiet in _QUIET.items():
        logging.getLogger(library).setLevel(quiet)
