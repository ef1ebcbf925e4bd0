"""The door of the operations, which the scripts in the project's folder call."""

from __future__ import annotations

import argparse
import logging
import os
import pwd
import signal
import sys
from collections.abc import Sequence

from pipeline import log, settings
from pipeline.errors import PipelineError, SettingsError, UsageError
from pipeline.operations import env_file, places


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pipeline.operations", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("settings", help="make or complete .env, and the data directory")
    verb.add_argument("--mode", default="")
    verb.add_argument("--owner", default="", help="the user whom they are to belong to; for root")
    verb.add_argument("--check-ports", action="store_true", help="before a long download")
    verbs.add_parser("initialize", help="make the data what this version needs")
    verb = verbs.add_parser("start")
    verb.add_argument("--offline", action="store_true")
    verb.add_argument("--only", default="", metavar="PARTS", help="comma-separated; for tests")
    verbs.add_parser("stop")
    verb = verbs.add_parser("logs")
    verb.add_argument("name", nargs="?")
    verb.add_argument("-f", "--follow", action="store_true")
    verb.add_argument("-n", "--lines", type=int, default=20)
    verb = verbs.add_parser("record-scale", help="write into .env how many processes a stage has")
    verb.add_argument("stage")
    verb.add_argument("number", type=int)
    verb = verbs.add_parser("scale", help="let it be so in a pipeline that runs")
    verb.add_argument("stage")
    verb = verbs.add_parser("reset")
    verb.add_argument("--yes", action="store_true")
    verb.add_argument("--source", choices=["stand-in", "file", "randomuser.me"])
    verbs.add_parser("run-nocodb", help="become NocoDB; for the supervisor")
    return parser


def _settings(asked: argparse.Namespace) -> None:
    """The part that root does for another user."""
    path = settings.env_file()
    owner = None
    if asked.owner and os.geteuid() == 0:
        try:
            entry = pwd.getpwnam(asked.owner)
        except KeyError:
            raise SettingsError(f"RUN_AS_USER is {asked.owner!r}; there is no such user") from None
        owner = (entry.pw_uid, entry.pw_gid)
    loaded = env_file.prepare(path, mode=asked.mode, owner=owner)
    places.make(loaded, owner)
    if asked.check_ports:
        from pipeline.operations import leftovers, parts, ports

        if not leftovers.living(loaded):
            ports.check(loaded, list(parts.PORTS))


def _work(asked: argparse.Namespace) -> None:
    """Each verb imports what it alone needs: a door opens quickly."""
    if asked.verb == "settings":
        _settings(asked)
        return
    if asked.verb == "record-scale":
        from pipeline.operations import scale

        scale.record(settings.env_file(), asked.stage, asked.number)
        return
    loaded = settings.load(to_end=asked.verb in ("stop", "logs"))
    if asked.verb == "run-nocodb":
        from pipeline.operations import nocodb_server

        environment = {**os.environ, **nocodb_server.environment(loaded)}
        command = nocodb_server.command(places.installed())
        os.execve(command[0], command, environment)  # noqa: S606 - it becomes that process
    elif asked.verb == "logs":
        from pipeline.operations import logs

        logs.show(loaded, asked.name, follow=asked.follow, lines=asked.lines)
    elif asked.verb == "stop":
        from pipeline.operations import stop

        stop.stop(loaded)
    elif asked.verb == "initialize":
        from pipeline.operations import initialize

        initialize.initialize(loaded)
    elif asked.verb == "start":
        from pipeline.operations import parts, start

        only = [name for name in asked.only.split(",") if name] or parts.NAMES
        unknown = sorted(set(only) - set(parts.NAMES))
        if unknown:
            raise UsageError(f"there is no part {unknown[0]!r}", hint=f"The parts: {', '.join(parts.NAMES)}.")
        start.start(loaded, offline=asked.offline, only=only)
    elif asked.verb == "scale":
        from pipeline.operations import scale

        scale.apply(loaded, asked.stage)
    elif asked.verb == "reset":
        from pipeline.operations import reset

        if asked.source:
            reset.remove_source(loaded, asked.source, yes=asked.yes)
        else:
            reset.reset(loaded, yes=asked.yes)


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    # What is started in an orderly way is ended in an orderly way when the shell or systemd gives up on it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    log.start("operations", level="WARNING")
    # While a server starts, its client cannot connect: that is no error, and readiness tells it.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        _work(asked)
    except PipelineError as error:
        print(error.report(), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: it was interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
