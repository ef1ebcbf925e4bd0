"""Torture.sh: a whole instance, fed all the time, hurt again and again, and at the end compared person by person."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from conftest import Instance, new_instance
from pipeline import account, topics
from pipeline.errors import PassingFault, PipelineError
from torture import proof
from torture.disk import SmallDisk
from torture.faults import FEED, Faults
from torture.feeder import Feeder
from torture.plan import KINDS, Planned, schedule
from torture.rig import Rig

SETTLE_SECONDS = 900


def parser() -> argparse.ArgumentParser:
    kinds = "\n".join(f"  {name:<12}{what}" for name, what in KINDS.items())
    made = argparse.ArgumentParser(
        prog="Torture.sh", description=__doc__, epilog=f"kinds:\n{kinds}", formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument("--minutes", type=float, default=10.0, help="how long faults are injected (10)")
    made.add_argument("--seed", type=int, help="of the moments; a run tells its own")
    made.add_argument("--kinds", default=",".join(KINDS), help="only these kinds of faults, with commas between (all)")
    made.add_argument("--rate", type=float, default=60.0, help="people fed a second, on average (60)")
    made.add_argument("--plan", action="store_true", help="show what would be injected when, and do nothing")
    made.add_argument("--keep", action="store_true", help="keep the instance's files after a good run, too")
    return made


class Torture:
    """One run."""

    def __init__(self, seed: int, kinds: Sequence[str], minutes: float, rate: float) -> None:
        self._seed, self._kinds, self._minutes, self._rate = seed, list(kinds), minutes, rate
        self._begin = time.monotonic()
        self._begun: float | None = None
        self._ending = threading.Event()
        self.injected: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.skipped: list[str] = []
        self.broken: list[str] = []
        self.instance: Instance = new_instance()
        self.disk: SmallDisk | None = None

    def tell(self, what: str) -> None:
        since = time.monotonic() - (self._begun or self._begin)
        print(f"{since:7.1f} s  {what}", flush=True)

    def run(self) -> proof.Verdict:
        """Start, hurt, wait, compare."""
        self.tell(f"an instance of its own starts in {self.instance.directory}")
        if "disk" in self._kinds:
            disk = SmallDisk(self.instance)
            if disk.possible() and disk.make():
                self.disk = disk
            else:
                self._skip("disk", "a small file system can only be mounted by root")
        self.instance.run("Project_Start.sh", "--offline")
        rig = Rig(self.instance, kafka=True)
        if rig.clock_library is None:
            self._skip("clock", "it needs a C compiler (cc)")
        rig.set_clock(FEED, 0)
        rig.take_over()
        feeder = Feeder(self.instance, self._seed, self._rate, rig.clock_of(FEED))
        feeder.start()
        self._begun = time.monotonic()
        self._inject(Faults(rig, self.disk, self._ending.is_set), schedule(self._seed, self._minutes, self._kinds))
        self.tell("the faults have ended")
        if self.disk is not None:
            self.disk.empty()
        rig.calm()
        for stage in topics.STAGES:
            rig.scale(stage, 1)
        rig.supervisor.stop("scheduler", "scheduler")
        if not feeder.stop(180):
            self.broken.append("the feed did not get its last fetch through within 180 s")
        self.tell(
            f"the feed has ended: {len(feeder.done)} fetches and {feeder.files} times the real people, "
            f"{feeder.failed} failed and were asked for again"
        )
        self._settle()
        return proof.compare(self.instance, feeder.asked())

    def _skip(self, kind: str, why: str) -> None:
        self.skipped.append(kind)
        self._kinds.remove(kind)
        print(f"SKIPPED: {kind}: {why}", flush=True)

    def _inject(self, faults: Faults, planned: Sequence[Planned]) -> None:
        begin = time.monotonic()
        threads = []
        for one in planned:
            time.sleep(max(0.0, begin + one.seconds - time.monotonic()))
            thread = threading.Thread(target=self._one, args=(faults, one), daemon=True)
            thread.start()
            threads.append(thread)
        time.sleep(max(0.0, begin + self._minutes * 60 - time.monotonic()))
        self._ending.set()
        for thread in threads:
            thread.join(120)

    def _one(self, faults: Faults, one: Planned) -> None:
        try:
            done = faults.inject(one)
        except PipelineError as error:
            done = ""
            self.tell(f"{one.kind} {one.target}: {error.message} ({error.detail})")
        except BaseException as error:
            self.broken.append(f"{one.kind} {one.target} could not be injected: {type(error).__name__}: {error}")
            raise
        (self.injected if done else self.missed)[one.kind] += 1
        if done and one.kind == "point":
            self.points[one.target] += 1
        self.tell(
            f"{one.kind:<10} {one.target or '-'}: {done or 'not done: nobody came by, or what it needs was down'}"
        )

    def _settle(self) -> None:
        """Wait until nothing is on the way any more, by the pipeline's own account."""
        begin = time.monotonic()
        told = ""
        while time.monotonic() - begin < SETTLE_SECONDS:
            try:
                now, stages = account.read(self.instance.settings)
            except PassingFault as fault:
                told = f"{fault.message} ({fault.detail})"
            else:
                if not now.postgresql.on_the_way and not now.nocodb.on_the_way and not any(one.lag for one in stages):
                    self.tell(f"everything has settled, {time.monotonic() - begin:.0f} s after the last fetch")
                    return
                told = ", ".join(f"{one.name}: {one.lag}" for one in stages)
            time.sleep(2)
        self.broken.append(f"after {SETTLE_SECONDS} s something is still on the way: {told}")


