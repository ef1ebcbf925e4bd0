"""Volumes that belong to somebody else are told before a service stumbles over them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline import settings
from pipeline.containers import volumes
from pipeline.errors import PipelineError
from pipeline.settings import Settings

ME = {"postgres-data": volumes.User("PostgreSQL", os.geteuid())}
ANOTHER = {"postgres-data": volumes.User("PostgreSQL", os.geteuid() + 1)}


@pytest.fixture
def some_settings() -> Settings:
    secrets = dict.fromkeys(settings.secret_names(), "a" * 32)
    return settings.parse({**secrets, "COMPOSE_PROJECT_NAME": "shop"})


def test_a_volume_of_its_service_is_taken(tmp_path: Path, some_settings: Settings) -> None:
    (tmp_path / "postgres-data" / "data").mkdir(parents=True)
    volumes.check(some_settings, tmp_path, ME)


def test_a_volume_with_data_of_another_user_is_told_with_owner_wanted_owner_and_remedy(
    tmp_path: Path, some_settings: Settings
) -> None:
    (tmp_path / "postgres-data" / "data").mkdir(parents=True)
    with pytest.raises(PipelineError) as caught:
        volumes.check(some_settings, tmp_path, ANOTHER)
    told = caught.value.report()
    assert "the volume shop_postgres-data belongs to somebody else" in told
    assert f"'data' in it is of uid {os.geteuid()}; PostgreSQL, whose data it holds, has uid {os.geteuid() + 1}" in told
    assert f"--volume shop_postgres-data:/volume shop/pipeline:0.1.0 chown -R {os.geteuid() + 1}" in told


@pytest.mark.parametrize("inside", [(), ("lost+found",)])
def test_an_empty_volume_is_nobodys_fault(tmp_path: Path, some_settings: Settings, inside: tuple[str, ...]) -> None:
    (tmp_path / "postgres-data").mkdir()
    for name in inside:
        (tmp_path / "postgres-data" / name).mkdir()
    volumes.check(some_settings, tmp_path, ANOTHER)
    volumes.check(some_settings, tmp_path / "not-mounted", ANOTHER)


def test_what_the_service_does_not_use_may_be_anybodys(tmp_path: Path, some_settings: Settings) -> None:
    (tmp_path / "postgres-data" / "18").mkdir(parents=True)
    (tmp_path / "postgres-data").chmod(0o1777)
    another = {"postgres-data": volumes.User("PostgreSQL", os.geteuid() + 1, ("data",))}
    volumes.check(some_settings, tmp_path, another)
    (tmp_path / "postgres-data").chmod(0o755)
    with pytest.raises(PipelineError, match="belongs to somebody else"):
        volumes.check(some_settings, tmp_path, another)
