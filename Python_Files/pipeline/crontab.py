"""A crontab, read faithfully: which jobs there are and when each is due."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cronsim import CronSim, CronSimError

from pipeline.errors import UsageError

AT_START = "@reboot"
NAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_LABEL = re.compile(r"#\s*\[([\w-]+)\]")
_VARIABLE = re.compile(r"""\s*(?:"(?P<q>[^"]+)"|'(?P<s>[^']+)'|(?P<n>[^\s="']+))\s*=\s*(?P<value>.*)""")
_QUOTED = re.compile(r"""(["'])(.*)\1""")
# What cronsim reads and cron does not: a sixth field and the signs L, W and #.
_FIELD = re.compile(r"[0-9A-Za-z*,/-]+")
_EXTENSION = re.compile(r"(^|,)(L|LW|[0-7]L)(,|/|$)", re.IGNORECASE)


class Job(NamedTuple):
    """A line of the crontab. ``when`` is five fields, or ``@reboot`` for once at start."""

    line: int
    when: str
    command: str
    label: str
    environment: Mapping[str, str]
    stdin: bytes = b""

    @property
    def name(self) -> str:
        """What the log calls it: its label, if it has one, and its line."""
        return f"{self.label or 'job'}:{self.line}"

    def due_after(self, moment: datetime) -> datetime | None:
        """The next minute after ``moment`` (with a time zone) at which the job is due; None for one at start."""
        if self.when == AT_START:
            return None
        found: datetime = next(CronSim(self.when, moment))
        return found

    def due_until(self, due: datetime, moment: datetime) -> tuple[int, datetime]:
        """How many times the job was due from ``due`` (one of its times) to ``moment``, and the last of them."""
        count, last = 1, due
        for later in CronSim(self.when, due):
            if later > moment:
                break
            count, last = count + 1, later
        return count, last


def _split_command(text: str, where: str) -> tuple[str, bytes]:
    """cron's percent rule: an unescaped % ends the command, what follows is its input, further ones are line ends."""
    parts = [part.replace("\\%", "%") for part in re.split(r"(?<!\\)%", text)]
    command = parts[0].strip()
    if not command:
        raise UsageError(f"{where} has no command")
    return command, ("\n".join(parts[1:]) + "\n").encode() if len(parts) > 1 else b""


def _check_when(when: str, where: str) -> None:
    for field in when.split():
        if not _FIELD.fullmatch(field) or _EXTENSION.search(field):
            raise UsageError(f"{where}: {field!r} is no field of a crontab", hint="See the comment at its beginning.")
    try:
        next(CronSim(when, datetime(2024, 1, 1)))
    except CronSimError as error:
        raise UsageError(f"{where}: {when!r} is no time", detail=str(error)) from None
    except StopIteration:
        raise UsageError(f"{where}: {when!r} never comes") from None


def _variable(line: str) -> tuple[str, str] | None:
    found = _VARIABLE.fullmatch(line)
    if found is None:
        return None
    value = found["value"].strip()
    quoted = _QUOTED.fullmatch(value)
    return found["q"] or found["s"] or found["n"], quoted[2] if quoted else value


def parse(text: str, name: str = "crontab") -> list[Job]:
    """The jobs of a crontab. Raises UsageError that names the line."""
    jobs, label, variables = [], "", dict[str, str]()
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}, line {number}"
        content = line.strip()
        if not content or content.startswith("#"):
            found = _LABEL.match(content)
            label = found[1] if found else label
            continue
        first = content.split(None, 1)[0]
        variable = None if first.startswith("@") or first[0] in "*0123456789" else _variable(content)
        if variable is not None:
            variables = {**variables, variable[0]: variable[1]}
            continue
        if first.startswith("@"):
            when, rest = first.lower(), content[len(first) :]
            if when != AT_START and when not in NAMES:
                raise UsageError(f"{where}: {first!r} is no time", detail=f"allowed: {', '.join([*NAMES, AT_START])}")
            when = NAMES.get(when, when)
        else:
            fields = content.split(None, 5)
            if len(fields) < 6:
                raise UsageError(
                    f"{where} is neither a job nor a variable", detail=f"{content!r} lacks five fields and a command"
                )
            when, rest = " ".join(fields[:5]), fields[5]
            _check_when(when, where)
        command, stdin = _split_command(rest, where)
        jobs.append(Job(number, when, command, label, variables, stdin))
    return jobs


def read(path: Path) -> list[Job]:
    """The jobs of the crontab at ``path``. Raises UsageError when it cannot be read or understood."""
    try:
        return parse(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the crontab {path} cannot be read", detail=str(error)) from None
