"""``python -m pipeline.move VERB``: the steps of a move that are the same in both ways, and the native ones."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from pipeline import entry
from pipeline.settings import Settings

_VERBS = {
    "feed": "say where the feed takes its people from: offline, until-reachable, or nothing for the API",
    "settle": "wait until nothing is on the way",
    "empty": "make both databases and the roles, with nothing in them",
    "contents": "print what the databases hold: a line a table, with its number of rows and their checksum",
    "native-check": "natively: raise what would keep the servers from starting",
    "native-quiet": "natively: run everything but the schedule",
    "native-database-only": "natively: end everything but PostgreSQL",
    "native-prepare": "natively: make a new cluster and start it, without archiving",
    "native-end": "natively: end the server that native-prepare started",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.move", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, told in _VERBS.items():
        made = verbs.add_parser(verb, help=told)
        if verb == "feed":
            made.add_argument("--set", choices=["offline", "until-reachable"], help="make it so instead")
    asked = parser.parse_args(arguments)
    return entry.main("move", lambda settings: _do(asked, settings))


def _do(asked: argparse.Namespace, settings: Settings) -> None:
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    if asked.verb == "feed":
        from pipeline.move import feed_choice

        if asked.set:
            feed_choice.choose(settings, asked.set)
        else:
            print(feed_choice.chosen(settings))
    elif asked.verb == "settle":
        from pipeline.move import drain

        drain.settle(settings)
    elif asked.verb == "empty":
        from pipeline.database import migrations

        migrations.make_empty(settings)
    elif asked.verb == "contents":
        from pipeline.database import contents

        for line in contents.lines(settings):
            print(line)
    else:
        from pipeline.move import native

        {
            "native-check": native.check,
            "native-quiet": native.run_without_feed,
            "native-database-only": native.end_all_but_postgresql,
            "native-prepare": native.prepare,
            "native-end": native.end,
        }[asked.verb](settings)


if __name__ == "__main__":
    sys.exit(main())
