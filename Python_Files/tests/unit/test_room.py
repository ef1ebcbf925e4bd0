"""A disk that gets full is told once, and that there is room again, too."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from pipeline import room, settings


def settings_of(tmp_path: Path) -> settings.Settings:
    secrets = dict.fromkeys(settings.secret_names(), "x" * 32)
    return settings.parse({**secrets, "DATA_DIR": str(tmp_path)})


def test_a_short_disk_is_told_once_and_its_relief_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = room.Watch(settings_of(tmp_path))
    caplog.set_level(logging.INFO)
    for limit in (0, 10**9, 10**9, 0, 0):
        watch._settings = msgspec.structs.replace(settings_of(tmp_path), disk_warn_mb=limit)
        watch.look()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "DISK_WARN_MB=1000000000" in caplog.text


def test_a_directory_that_is_gone_is_told_and_no_error(tmp_path: Path) -> None:
    assert "cannot be looked at" in str(room.warning(settings_of(tmp_path / "gone")))
