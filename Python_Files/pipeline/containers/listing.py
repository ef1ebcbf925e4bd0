"""Every container of the project as one line of the status, out of what Compose and the engine say about them.

A container cannot ask the engine, on purpose. So ``docker/status.sh`` asks, and this reads the answers: JSON documents
one after the other, first ``docker compose config --format json``, then ``docker inspect`` of all the containers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline import topics
from pipeline.errors import PipelineError
from pipeline.services import Service, scaled_to_0

_LABEL = "com.docker.compose."
# What the stages and PostgreSQL are called in both ways, by the name of the service.
_STAGES = {stage.partition("-")[2].lower().replace("_", "-"): stage for stage in topics.STAGES}
_PARTS = {"postgres": "postgresql", **_STAGES}
# In the order of the way of a record, as natively; kafka-2 stands with kafka.
_ORDER = ("postgres", "kafka", "nocodb", *_STAGES, "get-data", "api", "backup")
_UNITS = ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))
_LONGEST = 120


def read(text: str, now: datetime | None = None) -> list[Service]:
    """The services, each container of a stage by itself. Raises PipelineError for no JSON.

    What ran once and is done is left out; what should be there and is not is in the list as stopped.
    """
    told = _documents(text)
    configured: Mapping[str, Any] = told[0]["services"] if told and isinstance(told[0], dict) else {}
    containers = [one for document in told if isinstance(document, list) for one in document]
    by_service: dict[str, dict[int, Mapping[str, Any]]] = {name: {} for name in configured}
    for one in containers:
        labels = one["Config"]["Labels"]
        # Not one that was made for a single command.
        if labels.get(f"{_LABEL}oneoff") != "True":
            number = int(labels.get(f"{_LABEL}container-number", 1))
            by_service.setdefault(labels[f"{_LABEL}service"], {})[number] = one
    now = now or datetime.now(UTC)
    services: list[Service] = []
    for name in sorted(by_service, key=lambda name: (_rank(name), name)):
        services += _of_service(name, configured.get(name, {}), by_service[name], now)
    return services


def _rank(service: str) -> int:
    ranks = (rank for rank, name in enumerate(_ORDER) if service == name or service.startswith(f"{name}-"))
    return next(ranks, len(_ORDER))


def _documents(text: str) -> list[Any]:
    decoder = json.JSONDecoder()
    found, place = [], 0
    try:
        while text[place:].strip():
            place = re.compile(r"\s*").match(text, place).end()  # type: ignore[union-attr]
            document, place = decoder.raw_decode(text, place)
            found.append(document)
    except ValueError as error:
        raise PipelineError("what the container engine says cannot be read", detail=str(error)) from None
    return found


def _of_service(
    name: str, configured: Mapping[str, Any], numbered: Mapping[int, Mapping[str, Any]], now: datetime
) -> Iterable[Service]:
    part = _PARTS.get(name, name)
    if _runs_once(configured, numbered):
        for one in numbered.values():
            state = one["State"]
            if state["Status"] in ("exited", "dead") and state["ExitCode"] != 0:
                yield Service(
                    part, "failed", f"ended with {state['ExitCode']}; see Administrator_scripts/Logs.sh {name}"
                )
        return
    for number, one in sorted(numbered.items()):
        state, detail = _state(one, now)
        yield Service(_numbered(part, number, numbered), state, detail)
    wanted = configured.get("scale", 1) if configured else 0
    if wanted == 0 and configured and not numbered:
        yield scaled_to_0(_numbered(part, 1, numbered), part)
    free = (number for number in range(1, wanted + 1) if number not in numbered)
    for number, _ in zip(free, range(wanted - len(numbered)), strict=False):
        yield Service(_numbered(part, number, numbered), "stopped", "there is no container")


def _numbered(part: str, number: int, numbered: Mapping[int, object]) -> str:
    """A stage may have more than one, and its processes have numbers natively, too."""
    return f"{part}-{number}" if part in topics.STAGES or len(numbered) > 1 else part


def _runs_once(configured: Mapping[str, Any], numbered: Mapping[int, Mapping[str, Any]]) -> bool:
    if "restart" in configured:
        return bool(configured["restart"] == "no")
    policies = [one["HostConfig"]["RestartPolicy"]["Name"] for one in numbered.values()]
    return bool(policies) and all(policy in ("no", "") for policy in policies)


def _state(container: Mapping[str, Any], now: datetime) -> tuple[str, str]:
    """State and detail of a container that is to run for good."""
    state = container["State"]
    status, code = state["Status"], state["ExitCode"]
    health = state.get("Health") or {}
    ended = f"ended with {code}" + (" (it was out of memory)" if state.get("OOMKilled") else "")
    if status == "running":
        word = health.get("Status", "runs")
        told = {"healthy": ("ok", "healthy"), "starting": ("starting", "not healthy yet"), "runs": ("ok", "runs")}
        kind, what = told.get(word, ("failed", f"unhealthy{_last_answer(health)}"))
        detail = f"{what}, up {_since(state['StartedAt'], now)}"
    elif status == "restarting":
        kind, detail = "failed", f"{ended} and is started again"
    elif status == "created":
        # It waits for another one, or that one has failed and it never came to its turn.
        kind, detail = "stopped", "made, not started"
    elif status == "paused":
        kind, detail = "stopped", "paused"
    else:
        kind = "stopped" if status == "exited" and not state.get("Error") else "failed"
        detail = f"{ended} {_since(state['FinishedAt'], now)} ago"
    if state.get("Error"):
        kind, detail = "failed", _short(state["Error"])
    count = container.get("RestartCount", 0)
    return kind, detail + (f", restarted {count} time{'' if count == 1 else 's'}" if count else "")


def _last_answer(health: Mapping[str, Any]) -> str:
    """What the health check said last."""
    said = [answer["Output"] for answer in health.get("Log") or [] if answer["Output"].strip()]
    return f" ({_short(said[-1])})" if said else ""


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _since(moment: str, now: datetime) -> str:
    """The time from then to now in the largest unit that it has one of. The engine tells nanoseconds."""
    then = datetime.fromisoformat(re.sub(r"\.\d+", "", moment))
    seconds = max(0, int((now - then).total_seconds()))
    size, unit = next((one for one in _UNITS if seconds >= one[0]), _UNITS[-1])
    return f"{seconds // size} {'day' if unit == 'days' and seconds < 2 * size else unit}"
