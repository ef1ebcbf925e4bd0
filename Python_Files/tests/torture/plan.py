"""What is injected, and when: all of it from a seed, so that a run that failed can be run again."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import NamedTuple

from pipeline import topics
from torture.driver import POINTS

LINKS = ("kafka", "postgresql", "nocodb")

KINDS = {
    "kill": "kill -9 of a stage at any moment",
    "point": "kill -9 of a stage at a chosen point of a batch",
    "freeze": "one of two processes of a stage frozen for longer than its session, then woken",
    "rebalance": "a stage scaled up, then down",
    "kafka": "kill -9 of Kafka",
    "postgresql": "PostgreSQL stopped at once, without a checkpoint",
    "nocodb": "kill -9 of NocoDB; when it is back it answers 500, then slowly",
    "cut": "connections to a server cut in the middle of a response, or after it was worked out and before it is heard",
    "silence": "a server that is connected and says nothing",
    "disk": "no room left under PostgreSQL",
    "clock": "the clock of a stage and of the feed set back",
}

# How often each kind is in the deck of cards that is dealt again and again.
_CARDS = {
    "kill": 4, "point": 8, "freeze": 1, "rebalance": 2, "kafka": 1, "postgresql": 1, "nocodb": 1, "cut": 4,
    "silence": 1, "disk": 1, "clock": 1,
}  # fmt: skip

# Seconds from one fault to the next, and how long those last that have a length.
_GAP = (2.0, 8.0)
_LENGTH = {
    "freeze": (18.0, 25.0),  # a session is 15 s
    "rebalance": (8.0, 20.0),
    "nocodb": (6.0, 12.0),  # of the 500s, and then of the slowness
    "silence": (5.0, 20.0),
    "disk": (6.0, 15.0),
    "clock": (15.0, 40.0),
}


class Planned(NamedTuple):
    """One fault: ``seconds`` after the begin, against whom, how long, and a number whose sense the kind says."""

    seconds: float
    kind: str
    target: str
    length: float
    number: int

    def told(self) -> str:
        return f"{self.seconds:7.1f} s  {self.kind:<10} {self.target or '-':<36} {self.length:4.1f} s  {self.number}"


class _Deck:
    """Cards that come in any order, but each once before any comes again."""

    def __init__(self, chance: random.Random, cards: Collection[str]) -> None:
        self._chance, self._cards = chance, sorted(cards)
        self._left: list[str] = []

    def next(self) -> str:
        if not self._left:
            self._left = list(self._cards)
            self._chance.shuffle(self._left)
        return self._left.pop()


def schedule(seed: int, minutes: float, kinds: Collection[str] = tuple(KINDS)) -> list[Planned]:
    """The faults of a run, in order; the same for the same arguments. The last one ends before the minutes do."""
    chance = random.Random(seed)
    deck = _Deck(chance, [kind for kind in kinds for _ in range(_CARDS[kind])])
    targets = {
        **{kind: _Deck(chance, topics.STAGES) for kind in ("kill", "freeze", "rebalance", "clock")},
        **{kind: _Deck(chance, LINKS) for kind in ("cut", "silence")},
        "point": _Deck(chance, [f"{stage}.{point}" for stage, points in POINTS.items() for point in points]),
    }
    planned: list[Planned] = []
    at = 0.0
    while True:
        at += chance.uniform(*_GAP)
        kind = deck.next()
        length = chance.uniform(*_LENGTH.get(kind, (0.0, 0.0)))
        target = targets[kind].next() if kind in targets else ""
        one = Planned(round(at, 1), kind, target, round(length, 1), chance.randrange(4000))
        if at + max(length, 1.0) > minutes * 60:
            return planned
        planned.append(one)
