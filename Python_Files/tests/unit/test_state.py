"""What a process says of itself, with the real loop and the real health check; only the work is in memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import stage, state
from pipeline.crontab import parse
from pipeline.errors import Fenced, PassingFault
from pipeline.scheduler import Scheduler
from pipeline.settings import ROOT, secret_names
from pipeline.settings import parse as parse_settings
from pipeline.state import State

HEALTH = ROOT / "Administrator_scripts" / "docker" / "health.sh"
SETTINGS = parse_settings(dict.fromkeys(secret_names(), "x" * 32))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state"


def grow_old(file: Path, seconds: int) -> None:
    then = file.stat().st_mtime - seconds
    os.utime(file, (then, then))


def health(file: Path) -> tuple[int, str]:
    done = subprocess.run(
        [HEALTH],
        env={"PATH": os.environ["PATH"], state.VARIABLE: str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.rstrip("\n")


Turn = int | Exception | None
"""What a turn brings: so many records, a fault, or no assignment yet."""


class Works:
    """Lives of a stage, from a script of turns; what the file says is noted when the next turn begins."""

    def __init__(self, file: Path, turns: list[Turn]) -> None:
        self._file, self._turns = file, iter(turns)
        self.stopping = stage.Stopping()
        self.said: list[str] = []
        self.assigned = False

    def __call__(self) -> Works:
        self.assigned = False
        return self

    def turn(self) -> int:
        self.said.append(self._file.read_text(encoding="utf-8").strip())
        brought = next(self._turns, StopIteration)
        if brought is StopIteration:
            self.stopping.stop()
            return 0
        if isinstance(brought, Exception):
            raise brought
        self.assigned = brought is not None
        return brought if isinstance(brought, int) else 0

    def close(self, *, leaving: bool = False) -> None:
        pass


@pytest.fixture
def told(file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Runs the real loop over a script of turns; what the file said before each of them and after the last."""
    monkeypatch.setattr(stage.Faults, "met", quick(stage.Faults.met))

    def run(*turns: Turn) -> list[str]:
        works = Works(file, list(turns))
        stage.run(works, SETTINGS, works.stopping, State(file))
        return works.said

    return run


def quick(met: Callable[[stage.Faults, PassingFault], float]) -> Callable[[stage.Faults, PassingFault], float]:
    """The same, but the pause itself is short."""

    def meet(faults: stage.Faults, fault: PassingFault) -> float:
        met(faults, fault)
        return 0.01

    return meet


LACKS = "starting: the group has not given it its partitions"


def test_a_stage_works_as_soon_as_its_group_has_given_it_partitions_and_not_before(
    told: Callable[..., list[str]],
) -> None:
    assert told(None, None, 5) == ["starting", LACKS, LACKS, "working"]


def test_a_member_without_a_partition_stands_by_and_works(told: Callable[..., list[str]]) -> None:
    assert told(0, 0) == ["starting", "working", "working"]


def test_a_rebalance_is_work_as_usual(told: Callable[..., list[str]]) -> None:
    assert told(5, None, None, 5) == ["starting", *["working"] * 4]


def test_a_member_that_gets_no_partitions_for_long_works_no_more(file: Path) -> None:
    now = 1000.0
    member = state.Member(State(file), lambda: now)
    said = []
    for seconds, assigned in ((0, True), (state.REBALANCE_SECONDS - 1, False), (1, False), (1, True)):
        now += seconds
        member.turned(assigned, None)
        said.append(file.read_text(encoding="utf-8").strip())
    assert said == ["working", "working", LACKS, "working"]


def test_a_fault_pauses_until_records_are_done_again(told: Callable[..., list[str]]) -> None:
    fault = PassingFault("NocoDB is away", detail="a secret may be here")
    away = "paused: NocoDB is away"
    assert told(5, fault, None, 0, fault, 5) == ["starting", "working", away, away, away, away, "working"]


def test_a_fault_is_over_after_some_turns_without_a_record(told: Callable[..., list[str]]) -> None:
    away = "paused: Kafka is away"
    assert told(PassingFault("Kafka is away"), None, 0, 0, 0) == ["starting", *[away] * 4, "working"]


def test_a_stage_that_cannot_begin_is_paused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.Faults, "met", quick(stage.Faults.met))
    stopping, tries = stage.Stopping(), []

    def make() -> stage.Work:
        tries.append(file.read_text(encoding="utf-8").strip())
        if len(tries) == 3:
            raise Fenced("enough")
        raise PassingFault("Kafka\nis away")

    with pytest.raises(Fenced):
        stage.run(make, SETTINGS, stopping, State(file))
    assert tries == ["starting", "paused: Kafka is away", "paused: Kafka is away"]


def test_the_scheduler_works_while_it_looks(file: Path, tmp_path: Path) -> None:
    scheduler = Scheduler(parse("@yearly true"), folder=tmp_path)
    scheduler.state = State(file)
    scheduler.each_minute = scheduler.ending.set
    looks = iter((False, True))
    scheduler.ending.wait = lambda _=None: next(looks)  # type: ignore[method-assign]
    scheduler.run()
    assert file.read_text(encoding="utf-8") == "working\n"


def test_the_file_is_touched_again_only_after_some_seconds(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(state.time, "monotonic", lambda: now)
    one = State(file)
    one.tell(state.WORKING)
    grow_old(file, 100)
    old = file.stat().st_mtime
    now += state.TOUCH_SECONDS - 0.1
    one.tell(state.WORKING)
    assert file.stat().st_mtime == old
    now += 0.2
    one.tell(state.WORKING)
    assert file.stat().st_mtime > old + 50
    file.unlink()
    for _ in range(3):
        now += state.TOUCH_SECONDS
        one.tell(state.WORKING)
    assert file.read_text(encoding="utf-8") == "working\n"


def test_a_state_that_cannot_be_told_stops_nobody_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    one = State(tmp_path / "file" / "state")
    for _ in range(3):
        one.tell(state.WORKING)
    assert [record.message.split(" detail=")[0] for record in caplog.records] == ["its state cannot be told"]


def test_nothing_is_written_where_nobody_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state.from_environment({}).tell(state.WORKING)
    state.from_environment({state.VARIABLE: ""}).tell(state.WORKING)
    assert list(tmp_path.iterdir()) == []
    state.from_environment({state.VARIABLE: str(tmp_path / "a" / "b")}).tell(state.WORKING)
    assert [one.name for one in (tmp_path / "a").iterdir()] == ["b"]


def test_only_a_working_process_that_moves_is_healthy(file: Path) -> None:
    assert health(file) == (1, "the process has not told its state yet")
    one = State(file)
    one.tell(state.STARTING)
    assert health(file) == (1, "starting")
    one.tell(state.PAUSED, "Kafka could not do it now")
    assert health(file) == (1, "paused: Kafka could not do it now")
    one.tell(state.WORKING)
    assert health(file) == (0, "working")
    grow_old(file, 25)
    assert health(file) == (0, "working")
    grow_old(file, 100)
    code, said = health(file)
    assert code == 1
    assert said.startswith("working, but it has not moved for 12")
