"""Faults injected for real while people are on their way: afterwards each of them is in both stores, once.

The short form of Administrator_scripts/Torture.sh: the stages run through its driver and over its links meanwhile.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator

import pytest

from conftest import Instance, until
from pipeline import topics
from torture import proof
from torture.driver import POINTS
from torture.feeder import people_of
from torture.rig import Rig, taken_over

# What they wait for may take longer than a test may by default.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1000)]


@pytest.fixture(scope="module")
def rig(stack: Instance) -> Iterator[Rig]:
    with taken_over(stack) as rig:
        yield rig


class Fed:
    """People whom nobody else fetches, and the proof of where they are."""

    def __init__(self, rig: Rig) -> None:
        self._instance = rig.instance
        self._seed = f"faults-{random.randrange(10**9):09}-seed"
        self._page = 0
        self.everybody: set[str] = set()

    def feed(self, people: int) -> set[str]:
        """So many more; they are published when this returns."""
        self._page += 1
        self._instance.feed("--offline", "--seed", self._seed, "--page", str(self._page), "--results", str(people))
        fresh = set(people_of(self._seed, self._page, people))
        self.everybody |= fresh
        return fresh

    def in_postgresql(self) -> bool:
        return self.everybody <= self._instance.in_postgresql()

    def in_nocodb(self) -> bool:
        return self.everybody <= self._instance.in_nocodb()

    def prove(self) -> None:
        """Everybody arrives in both stores, and was nowhere on the way twice."""
        until(self.in_postgresql, "everybody is in PostgreSQL", 300)
        until(self.in_nocodb, "everybody is in NocoDB", 300)
        verdict = proof.compare_some(self._instance, self.everybody)
        assert verdict.good, verdict.told()


@pytest.fixture
def fed(rig: Rig) -> Iterator[Fed]:
    yield Fed(rig)
    rig.calm()
    for stage in topics.STAGES:
        rig.scale(stage, 1)


def test_stages_killed_at_every_point_of_a_batch_lose_nothing_and_double_nothing(rig: Rig, fed: Fed) -> None:
    left = {stage: list(points) for stage, points in POINTS.items()}
    blows = sum(map(len, left.values()))
    ordered: dict[str, str] = {}
    done: list[str] = []
    deadline = time.monotonic() + 400
    while left or ordered:
        for stage, point in list(ordered.items()):
            if rig.carried_out(stage, point):
                done.append(f"{stage}.{point}")
                del ordered[stage]
        for stage in [one for one in left if one not in ordered]:
            ordered[stage] = left[stage].pop(0)
            rig.order(stage, ordered[stage])
            if not left[stage]:
                del left[stage]
        # Each point is come to while there are people on the way.
        fed.feed(100)
        assert time.monotonic() < deadline, f"nobody came to {ordered}; killed at {done}"
    fed.feed(max(1, 3000 - len(fed.everybody)))
    assert len(done) == blows
    fed.prove()


def test_what_was_done_and_not_heard_of_is_not_done_again(rig: Rig, fed: Fed) -> None:
    """The connection is cut after the server has done it, before its answer: a commit, and rows put into NocoDB."""
    postgresql, nocodb = rig.links["postgresql"], rig.links["nocodb"]
    for link, mark in ((postgresql, b"COMMIT"), (nocodb, b"POST /api/v2/tables/"), (postgresql, b"COMMIT")):
        before = link.cuts
        link.swallow(mark)
        fed.feed(100)
        until(lambda link=link, before=before: link.cuts > before, f"{mark!r} was cut")
        fed.prove()


def test_nocodb_that_answers_500_and_then_slowly_does_not_hold_up_postgresql(rig: Rig, fed: Fed) -> None:
    nocodb = rig.links["nocodb"]
    nocodb.answer_500()
    fed.feed(300)
    until(fed.in_postgresql, "everybody is in PostgreSQL")
    until(lambda: nocodb.answers >= 2, "NocoDB has answered 500 again and again")
    assert not fed.in_nocodb()
    nocodb.slow(0.5)
    fed.prove()


def test_a_frozen_process_that_wakes_after_its_partitions_are_another_s_changes_nothing(rig: Rig, fed: Fed) -> None:
    stages = (topics.ADD_LABEL, topics.TO_POSTGRESQL)
    for stage in stages:
        rig.scale(stage, 2)
    for stage in stages:
        until(lambda stage=stage: len(rig.living(stage)) == 2, f"{stage} has two processes")
    fed.feed(2000)
    pids = [min(rig.living(stage), key=lambda process: process.name).pid for stage in stages]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    # The condition is time itself: a member may be silent for 15 s.
    time.sleep(18)
    fed.feed(500)
    until(fed.in_postgresql, "the other process has taken everybody over", 120)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    fed.feed(500)
    fed.prove()


def test_a_clock_set_back_changes_nothing_of_a_record(rig: Rig, fed: Fed) -> None:
    if rig.clock_library is None:
        pytest.skip("THE CLOCK IS NOT SET BACK: that needs a C compiler (cc)")
    people = fed.feed(100)
    for stage in topics.STAGES:
        rig.set_clock(stage, 7200)
    people |= fed.feed(100)
    fed.prove()
    late = rig.instance.rows(
        "SELECT count(*) FROM pipeline.users WHERE uuid = ANY (%s::uuid[]) AND fetched_at < now() - interval '1 hour'",
        (list(people),),
    )
    assert late == [(0,)], "it was fetched when it was fetched, whatever a stage's clock says"
