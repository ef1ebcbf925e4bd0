"""How each kind of fault is injected. Every function returns when its fault is over, and says what really happened."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from pipeline import broker, nocodb
from torture.disk import SmallDisk
from torture.plan import Planned
from torture.rig import Rig, wait_for

FEED = "feed"
"""The clock of the feed, beside those of the stages."""


class Faults:
    """Injects what is planned into a rig. Each method runs in a thread of its own; '' means that nothing was done."""

    def __init__(self, rig: Rig, disk: SmallDisk | None, stopping: Callable[[], bool]) -> None:
        self._rig = rig
        self._disk = disk
        self._stopping = stopping

    def inject(self, one: Planned) -> str:
        """What was done, for the log; '' when it could not be."""
        injected: Callable[[Planned], str] = getattr(self, one.kind)
        return injected(one)

    def kill(self, one: Planned) -> str:
        pid = self._rig.kill(one.target, one.number)
        return f"process {pid} killed" if pid else ""

    def point(self, one: Planned) -> str:
        stage, point = one.target.split(".")
        self._rig.order(stage, point)
        # Nobody may come by for a while: the stage, or what it needs, may just be down.
        wait_for(lambda: self._rig.carried_out(stage, point) or self._stopping(), 120)
        self._rig.withdraw(stage, point)
        return f"killed at {point}" if self._rig.carried_out(stage, point) else ""

    def freeze(self, one: Planned) -> str:
        self._rig.scale(one.target, 2)
        wait_for(lambda: self._both(one.target), 30)
        found = self._rig.living(one.target)
        if len(found) < 2:
            self._rig.scale(one.target, 1)
            return ""
        # The first of the two: only the second is taken away again below.
        pid = min(found, key=lambda process: process.name).pid
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(one.length)
        finally:
            try:
                os.kill(pid, signal.SIGCONT)
                woken = "woken"
            except ProcessLookupError:
                woken = "killed meanwhile by another fault"
        time.sleep(3)
        self._rig.scale(one.target, 1)
        return f"process {pid}, one of two, frozen for {one.length:.0f} s, {woken}"

    def _both(self, stage: str) -> bool:
        return len(self._rig.living(stage)) == 2 and broker.group_ready(self._rig.settings, stage)

    def rebalance(self, one: Planned) -> str:
        number = 2 + one.number % 2
        self._rig.scale(one.target, number)
        time.sleep(one.length)
        self._rig.scale(one.target, 1)
        return f"{number} processes for {one.length:.0f} s"

    def kafka(self, one: Planned) -> str:
        pid = self._rig.kill("kafka")
        return f"process {pid} killed" if pid else ""

    def postgresql(self, one: Planned) -> str:
        pid = self._rig.kill("postgresql", how=signal.SIGQUIT)
        return "stopped immediately" if pid else ""

    def nocodb(self, one: Planned) -> str:
        link = self._rig.links["nocodb"]
        pid = self._rig.kill("nocodb")
        if not pid:
            return ""
        link.answer_500()
        time.sleep(2)
        begin = time.monotonic()
        wait_for(lambda: nocodb.ready(self._rig.settings) is None or self._stopping(), 120)
        down = time.monotonic() - begin
        try:
            time.sleep(one.length)
            link.slow(2.0)
            time.sleep(one.length)
        finally:
            link.restore()
        return f"process {pid} killed, down for {down:.0f} s, {one.length:.0f} s of 500 and {one.length:.0f} s slow"

    def cut(self, one: Planned) -> str:
        link = self._rig.links[one.target]
        before = link.cuts
        mark = {"postgresql": b"COMMIT", "nocodb": b"POST /api/v2/tables/"}.get(one.target)
        if mark and one.number % 3 == 0:
            # What was asked for is done, and nobody hears of it.
            link.swallow(mark)
            if wait_for(lambda: link.cuts > before or self._stopping(), 60) and link.cuts > before:
                return f"cut before the answer to {mark.decode()}"
            return ""
        after = one.number
        for _ in range(5):
            link.cut(after)
            if wait_for(lambda: link.cuts > before or self._stopping(), 3) and link.cuts > before:
                return f"{link.cuts - before} connections cut after {after} bytes of an answer"
        link.sever()
        return f"{link.cuts - before} connections cut while nothing was said" if link.cuts > before else ""

    def silence(self, one: Planned) -> str:
        link = self._rig.links[one.target]
        link.silence()
        try:
            time.sleep(one.length)
        finally:
            link.restore()
        return f"silent for {one.length:.0f} s"

    def disk(self, one: Planned) -> str:
        assert self._disk is not None
        before = self._disk.complaints()
        self._disk.fill()
        try:
            # The condition is the time that it lasts, but it is no fault until PostgreSQL has met it.
            time.sleep(one.length)
            met = wait_for(lambda: (self._disk.complaints() if self._disk else 0) > before or self._stopping(), 60)
        finally:
            self._disk.empty()
        return f"full for {one.length:.0f} s, met {self._disk.complaints() - before} times" if met else ""

    def clock(self, one: Planned) -> str:
        back = 60 + one.number * 3
        for who in (one.target, FEED):
            self._rig.set_clock(who, back)
        try:
            time.sleep(one.length)
        finally:
            for who in (one.target, FEED):
                self._rig.set_clock(who, 0)
        return f"{back} s back for {one.length:.0f} s"
