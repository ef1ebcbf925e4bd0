"""Whether a part is really ready, and what to say when it is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import PassingFault, PipelineError
from pipeline.operations.supervision import Supervisor
from pipeline.operations.telling import tell
from pipeline.settings import Settings, secret_names

# A part that has been started so often and never got ready will not get ready.
_STARTS = 5
_TELL_SECONDS = 10.0


def wait(
    settings: Settings,
    part: str,
    probe: Callable[[], object],
    seconds: float,
    *,
    told: str = "ready",
    processes: tuple[str, ...] = (),
    given_up: threading.Event | None = None,
) -> None:
    """Wait until ``probe`` neither raises PassingFault nor returns False, and tell how long that took.

    Raises PipelineError that names the part, why, and its log file, when that does not come within ``seconds`` or when
    the part ends again and again. When another thread sets ``given_up``, it waits no longer and raises, too.
    """
    begin = time.monotonic()
    next_word = begin + _TELL_SECONDS
    supervisor = Supervisor(settings)
    seen: dict[str, set[int]] = {}
    pause = 0.05
    while True:
        why = "it is not ready yet"
        try:
            if probe() is not False:
                tell(part, told, time.monotonic() - begin)
                return
        except PassingFault as fault:
            why = fault.detail or fault.message
        for process in supervisor.processes():
            if process.part == part and process.pid:
                seen.setdefault(process.name, set()).add(process.pid)
        often = any(len(pids) >= _STARTS for pids in seen.values())
        passed = time.monotonic() - begin
        if given_up is not None and given_up.is_set():
            raise PipelineError(f"{part} is not waited for any more")
        if often or passed > seconds:
            raise not_ready(settings, part, f"it ends again and again; {why}" if often else why, passed, processes)
        if time.monotonic() > next_word:
            tell(part, f"not ready yet ({_short(why)})", passed)
            next_word += _TELL_SECONDS
        time.sleep(pause)
        pause = min(0.5, pause * 1.3)


def not_ready(
    settings: Settings, part: str, why: str, seconds: float, processes: tuple[str, ...] = ()
) -> PipelineError:
    """The error for a part that did not get ready, with the end of its log."""
    logs = [settings.logs / f"{name}.log" for name in processes or (part,)]
    return PipelineError(
        f"{part} did not get ready within {seconds:.0f} s",
        detail="\n  ".join([_short(why, 400), *(line for log in logs[:1] for line in last_lines(settings, log))]),
        hint=f"Its log file is {', '.join(str(log) for log in logs)}.",
    )


def last_lines(settings: Settings, log: Path, count: int = 8) -> list[str]:
    """The end of a log file, without secrets, and without Java's frames, behind which the reason hides."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 8192))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    told = [line for line in lines if line.strip() and not line.startswith("\tat ")][-count:]
    return [without_secrets(settings, line)[:300] for line in told]


def without_secrets(settings: Settings, text: str) -> str:
    for name in secret_names():
        text = text.replace(getattr(settings, name.lower()), "***")
    return text


def _short(text: str, length: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 3] + "..."
