"""How programs end: every expected fault is told in words and by an exit code, and only those."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline import entry, settings
from pipeline.errors import PassingFault, PipelineError, UsageError
from pipeline.settings import Settings


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {**dict.fromkeys(settings.secret_names(), "s" * 32), "DATA_DIR": str(tmp_path / "data")}
    monkeypatch.setattr(settings, "load", lambda: settings.parse(values))


def ended(fault: BaseException, **given: str) -> int:
    def work(_: Settings) -> int:
        raise fault

    return entry.main("tests", work, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (PipelineError("it broke"), 1, "error: it broke\n"),
        (UsageError("not so"), 2, "error: not so\n"),
        (PassingFault("away"), 1, "error: away\nhint: Look.\n"),
        (PassingFault("away", hint="Wait."), 1, "error: away\nhint: Wait.\n"),
        (
            OSError(28, "No space left on device"),
            1,
            "error: cannot be written\ndetail: [Errno 28] No space left on device\n",
        ),
        (KeyboardInterrupt(), 130, "error: it was interrupted\n"),
    ],
)
def test_an_expected_fault_is_told_in_words(
    fault: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(fault, hint="Look.", unwritable="cannot be written") == code
    assert capsys.readouterr().err == words


@pytest.mark.parametrize("fault", [ValueError("a bug"), OSError("not expected here")])
def test_what_nobody_expected_keeps_its_traceback(fault: Exception) -> None:
    with pytest.raises(type(fault)):
        ended(fault)


def test_on_a_full_disk_that_is_what_is_to_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PostgreSQL's "could not write init file" says nothing of it."""
    (tmp_path / "data").mkdir()
    usage = shutil.disk_usage(tmp_path)._replace(free=3 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert ended(PassingFault("away"), hint="Look.") == 1
    told = capsys.readouterr().err
    assert f"hint: Free some room: the disk of {tmp_path / 'data'} has only 3 MiB left" in told
    assert ended(PassingFault("away", hint="Wait."), hint="Look.") == 1
    assert "hint: Wait.\n" in capsys.readouterr().err
