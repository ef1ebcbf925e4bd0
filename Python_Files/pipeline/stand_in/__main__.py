"""``python -m pipeline.stand_in``: serve the API's double until it is told to end."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from pipeline.stand_in.api import WINDOW_RECORDS
from pipeline.stand_in.faults import KINDS, Fault, parse
from pipeline.stand_in.server import serving


def _fault(text: str) -> Fault:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.stand_in",
        description="Serve this project's double of the randomuser.me API on 127.0.0.1 until SIGTERM or Ctrl-C.",
        epilog="Failures: " + "; ".join(f"{kind} ({what})" for kind, what in KINDS.items()) + ".",
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0, the default, takes a free one")
    parser.add_argument(
        "--fail",
        metavar="KIND[:COUNT]",
        action="append",
        default=[],
        type=_fault,
        help="fail the next COUNT API requests (or all) in this way; may be given several times, one after the other",
    )
    parser.add_argument(
        "--window-records", type=int, default=WINDOW_RECORDS, help="records a client may ask for in five minutes"
    )
    asked = parser.parse_args(arguments)
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    try:
        with serving(asked.port, faults=asked.fail, window_records=asked.window_records) as server:
            print(f"serving {server.url}", flush=True)
            end.wait()
    except (OSError, OverflowError) as error:
        print(f"error: port {asked.port} cannot be used\ndetail: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
