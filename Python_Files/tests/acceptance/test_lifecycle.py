"""The project's scripts as a person uses them, with an instance that runs."""

from __future__ import annotations

import re
import socket
import stat
import time
from pathlib import Path

import pytest

from conftest import PORTS, Instance, new_instance, until
from pipeline import settings as all_settings
from pipeline.settings import ROOT

pytestmark = pytest.mark.acceptance


def test_a_second_start_says_that_it_runs_and_does_no_harm(stack: Instance) -> None:
    before = stack.settled()
    done = stack.run("Project_Start.sh", "--offline")
    assert "runs already" in done.stdout or "already" in done.stdout
    until(lambda: stack.status()["ready"], "it is ready")
    assert stack.settled()["fetched"] >= before["fetched"]


def test_initialize_again_changes_nothing(stack: Instance) -> None:
    env = Path(stack.environment["PIPELINE_ENV_FILE"])
    before = (env.read_bytes(), env.stat().st_mtime_ns)
    begin = time.monotonic()
    stack.run("Project_Initialize.sh")
    print(f"a second Initialize took {time.monotonic() - begin:.1f} s")
    assert (env.read_bytes(), env.stat().st_mtime_ns) == before
    until(lambda: stack.status()["ready"], "it is ready")


def test_secrets_are_closed_to_others_and_in_no_command_line_and_no_log(stack: Instance) -> None:
    env = Path(stack.environment["PIPELINE_ENV_FILE"])
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    secrets = [
        value.encode()
        for name, value in all_settings.read_file(env).items()
        if name in all_settings.secret_names() and value
    ]
    assert len(secrets) >= 6
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            assert not any(secret in command for secret in secrets)
    for log in (stack.directory / "data" / "logs").iterdir():
        content = log.read_bytes()
        assert not any(secret in content for secret in secrets), log.name


def test_servers_listen_on_this_machine_only(stack: Instance) -> None:
    ports = {int(stack.environment[name]) for name in PORTS}
    open_to_all = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            host, port = address.rsplit(":", 1)
            # 0A is LISTEN (include/net/tcp_states.h); addresses are in the machine's byte order.
            local = host == "0100007F" or host.endswith("0100007F") or host == "0" * 24 + "01000000"
            if state == "0A" and int(port, 16) in ports and not local:
                open_to_all.append((host, int(port, 16)))
    assert open_to_all == []


def test_the_feed_runs_every_minute_by_itself(stack: Instance) -> None:
    def scheduled() -> int:
        return int(stack.rows("SELECT count(*) FROM pipeline.fetches WHERE kind = 'scheduled' AND received = 10")[0][0])

    before = scheduled()
    until(lambda: scheduled() >= before + 1, "the scheduler has fetched ten people more", 130)


def test_a_stage_can_be_scaled_and_goes_on(stack: Instance) -> None:
    stack.run("Administrator_scripts/Scale.sh", "2-Add_Label", "3")

    def running() -> int:
        services = stack.status()["services"]
        return sum(one["name"].startswith("2-Add_Label") and one["state"] == "ok" for one in services)

    until(lambda: running() == 3, "three processes of the stage run", 60)
    before = len(stack.in_postgresql())
    stack.feed("--offline", "--results", "500")
    until(lambda: len(stack.in_postgresql()) >= before + 500, "500 people more are stored")
    stack.run("Administrator_scripts/Scale.sh", "2-Add_Label", "1")
    until(lambda: running() == 1, "one process of the stage runs", 60)
    wrong = stack.run("Administrator_scripts/Scale.sh", "2-Add_Label", "99", ok=False)
    assert wrong.returncode == 2


def test_logs_show_every_part(stack: Instance) -> None:
    told = stack.run("Administrator_scripts/Logs.sh").stdout
    for part in ("postgresql", "kafka", "nocodb", "1-Add_Timestamp", "scheduler"):
        assert part in told


def test_removing_the_stand_ins_people_removes_them_from_both_stores_for_good(stack: Instance) -> None:
    stack.feed("--file", str(ROOT / "Python_Files/tests/data/randomuser_200.json"))
    stack.feed("--offline", "--results", "20", "--seed", "removal")

    def sources() -> dict[str, int]:
        return dict(stack.rows("SELECT source, count(*) FROM pipeline.users GROUP BY source"))

    stack.settled()
    removed = {uuid for (uuid,) in stack.rows("SELECT uuid::text FROM pipeline.users WHERE source = 'stand-in'")}
    assert len(removed) >= 20
    stack.run("Administrator_scripts/Reset.sh", "--source", "stand-in", "--yes")
    assert not removed & stack.in_postgresql()
    assert not removed & stack.in_nocodb()
    assert sources()["file"] == 200
    # The same people again, after they were removed: they are repeats and do not come back.
    stack.feed("--offline", "--results", "20", "--seed", "removal")
    totals = stack.settled()
    assert not removed & stack.in_postgresql()
    assert not removed & stack.in_nocodb()
    assert totals["removed"] >= len(removed)
    assert totals["missing"] == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESULTS_PER_FETCH", "0"),
        ("NOCODB_PORT", "99999"),
        ("NATIONALITIES", "US,XX"),
        ("POSTGRES_PASSWORD", "short"),
        ("KAFKA_RETENTION_HOURS", "24"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_starts(name: str, value: str) -> None:
    instance = new_instance(**{name: value})
    try:
        done = instance.run("Project_Start.sh", "--offline", ok=False)
        assert done.returncode == 2, done.stdout
        assert name in done.stdout
        assert "allowed" in done.stdout
        assert "Traceback" not in done.stdout
        if name == "POSTGRES_PASSWORD":
            assert "short" not in done.stdout, "a secret is not shown"
        assert not (instance.directory / "data" / "postgresql").exists()
    finally:
        _remove(instance)


def test_a_port_in_use_is_told_with_its_setting_before_anything_starts() -> None:
    instance = new_instance()
    port = int(instance.environment["NOCODB_PORT"])
    try:
        with socket.create_server(("127.0.0.1", port)):
            done = instance.run("Project_Start.sh", "--offline", ok=False)
        assert done.returncode == 1, done.stdout
        assert "NOCODB_PORT" in done.stdout
        assert str(port) in done.stdout
        assert "Traceback" not in done.stdout
    finally:
        _remove(instance)


def test_status_of_what_does_not_run_is_not_ready_and_no_traceback() -> None:
    instance = new_instance()
    try:
        done = instance.run("Administrator_scripts/Status.sh", ok=False)
        assert done.returncode in (1, 2)
        assert re.search(r"error:|not ready", done.stdout)
        assert "Traceback" not in done.stdout
    finally:
        _remove(instance)


def _remove(instance: Instance) -> None:
    import shutil

    shutil.rmtree(instance.directory, ignore_errors=True)
