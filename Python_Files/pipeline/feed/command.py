"""The command line of 0-Get_Data: what is asked, wired to the broker."""

from __future__ import annotations

import argparse
import logging
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline import entry, log, topics
from pipeline.errors import PipelineError, UsageError
from pipeline.feed.plan import by_hand
from pipeline.feed.records import read_file
from pipeline.feed.run import STAGE, TAIL, Feed
from pipeline.metrics import files
from pipeline.settings import Settings, load

logger = logging.getLogger(__name__)

_EXAMPLES = """examples:
  0-Get_Data.py                                fetch for this minute, as the crontab does; catch up missed minutes
  0-Get_Data.py --results 500                  fetch 500 people now, with a seed of their own
  0-Get_Data.py --seed summer --page 2         fetch the people of a seed and page
  0-Get_Data.py --file saved_response.json     feed a response that was saved before
  0-Get_Data.py --again FETCH_ID               ask again for those people of a fetch who are missing, if any are

exit codes: 0 done, 1 failed, 2 wrong usage or settings"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="0-Get_Data.py",
        description="Fetch people from randomuser.me (or its stand-in) and publish them to Kafka.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--results", type=int, metavar="N", help="people to fetch, 1 to 20000 (RESULTS_PER_FETCH)")
    made.add_argument("--seed", metavar="TEXT", help="their seed; it must not end in a digit or have 18 characters")
    made.add_argument("--page", type=int, metavar="N", help="page of the seed, 1 to 10000, in one request")
    made.add_argument("--file", type=Path, metavar="FILE", help="feed a saved response of the API instead of asking it")
    made.add_argument("--again", metavar="FETCH_ID", help="ask again for exactly whom the ledger misses of this fetch")
    made.add_argument("--offline", action="store_true", help="let the stand-in of the API serve this run")
    # For the read API, which tells whoever orders a fetch what to look for before it begins.
    made.add_argument("--run", type=_run_name, help=argparse.SUPPRESS)
    return made


def _run_name(text: str) -> str:
    if not re.fullmatch(r"[a-z]+-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}", text):
        raise ValueError
    return text


def _check(asked: argparse.Namespace) -> None:
    others = (asked.results, asked.seed, asked.page, asked.offline) != (None, None, None, False)
    if asked.file is not None and (others or asked.again is not None):
        raise UsageError("--file stands alone", hint="Leave --results, --seed, --page, --again and --offline away.")
    if asked.again is not None and others:
        raise UsageError(
            "--again stands alone",
            detail="it asks for the very people of that fetch, from the source that gave them",
            hint="Leave --results, --seed, --page and --offline away.",
        )
    results = 1 if asked.results is None else asked.results
    by_hand(results, "any" if asked.seed is None else asked.seed, asked.page, "")


def _again(settings: Settings, fetch_id: str) -> None:
    from pipeline import broker, ledger
    from pipeline.database import fetches
    from pipeline.feed.again import Again

    with broker.publisher(settings, stage=STAGE) as publisher:
        sent = Again(
            settings,
            publisher,
            lambda: broker.tail(settings, topics.FETCHES, TAIL),
            stored=lambda name: fetches.stored(settings, name),
            missing_of=lambda name: ledger.missing_of(settings, name),
        ).run(fetch_id)
    print(f"{sent} missing people sent again" if sent else f"nobody of {fetch_id} is missing: nothing was sent")


def _end_what_hangs(settings: Settings) -> None:
    """Once a minute is soon enough for a transaction whose process does not come back; the run goes on without it."""
    from pipeline import broker

    try:
        broker.mend_hanging(settings)
    except PipelineError as fault:
        log.event(logger, logging.WARNING, "hanging transactions stay", fault=fault.message, detail=fault.detail)


def _run(asked: argparse.Namespace, settings: Settings) -> None:
    from pipeline import broker

    if asked.again is not None:
        _again(settings, asked.again)
        return
    by_itself = (asked.file, asked.results, asked.seed, asked.page) == (None, None, None, None)
    if by_itself:
        _end_what_hangs(settings)
    responses = read_file(asked.file, int(time.time() * 1000)) if asked.file is not None else None
    with (
        broker.publisher(settings, stage=STAGE) as publisher,
        Feed(
            settings,
            publisher,
            lambda: broker.tail(settings, topics.FETCHES, TAIL),
            offline=asked.offline,
        ) as run,
    ):
        if responses is not None:
            run.run_file(responses, str(asked.file))
        elif by_itself:
            run.run_scheduled()
        else:
            run.run_by_hand(asked.results or settings.results_per_fetch, asked.seed, asked.page, asked.run)


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    try:
        _check(asked)
        settings = load()
        entry.become_owner(settings)
        log.start(STAGE, level=settings.log_level)
        with files.keeping(settings.run, STAGE):
            _run(asked, settings)
    except PipelineError as error:
        print(error.report(), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0
