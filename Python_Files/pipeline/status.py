"""The state of everything on one page: what runs, how far each stage is behind, the account, where to look."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
from rich.console import Console
from rich.table import Table

from pipeline import account, broker, room, settings
from pipeline.account import Account, StageProgress
from pipeline.backup import state as backup_state
from pipeline.database import connection
from pipeline.errors import PassingFault, PipelineError, UsageError
from pipeline.services import Service, joined, of_supervisor, what_does_not_run
from pipeline.settings import Settings


class Status(NamedTuple):
    """All of it. ``account`` and ``stages`` are None and empty while PostgreSQL or Kafka does not answer."""

    mode: str
    services: list[Service]
    stages: list[StageProgress]
    account: Account | None
    urls: dict[str, str]
    warnings: list[str]
    backup: backup_state.State | None = None
    """None while PostgreSQL does not answer."""

    @property
    def ready(self) -> bool:
        """Everything runs and answers."""
        return bool(self.services) and all(service.state == "ok" for service in self.services)


def _asked(name: str, question: Callable[[], object]) -> Service:
    try:
        question()
    except PassingFault as fault:
        return Service(name, "failed", fault.detail or fault.message)
    return Service(name, "ok", "answers")


def ask_api(settings: Settings) -> None:
    """Raises PassingFault unless the read API answers, and says that the database does; who asks asks the others."""
    try:
        # Never through a proxy: it is this machine, or the next container.
        with httpx.Client(trust_env=False, timeout=httpx.Timeout(8.0, connect=2.0)) as client:
            told = client.get(f"{settings.read_api_url}/api/health").json()
        database = told["checks"]["postgresql"]
        why = None if database["ok"] else database["detail"]
    except httpx.HTTPError as error:
        raise PassingFault("the read API does not answer", detail=f"{type(error).__name__}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PassingFault("something else than the read API answers there", detail=settings.read_api_url) from error
    if why is not None:
        raise PassingFault("the database does not answer the read API", detail=why)


def _nocodb_count(settings: Settings) -> int:
    from pipeline.nocodb import Users

    users = Users(settings)
    try:
        return users.count()
    finally:
        users.close()


def read(settings: Settings, containers: list[Service] | None = None) -> Status:
    """Ask everything, each with its own time-out; never raises for what does not answer.

    ``containers``: the container way's, for from within one only the answers of the servers can be asked for.
    """
    native = settings.pipeline_mode != "docker"
    processes = of_supervisor(settings) if native else containers or []
    ask: dict[str, Callable[[], object]] = {
        "postgresql": lambda: connection.ready(settings),
        "kafka": lambda: broker.ready(settings),
        "nocodb": lambda: _nocodb_count(settings),
        "api": lambda: ask_api(settings),
    }
    if containers is not None:
        # The name of a container that does not run is nobody's, which takes long to find out.
        running = {one.name for one in containers if one.state != "stopped"}
        ask = {name: question for name, question in ask.items() if name in running}
    # At once: each server that is away is waited for, and one wait is enough.
    with ThreadPoolExecutor(max_workers=len(ask) or 1) as asking:
        answers = list(asking.map(_asked, ask, ask.values()))
    services = joined(processes, answers)

    told: Account | None = None
    stages: list[StageProgress] = []
    good = {answer.name for answer in answers if answer.state == "ok"}
    if {"postgresql", "kafka"} <= good:
        try:
            told, stages = account.read(settings, (lambda: _nocodb_count(settings)) if "nocodb" in good else None)
        except PassingFault as fault:
            services.append(Service("account", "failed", fault.detail or fault.message))
    protection: backup_state.State | None = None
    if "postgresql" in good:
        try:
            protection = backup_state.read(settings)
        except PassingFault as fault:
            services.append(Service("backup state", "failed", fault.detail or fault.message))
    # What the backups are worth comes first: everything else can be mended with them.
    backups = protection.warnings if protection else backup_state.of_repositories(settings)
    warnings = backups + _warnings(settings, told) + _missing(services)
    return Status(settings.pipeline_mode, services, stages, told, urls(settings), warnings, protection)


def _missing(services: list[Service]) -> list[str]:
    told = what_does_not_run(services)
    return [told] if told else []


def _warnings(settings: Settings, told: Account | None) -> list[str]:
    warnings = []
    short = room.warning(settings)
    if short:
        warnings.append(short)
    if told and (told.postgresql.missing or told.nocodb.missing):
        warnings.append(f"people are missing: {told.postgresql.missing} in PostgreSQL, {told.nocodb.missing} in NocoDB")
    if (settings.run / "stand-in-until-reachable").exists():
        warnings.append("randomuser.me could not be reached at the first start: the stand-in serves until it can")
    elif settings.feed_offline or (settings.run / "offline").exists():
        warnings.append("offline: the people come from the stand-in of the API")
    return warnings


def urls(settings: Settings) -> dict[str, str]:
    """Where to look."""
    base = settings.nocodb_public_url or f"http://localhost:{settings.nocodb_port}"
    api = settings.read_api_url if settings.pipeline_mode != "docker" else f"http://localhost:{settings.api_port}"
    return {"nocodb": f"{base.rstrip('/')}/dashboard", "api": f"{api}/docs", "page": f"{api}/"}


def settled(settings: Settings) -> bool:
    """Whether nobody is on the way to a store any more. Raises PassingFault.

    Who is missing does not arrive by waiting: a topic that was lost with its records had them alone.
    """
    told, _ = account.read(settings)
    return told.fetched > 0 and not told.postgresql.on_the_way and not told.nocodb.on_the_way


def as_object(status: Status) -> dict[str, Any]:
    """The status as ``--json`` prints it; ``totals`` is null while the account cannot be read."""
    told = status.account
    return {
        "mode": status.mode,
        "ready": status.ready,
        "services": [service._asdict() for service in status.services],
        "stages": [stage._asdict() for stage in status.stages],
        "totals": told
        and {
            "fetched": told.fetched,
            "postgresql": told.postgresql.stored,
            "nocodb": told.nocodb.stored,
            "rejected": told.rejected,
            "repeats": told.postgresql.repeats,
            "removed": max(told.postgresql.removed, told.nocodb.removed),
            "on_the_way": max(told.postgresql.on_the_way, told.nocodb.on_the_way),
            "missing": max(told.postgresql.missing, told.nocodb.missing),
        },
        "stores": told and {"postgresql": told.postgresql._asdict(), "nocodb": told.nocodb._asdict()},
        "urls": status.urls,
        "backup": status.backup and status.backup._asdict(),
        "warnings": status.warnings,
    }


_COLOURS = {"ok": "green", "starting": "yellow", "stopped": "dim", "failed": "red"}


def show(status: Status, console: Console) -> None:
    """The status for a person."""
    for warning in status.warnings:
        console.print(f"[yellow]warning:[/] {warning}", highlight=False)
    console.print("[green]ready[/]" if status.ready else "[red]not ready[/]", f"({status.mode or 'not initialised'})")
    services = Table(title="What runs", title_justify="left", title_style="bold", box=None)
    for name in ("part", "state", "detail"):
        services.add_column(name)
    for service in status.services:
        services.add_row(service.name, f"[{_COLOURS[service.state]}]{service.state}[/]", service.detail)
    console.print(services)
    if status.stages:
        stages = Table(title="\nStages, in records", title_justify="left", title_style="bold", box=None)
        for name in ("stage", "waiting", "processed", "rejected"):
            stages.add_column(name, justify="left" if name == "stage" else "right")
        for stage in status.stages:
            stages.add_row(stage.name, f"{stage.lag:,}", f"{stage.processed:,}", f"{stage.rejected:,}")
        console.print(stages)
    told = status.account
    if told:
        stores = Table(title="\nThe account", title_justify="left", title_style="bold", box=None)
        for name in ("store", "fetched", "stored", "repeats", "removed", "rejected", "on the way", "missing"):
            stores.add_column(name, justify="left" if name == "store" else "right")
        for name, one in (("PostgreSQL", told.postgresql), ("NocoDB", told.nocodb)):
            stores.add_row(
                name,
                *(
                    f"{number:,}"
                    for number in (told.fetched, one.stored, one.repeats, one.removed, one.rejected, one.on_the_way)
                ),
                f"[red]{one.missing:,}[/]" if one.missing else "0",
            )
        console.print(stores)
    for name, url in status.urls.items():
        console.print(f"\n{name}: {url}", highlight=False)


def main(arguments: list[str]) -> int:
    """``python -m pipeline.status [--json] [--containers]``: exit code 0 when ready, 1 when not.

    With ``--containers`` standard input says what containers there are: see containers/listing.py.
    """
    try:
        unknown = [one for one in arguments if one not in ("--json", "--containers")]
        if unknown:
            raise UsageError(f"unknown arguments: {' '.join(unknown)}", hint="Only --json is known.")
        status = _in_containers(sys.stdin.read()) if "--containers" in arguments else read(settings.load())
    except PipelineError as error:
        print(error.report(), file=sys.stderr)
        return error.exit_code
    if "--json" in arguments:
        print(json.dumps(as_object(status), indent=2, ensure_ascii=False))
    else:
        show(status, Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "120"))))
    return 0 if status.ready else 1


def _in_containers(told: str) -> Status:
    from pipeline.containers import listing

    containers = listing.read(told)
    if not settings.env_file().exists():
        # The settings are handed out at the first start, and nobody needs them to say that nothing runs.
        return Status("docker", containers, [], None, {}, _missing(containers))
    return read(settings.load(), containers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
