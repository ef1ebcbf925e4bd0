"""``python -m pipeline.containers VERB``: what docker-compose.yml and the scripts of the container way call."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import entry
from pipeline.errors import PipelineError
from pipeline.settings import Settings

_VERBS = {
    "env-file": "make or complete the settings file",
    "record-scale": "write into the settings file how many containers a stage has",
    "settings": "check the settings file and the volumes, and hand each service its part",
    "reset-backups": "look for the backups in a directory, set them aside or delete them",
    "setup-postgres": "give the superuser the password of .env and make the repository of the backups ready",
    "setup": "bring roles, tables and topics up to date",
    "setup-nocodb": "bring NocoDB's base, table and views up to date",
    "restore-finish": "replay and prove what a restore has fetched, and put it in the place of the data",
    "restore-only-pipeline": "restore the pipeline's database alone; the script is asked to stop and start the sinks",
    "restore-files": "put NocoDB's files of the restored moment back",
    "restore-complete": "wait until both stores have everybody after a restore, and ask the ledger",
    "first-people": "fetch once and wait until those people are in both stores",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.containers", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, told in _VERBS.items():
        made = verbs.add_parser(verb, help=told)
        if verb == "env-file":
            made.add_argument("path", type=Path)
            made.add_argument("--owner", metavar="UID:GID", help="whose it is to be")
        elif verb == "record-scale":
            made.add_argument("path", type=Path)
            made.add_argument("stage")
            made.add_argument("number", type=int)
        elif verb == "restore-complete":
            made.add_argument(
                "--already", type=float, default=0.0, metavar="SECONDS", help="how long it took until now"
            )
        elif verb == "reset-backups":
            made.add_argument("what", choices=["look", "set-aside", "delete"])
            made.add_argument("place", type=Path)
    asked = parser.parse_args(arguments)
    if asked.verb in ("env-file", "record-scale"):
        return _env_file(asked)
    if asked.verb == "reset-backups":
        return _reset_backups(asked.what, asked.place)
    if asked.verb.startswith("restore-"):
        return _restore(asked)
    return entry.main(asked.verb, lambda settings: _do(asked, settings))


def _env_file(asked: argparse.Namespace) -> int:
    """The verbs that need no settings, for they make them."""
    from pipeline.operations import env_file, scale

    try:
        if asked.verb == "record-scale":
            scale.record(asked.path, asked.stage, asked.number)
            return 0
        uid, _, gid = (asked.owner or f"{os.geteuid()}:{os.getegid()}").partition(":")
        env_file.prepare(asked.path, mode="docker", owner=(int(uid), int(gid)))
    except PipelineError as error:
        print(error.report(), file=sys.stderr)
        return error.exit_code
    return 0


def _reset_backups(what: str, place: Path) -> int:
    """For Reset.sh, as PostgreSQL's user, whom the directory belongs to. Prints what it found or did, in one line."""
    from pipeline import backup

    try:
        if place.stat().st_uid != os.geteuid():
            return 0  # no service has ever used it
        if what == "delete":
            backup.remove(place)
        elif what == "look":
            print(" and ".join(sorted(backup.kinds(place))))
        else:
            aside = backup.set_aside(place)
            print(aside.name if aside else "")
    except OSError as error:
        print(PipelineError("the directory of the backups cannot be used", detail=str(error)).report(), file=sys.stderr)
        return 1
    return 0


def _restore(asked: argparse.Namespace) -> int:
    def work(settings: Settings) -> int | None:
        from pipeline.containers import restoring

        if asked.verb == "restore-complete":
            return restoring.complete(settings, asked.already)
        if asked.verb == "restore-only-pipeline":
            return restoring.only_pipeline(settings)
        if asked.verb == "restore-files":
            restoring.put_back_files(settings)
        else:
            restoring.finish(settings)
        return None

    return entry.main("restore", work, level="ERROR", as_owner=False, unwritable="the restore cannot go on")


def _do(asked: argparse.Namespace, settings: Settings) -> None:
    # Each verb loads what it alone needs.
    if asked.verb == "settings":
        from pipeline.containers import handed, volumes

        volumes.check(settings)
        volumes.refuse_half_restored(handed.inside(settings))
        handed.hand_out(settings)
    elif asked.verb == "first-people":
        from pipeline.operations import first_people

        first_people.fetch(settings)
    else:
        from pipeline.containers import preparation

        {
            "setup-postgres": preparation.prepare_postgresql,
            "setup": preparation.prepare,
            "setup-nocodb": preparation.prepare_nocodb,
        }[asked.verb](settings)


if __name__ == "__main__":
    sys.exit(main())