def kinds_of(text: str) -> list[str]:
    """The kinds named. Raises ValueError that says which is none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in KINDS]
    if wrong or not names:
        raise ValueError(f"there is no kind {', '.join(wrong) or 'named'}; the kinds: {', '.join(KINDS)}")
    return names


def main() -> int:
    asked = parser().parse_args()
    try:
        kinds = kinds_of(asked.kinds)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if asked.minutes <= 0 or asked.rate <= 0:
        print("error: --minutes and --rate must be more than 0", file=sys.stderr)
        return 2
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    print(
        f"seed {seed}: --seed {seed} --minutes {asked.minutes:g} --kinds {','.join(kinds)} plans the same", flush=True
    )
    if asked.plan:
        for one in schedule(seed, asked.minutes, kinds):
            print(one.told())
        return 0
    torture = Torture(seed, kinds, asked.minutes, asked.rate)
    good = False
    try:
        verdict = torture.run()
        verdict.faults += torture.broken
        good = verdict.good
        if not good:
            print(verdict.told(), flush=True)
        print(_points(torture.points))
        print(_summary(asked.minutes, seed, torture, verdict), flush=True)
    except pytest.fail.Exception as failure:
        print(f"error: {failure}", file=sys.stderr)
    finally:
        _end(torture, good and not asked.keep)
    return 0 if good else 1


def _points(points: Counter[str]) -> str:
    return "killed at the points: " + (", ".join(f"{name} {count}" for name, count in sorted(points.items())) or "none")


def _summary(minutes: float, seed: int, torture: Torture, verdict: proof.Verdict) -> str:
    by_kind = ", ".join(f"{kind} {torture.injected[kind]}" for kind in KINDS if torture.injected[kind])
    skipped = f", SKIPPED {', '.join(torture.skipped)}" if torture.skipped else ""
    return (
        f"torture: {minutes:g} minutes, seed {seed}, {torture.injected.total()} faults ({by_kind}){skipped}, "
        f"{verdict.compared:,} records compared, lost {len(verdict.lost)}, twice {len(verdict.twice)}, "
        f"never fetched {len(verdict.strange)}, other faults {len(verdict.faults)}"
    )


def _end(torture: Torture, remove: bool) -> None:
    """Nothing of it goes on running; its files stay when something was wrong."""
    torture.instance.run("Project_Stop.sh", ok=False)
    if remove:
        if torture.disk is not None:
            torture.disk.remove()
        shutil.rmtree(torture.instance.directory, ignore_errors=True)
        return
    variables = " ".join(f"{name}={value}" for name, value in torture.instance.environment.items())
    print(f"kept: {torture.instance.directory}\nhint: {variables} ./Project_Start.sh --offline starts it again.")


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
