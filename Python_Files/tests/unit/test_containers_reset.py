"""The backups at a reset of the container way: deleted or set aside by their own user, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.containers.__main__ import main


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "backup.info").touch()
    (tmp_path / "restore_points.jsonl").touch()
    (tmp_path / "lost+found").mkdir()
    return tmp_path


def test_current_backups_are_set_aside_whole(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reset-backups", "look", str(place)]) == 0
    assert capsys.readouterr().out == "current\n"
    assert main(["reset-backups", "set-aside", str(place)]) == 0
    aside = place / capsys.readouterr().out.strip()
    assert sorted(entry.name for entry in aside.iterdir()) == ["repository", "restore_points.jsonl"]
    main(["reset-backups", "look", str(place)])
    assert capsys.readouterr().out == "set aside\n"


def test_deleted_are_the_backups_and_those_set_aside_and_nothing_else(place: Path) -> None:
    main(["reset-backups", "set-aside", str(place)])
    (place / "repository").mkdir()
    assert main(["reset-backups", "delete", str(place)]) == 0
    assert [entry.name for entry in place.iterdir()] == ["lost+found"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_a_directory_of_another_user_is_left_alone(place: Path) -> None:
    os.chown(place, 12345, 12345)
    assert main(["reset-backups", "delete", str(place)]) == 0
    assert (place / "repository" / "backup.info").exists()


def test_a_directory_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reset-backups", "delete", str(tmp_path / "none")]) == 1
    assert "error: the directory of the backups cannot be used" in capsys.readouterr().err
