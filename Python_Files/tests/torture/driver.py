"""A stage of the product, run as it is by its own door, that can be made to kill itself at a chosen point of a batch.

usage: driver.py DIRECTORY STAGE DOOR [ARGUMENTS OF THE DOOR]

A file ``STAGE.POINT`` in DIRECTORY is an order: the process of that stage that comes to that point first takes it, by
giving the file the name ``STAGE.POINT.done``, and ends by SIGKILL there. Nothing in the product knows of this: the
methods on the way are wrapped in this process alone.
"""

from __future__ import annotations

import functools
import os
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A method, by its module and name, and whether the blow comes before it begins or after it has ended."""

    module: str
    owner: str
    method: str
    after: bool = False


_TRANSACTION = ("kafka.producer.transaction_manager", "TransactionManager")
_OFFSETS = ("pipeline.database.sinks", "Offsets")

_OF_TRANSFORM = {
    "sent": Point(*_TRANSACTION, "send_offsets_to_transaction"),  # records sent and acknowledged, offsets not yet
    "offsets": Point(*_TRANSACTION, "begin_commit"),  # offsets in the transaction, no commit asked for
    "committing": Point(*_TRANSACTION, "begin_commit", after=True),  # the commit is on its way, nobody hears the answer
    "committed": Point("pipeline.broker.writer", "Writer", "commit", after=True),  # before the next poll
}

POINTS: dict[str, dict[str, Point]] = {
    "1-Add_Timestamp": _OF_TRANSFORM,
    "2-Add_Label": _OF_TRANSFORM,
    "3-Add_Database-postgresql": {
        "rows": Point(*_OFFSETS, "advance"),  # the rows are written, the offsets are not
        "offsets": Point(*_OFFSETS, "advance", after=True),  # both are written, not committed
        "committed": Point(*_OFFSETS, "committed"),  # before the next poll
    },
    "3-Add_Database-nocodb": {
        "asked": Point("pipeline.nocodb.users", "Users", "_write"),  # who is there is known, nobody is written
        "rows": Point("pipeline.nocodb.users", "Users", "insert", after=True),  # the rows are in NocoDB, no account yet
        "offsets": Point(*_OFFSETS, "advance", after=True),  # the account is written, not committed
        "committed": Point(*_OFFSETS, "committed"),  # before the next poll
    },
}


def come_to(order: Path) -> None:
    """End this process here, if that was ordered and nobody else has taken the order."""
    try:
        order.rename(order.with_name(f"{order.name}.done"))
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def wrapped(method: Callable[..., Any], order: Path, after: bool) -> Callable[..., Any]:
    """The method with the point before or after it; after a method that raised there is no point."""

    @functools.wraps(method)
    def call(*given: Any, **named: Any) -> Any:
        if not after:
            come_to(order)
        answer = method(*given, **named)
        if after:
            come_to(order)
        return answer

    return call


def arm(directory: Path, stage: str) -> None:
    """Wrap the methods at all points of the stage."""
    for name, point in POINTS[stage].items():
        module = __import__(point.module, fromlist=[point.owner])
        owner = getattr(module, point.owner)
        method = getattr(owner, point.method)  # a point on the same method may have wrapped it already
        setattr(owner, point.method, wrapped(method, directory / f"{stage}.{name}", point.after))


if __name__ == "__main__":
    _, where, stage, door, *arguments = sys.argv
    arm(Path(where), stage)
    sys.argv = [door, *arguments]
    runpy.run_path(door, run_name="__main__")
