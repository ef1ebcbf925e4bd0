"""What runs, part by part: as the supervisor knows it, and joined with what the servers answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.settings import Settings

SCALED_TO_0 = "scaled to 0"
"""How the detail begins of a stage that does not run because it was told so."""


class Service(NamedTuple):
    """A part of the product: ``state`` is ok, starting, stopped or failed; ``detail`` says more."""

    name: str
    state: str
    detail: str


def scaled_to_0(name: str, stage: str) -> Service:
    """The one line of a stage that is to have no process."""
    return Service(name, "stopped", f"{SCALED_TO_0}; Administrator_scripts/Scale.sh {stage} 1 starts it")


def of_supervisor(settings: Settings) -> list[Service]:
    """Every process of the native way."""
    from pipeline.operations import parts
    from pipeline.operations.supervision import Supervisor, daemon

    if daemon(settings) is None:
        return [Service("supervisor", "stopped", "./Project_Start.sh starts it")]
    states = {"RUNNING": "ok", "STARTING": "starting", "STOPPED": "stopped"}
    numbers = parts.scale(settings)
    services = []
    for one in Supervisor(settings).processes():
        # Places for more processes of a stage (Scale.sh) are no fault when they are empty.
        if one.state == "STOPPED" and one.name.endswith("-1") and numbers.get(one.part) == 0:
            services.append(scaled_to_0(one.name, one.part))
        elif one.state != "STOPPED" or one.name == one.part or one.name.endswith("-1"):
            services.append(Service(one.name, states.get(one.state, "failed"), one.detail))
    return services


def joined(processes: Sequence[Service], answers: Sequence[Service]) -> list[Service]:
    """One line a part: a server is ok when its process runs and it answers."""
    by_name = {answer.name: answer for answer in answers}
    lines = []
    for process in processes:
        answer = by_name.pop(process.name, None)
        if answer is None or process.state == "stopped":
            lines.append(process)
        elif answer.state == "ok":
            # What answers there while the process has failed is another one.
            state = "failed" if process.state == "failed" else "ok"
            lines.append(Service(process.name, state, f"{answer.detail}, {process.detail}"))
        else:
            state = "starting" if process.state == "starting" else "failed"
            lines.append(Service(process.name, state, answer.detail))
    return lines + list(by_name.values())


def what_does_not_run(services: Sequence[Service]) -> str | None:
    """What to say when something does not run that should, or None."""
    names = [one.name for one in services if one.state == "stopped" and not one.detail.startswith(SCALED_TO_0)]
    return f"not running: {', '.join(names)}; ./Project_Start.sh starts what does not run" if names else None
