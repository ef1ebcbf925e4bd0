"""The crontab means what cron makes of it, and the scheduler runs it with real processes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pipeline import scheduler
from pipeline.crontab import parse, read
from pipeline.errors import UsageError
from pipeline.scheduler import CRONTAB, Scheduler, local_zone, only
from pipeline.settings import ROOT, secret_names

START = datetime(2026, 11, 20, 10, 7, 30, tzinfo=UTC)  # a Friday


def dues(line: str, count: int, begin: datetime = START) -> list[str]:
    (job,) = parse(f"{line} true")
    found, moment = [], begin
    for _ in range(count):
        due = job.due_after(moment)
        assert due is not None
        found.append(f"{due:%a %d %b %H:%M}")
        moment = due
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("* * * * *", ["Fri 20 Nov 10:08", "Fri 20 Nov 10:09"]),
        ("*/5 * * * *", ["Fri 20 Nov 10:10", "Fri 20 Nov 10:15"]),
        ("@hourly", ["Fri 20 Nov 11:00", "Fri 20 Nov 12:00"]),
        ("@daily", ["Sat 21 Nov 00:00", "Sun 22 Nov 00:00"]),
        ("@midnight", ["Sat 21 Nov 00:00", "Sun 22 Nov 00:00"]),
        ("@weekly", ["Sun 22 Nov 00:00", "Sun 29 Nov 00:00"]),
        ("@monthly", ["Tue 01 Dec 00:00", "Fri 01 Jan 00:00"]),
        ("@yearly", ["Fri 01 Jan 00:00", "Sat 01 Jan 00:00"]),
        ("@Annually", ["Fri 01 Jan 00:00", "Sat 01 Jan 00:00"]),
        # 0 and 7 are Sunday, 1 is Monday, names are taken
        ("0 0 * * 0", ["Sun 22 Nov 00:00"]),
        ("0 0 * * 7", ["Sun 22 Nov 00:00"]),
        ("0 0 * * 1", ["Mon 23 Nov 00:00"]),
        ("0 0 * * 5-7", ["Sat 21 Nov 00:00", "Sun 22 Nov 00:00", "Fri 27 Nov 00:00"]),
        ("0 6 * jan,dec mon", ["Mon 07 Dec 06:00"]),
        # both days given: either is enough; one of them a star: the other decides
        ("0 0 25 * 6", ["Sat 21 Nov 00:00", "Wed 25 Nov 00:00", "Sat 28 Nov 00:00"]),
        ("0 0 25 * *", ["Wed 25 Nov 00:00", "Fri 25 Dec 00:00"]),
        ("10-12,30/20 10 * * *", ["Fri 20 Nov 10:10", "Fri 20 Nov 10:11", "Fri 20 Nov 10:12", "Fri 20 Nov 10:30"]),
    ],
)
def test_a_line_is_due_when_cron_would_run_it(line: str, expected: list[str]) -> None:
    assert dues(line, len(expected)) == expected


def test_a_daily_job_follows_the_change_of_the_clock() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    (job,) = parse("30 12 * * * true")
    due = job.due_after(datetime(2026, 10, 24, 12, 30, tzinfo=berlin))  # summer time ends in the night
    assert due is not None
    assert (due.hour, due.astimezone(UTC).hour) == (12, 11)


def test_comments_variables_labels_and_percent_signs_are_understood() -> None:
    jobs = parse(
        "# a comment\n\nNAME = some value\n'Q'=\"  kept \"\n# [one] first\n  * * * * * echo a\\%b%in 1%in 2\n"
        "NAME=other\n# [two]\n@reboot\tat-start --now\n"
    )
    assert [(job.line, job.label, job.command) for job in jobs] == [
        (6, "one", "echo a%b"),
        (9, "two", "at-start --now"),
    ]
    assert jobs[0].stdin == b"in 1\nin 2\n"
    assert jobs[0].environment == {"NAME": "some value", "Q": "  kept "}
    assert jobs[1].environment["NAME"] == "other"
    assert jobs[1].due_after(START) is None


@pytest.mark.parametrize(
    "line",
    [
        "* * * *",
        "* * * * *",
        "60 * * * * x",
        "* 24 * * * x",
        "* * 0 * * x",
        "* * * 13 * x",
        "* * * * 8 x",
        "*/0 * * * * x",
        "5-1 * * * * x",
        "* * * * mon#2 x",
        "* * L * * x",
        "0 0 30 2 * x",
        "@often x",
        "@daily",
        "just words that say nothing at all",
        "* * * * * %stdin only",
    ],
)
def test_a_malformed_line_is_named(line: str) -> None:
    with pytest.raises(UsageError, match="line 3"):
        parse(f"# first\n* * * * * good\n{line}\n")


def test_the_projects_own_crontab_feeds_every_minute_backs_up_every_five_and_reconciles_every_hour() -> None:
    jobs = read(CRONTAB)
    assert [(job.when, job.label, job.command) for job in jobs] == [
        ("* * * * *", "feed", '"$PYTHON" Python_Files/0-Get_Data.py'),
        ("23 * * * *", "reconcile", 'PYTHONPATH=Python_Files "$PYTHON" -m pipeline.reconciliation'),
        ("*/5 * * * *", "backup", "Database/Backup.sh"),
        ("3-58/5 * * * *", "backup", "Database/Verify_Backup.sh --when-due"),
    ]
    assert [job.label for job in only(jobs, "backup")] == ["backup", "backup"]
    assert {job.label for job in only(jobs, "feed", "reconcile")} == {"feed", "reconcile"}
    with pytest.raises(UsageError, match="no job under the label"):
        only(jobs, "none")


def test_the_zone_is_that_of_the_machine(tmp_path: Path) -> None:
    assert local_zone({"TZ": "Asia/Kathmandu"}).utcoffset(START) == timedelta(hours=5, minutes=45)
    assert local_zone({}, tmp_path / "none") is UTC


class Machine:
    """A scheduler on a clock that is moved by hand; its jobs are real processes."""

    def __init__(self, text: str, folder: Path, **bounds: float) -> None:
        self.moment = START
        self.folder = folder
        self.scheduler = Scheduler(
            parse(text), now=lambda: self.moment.timestamp(), folder=folder, environment=os.environ, zone=UTC, **bounds
        )

    def pass_by(self, **span: int) -> None:
        self.moment += timedelta(**span)
        self.scheduler.look()

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end, "waited ten seconds in vain"
            self.scheduler.look()
            time.sleep(0.005)


def told(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if text in record.getMessage()]


@pytest.fixture(autouse=True)
def _listen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_a_run_is_logged_with_its_output_exit_code_and_duration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(
        'WORD=hello\n# [talk]\n* * * * * echo "$WORD from $PWD"; "$PYTHON" -c "raise SystemExit(3)"', tmp_path
    )
    machine.scheduler.begin()
    assert not told(caplog, "ended")
    machine.pass_by(minutes=1)
    machine.until(lambda: bool(told(caplog, "job ended")))
    assert told(caplog, f"[talk:3] hello from {tmp_path}")
    (ended,) = told(caplog, "job ended")
    assert "exit=3" in ended
    assert "seconds=" in ended


def test_percent_input_reaches_the_job(tmp_path: Path) -> None:
    machine = Machine("* * * * * cat > got%one%two", tmp_path)
    machine.scheduler.begin()
    machine.pass_by(minutes=1)
    machine.until(lambda: (tmp_path / "got").exists() and (tmp_path / "got").read_text() == "one\ntwo\n")


def test_a_job_does_not_overlap_with_itself_and_others_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "gate")
    machine = Machine("* * * * * echo x >> long; cat gate\n* * * * * echo x >> short", tmp_path)
    machine.scheduler.begin()
    for runs in (1, 2, 3):
        machine.pass_by(minutes=1)
        machine.until(lambda runs=runs: len(told(caplog, "job=job:2")) == runs)  # type: ignore[misc]
    assert (tmp_path / "long").read_text() == "x\n"
    assert (tmp_path / "short").read_text() == "x\n" * 3
    assert len(told(caplog, "skipped")) == 2
    (tmp_path / "gate").write_text("")
    machine.until(lambda: bool(told(caplog, "job=job:1 seconds")) and bool(told(caplog, "job ended exit=0 job=job:1")))
    machine.pass_by(minutes=1)
    machine.until(lambda: (tmp_path / "long").read_text() == "x\n" * 2)
    (tmp_path / "gate").write_text("")
    machine.until(lambda: len(told(caplog, "job ended exit=0 job=job:1")) == 2)


def test_missed_runs_are_noticed_and_the_latest_is_run_if_it_is_not_late(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine("* * * * * true\n0 * * * * touch hourly", tmp_path)
    machine.scheduler.begin()
    machine.pass_by(hours=2)  # asleep from 10:07:30 to 12:07:30
    machine.until(lambda: bool(told(caplog, "job ended")))
    assert "runs=119" in told(caplog, "missed job=job:1")[0]
    assert "runs=2" in told(caplog, "missed job=job:2")[0]
    assert not (tmp_path / "hourly").exists()
    caplog.clear()
    machine.pass_by(seconds=30)
    machine.until(lambda: bool(told(caplog, "job ended")))
    assert not told(caplog, "missed")


def test_a_clock_that_is_set_back_does_not_stop_the_jobs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine("* * * * * true", tmp_path)
    machine.scheduler.begin()
    machine.pass_by(hours=-5)
    assert not told(caplog, "job ended")
    machine.pass_by(minutes=1)
    machine.until(lambda: bool(told(caplog, "job ended")))


def test_at_start_runs_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine("@reboot echo x >> started", tmp_path)
    machine.scheduler.begin()
    machine.pass_by(days=1)
    machine.until(lambda: bool(told(caplog, "job ended")))
    assert (tmp_path / "started").read_text() == "x\n"


def test_the_end_lets_a_job_finish_and_stops_a_stubborn_one_with_its_children(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "gate")
    machine = Machine(
        "@reboot read x < gate; touch finished\n@reboot trap '' TERM; sleep 300 & echo $! > child; wait; wait", tmp_path
    )
    machine.scheduler.begin()
    machine.until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip() != "")
    (tmp_path / "gate").write_text("go\n")
    machine.until((tmp_path / "finished").exists)
    machine.scheduler.end(finish=0.1, term=0.1)
    assert told(caplog, "signal=SIGKILL")
    child = int((tmp_path / "child").read_text())
    machine.until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())


def gone(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


def test_a_job_that_hangs_is_ended_and_its_next_run_begins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "gate")
    machine = Machine("* * * * * echo x >> begun; cat gate", tmp_path, most_seconds=0.3)
    machine.scheduler.begin()
    machine.pass_by(minutes=1)
    machine.until(lambda: bool(told(caplog, "job ended exit=-15")))
    (line,) = told(caplog, "takes longer than JOB_MINUTES")
    assert "job=job:1" in line
    assert "signal=SIGTERM" in line
    assert [record.levelno for record in caplog.records if record.getMessage() == line] == [logging.ERROR]
    assert not told(caplog, "SIGKILL")
    machine.pass_by(minutes=1)
    machine.until(lambda: (tmp_path / "begun").read_text() == "x\n" * 2)
    machine.until(lambda: len(told(caplog, "job ended exit=-15")) == 2)


def test_what_does_not_heed_sigterm_is_killed_before_the_next_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The shell itself ends at SIGTERM, the program that it waits for does not.
    machine = Machine(
        "* * * * * (trap '' TERM; echo x >> begun; exec sleep 300) & echo $! > child; wait",
        tmp_path,
        most_seconds=0.3,
        clear_seconds=0.5,
    )
    machine.scheduler.begin()
    machine.pass_by(minutes=1)
    machine.until(lambda: bool(told(caplog, "signal=SIGTERM")))
    child = int((tmp_path / "child").read_text())
    machine.pass_by(minutes=1)
    assert told(caplog, "skipped: it still runs")
    assert not gone(child)
    machine.until(lambda: bool(told(caplog, "job does not end and is killed")) and gone(child))
    machine.until(lambda: bool(told(caplog, "job ended")))
    machine.pass_by(minutes=1)
    machine.until(lambda: (tmp_path / "begun").read_text() == "x\n" * 2)
    machine.scheduler.end(finish=0, term=0)


def start(tmp_path: Path, text: str, *more: str) -> subprocess.Popen[str]:
    (tmp_path / "env").write_text("".join(f"{name}={'x' * 32}\n" for name in secret_names()))
    (tmp_path / "crontab").write_text(text)
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.scheduler", str(tmp_path / "crontab"), *more],
        env={**os.environ, "PIPELINE_ENV_FILE": str(tmp_path / "env"), "PYTHONPATH": str(ROOT / "Python_Files")},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_process_runs_the_labelled_jobs_and_ends_on_sigterm(tmp_path: Path) -> None:
    process = start(
        tmp_path, f"# [a]\n@reboot echo ran-a; touch {tmp_path}/ran\n# [b]\n@reboot echo ran-b\n", "--only", "a"
    )
    end = time.monotonic() + 20
    while not (tmp_path / "ran").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "ran-a" in errors
    assert "ran-b" not in errors
    assert "scheduler ended" in errors


def test_a_malformed_crontab_ends_the_process_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "crontab").write_text("* * * * * good\n61 * * * * bad\n")
    assert scheduler.main([str(tmp_path / "crontab")]) == 2
    assert "crontab, line 2" in capsys.readouterr().err
    assert scheduler.main([str(tmp_path / "none")]) == 2
