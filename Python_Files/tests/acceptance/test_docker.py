"""The container way, brought up for real by its own scripts; skipped, and saying so, where no engine answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver.common.by import By

from chromium import browser
from compose_project import Project, installed_project, started_project
from conftest import until
from pipeline import settings as all_settings
from pipeline import topics
from pipeline.settings import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1500)]

STAGES = ("add-timestamp", "add-label", "add-database-postgresql", "add-database-nocodb")
SERVICES = ("postgres", "kafka", "nocodb", "get-data", "api", "backup", *STAGES)
ONE_SHOTS = ("settings", "setup-postgres", "setup", "setup-nocodb")


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    yield from started_project()


def test_the_file_is_taken_without_a_warning(project: Project) -> None:
    done = subprocess.run(
        ["docker", "compose", "--env-file", project.environment["PIPELINE_ENV_FILE"], "config", "--quiet"],
        cwd=ROOT,
        env={**os.environ, **project.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_all_services_do_their_work(project: Project) -> None:
    assert [service for service in SERVICES if project.healthy(service) != 1] == []


def test_a_second_run_builds_nothing_and_changes_nothing(project: Project) -> None:
    containers = project.compose("ps", "--all", "--quiet")
    images = sorted(project.compose("images", "--quiet").split())
    told = project.script("initialize")
    assert "of this project are there" in told
    assert "built" not in told
    assert "runs already; nothing was changed" in project.script("start")
    assert sorted(project.compose("images", "--quiet").split()) == images
    assert project.compose("ps", "--all", "--quiet") == containers


def test_two_hundred_people_are_in_both_stores(project: Project) -> None:
    before = project.status()["totals"]["fetched"]
    project.feed("--offline", "--results", "200")
    until(project.everybody_is_stored, "200 people in both stores")
    assert project.status()["totals"]["postgresql"] >= before + 200


def test_the_real_people_of_a_saved_response_are_fed_from_the_host(project: Project) -> None:
    before = project.status()["totals"]["fetched"]
    project.feed("--file", str(ROOT / "Python_Files" / "tests" / "data" / "randomuser_200.json"))
    until(project.everybody_is_stored, "the real people in both stores")
    assert project.status()["totals"]["fetched"] >= before + 200


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_process_comes_back_and_nobody_is_lost(project: Project, service: str) -> None:
    before = project.restarts(service)
    stored = project.status()["totals"]["postgresql"]
    project.feed("--offline", "--results", "500")  # they are on their way when it dies
    project.kill(service)
    until(lambda: project.restarts(service) > before, f"{service} is started again")
    until(lambda: project.healthy(service) == 1, f"{service} does its work again", 240)
    project.feed("--offline", "--results", "100")
    until(project.everybody_is_stored, "everybody in both stores", 240)
    assert project.status()["totals"]["postgresql"] >= stored + 600


def test_a_frozen_stage_is_unhealthy_until_it_goes_on(project: Project) -> None:
    project.signal("add-timestamp", "SIGSTOP")
    until(lambda: project.healthy("add-timestamp") == 0, "the frozen stage is unhealthy", 150)
    assert project.says("add-timestamp").startswith("working, but it has not moved for ")
    assert project.healthy("add-label") == 1
    project.signal("add-timestamp", "SIGCONT")
    until(lambda: project.healthy("add-timestamp") == 1, "the stage does its work again", 150)


def test_stages_without_kafka_are_unhealthy_and_say_what_they_wait_for(project: Project) -> None:
    project.compose("stop", "kafka")
    for stage in STAGES:
        until(lambda stage=stage: project.healthy(stage) == 0, f"{stage} is unhealthy", 150)
        assert project.says(stage).startswith("paused: Kafka ")
    assert project.healthy("get-data") == 1  # it looks at its crontab as ever
    project.compose("start", "kafka")
    for stage in STAGES:
        until(lambda stage=stage: project.healthy(stage) == 1, f"{stage} does its work again", 240)
    until(project.everybody_is_stored, "everybody in both stores", 240)


def test_a_stage_scales_to_three_and_back_under_load(project: Project) -> None:
    project.feed("--offline", "--results", "1000")
    project.script("scale", "2-Add_Label", "3")
    project.feed("--offline", "--results", "1000")
    until(lambda: project.healthy("add-label") == 3, "three instances that do their work")
    project.script("scale", "2-Add_Label", "1")
    project.feed("--offline", "--results", "1000")
    until(project.everybody_is_stored, "everybody in both stores", 240)
    until(lambda: project.healthy("add-label") == 1, "one instance that does its work")


def test_a_backup_makes_everything_restorable_and_is_listed(project: Project) -> None:
    told = project.run("Database/Backup.sh", "--full")
    assert "Base backup" in told
    point = re.search(r"Point +(\S+) is safe in the repository", told)
    assert point
    assert point[1] in project.run("Database/Backup.sh", "--list")
    kept = Path(project.environment["BACKUP_DIR"]) / "configuration" / "env"
    assert kept.read_bytes() == Path(project.environment["PIPELINE_ENV_FILE"]).read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_the_schedule_backs_up(project: Project) -> None:
    until(lambda: "job ended" in project.compose("logs", "backup"), "a run of the schedule", 330)
    ended = [line for line in project.compose("logs", "backup").splitlines() if "job ended" in line]
    assert all("exit=0" in line for line in ended), ended


def asked(project: Project, address: str, **more: Any) -> httpx.Response:
    """What the API answers to somebody on the host."""
    where = f"http://127.0.0.1:{project.environment['API_PORT']}{address}"
    return httpx.request(more.pop("method", "GET"), where, timeout=60, **more)


def test_the_read_api_answers_the_host_and_takes_an_order(project: Project) -> None:
    assert asked(project, "/api/health").status_code == 200
    assert asked(project, "/api/ingest", method="POST", json={"results": 20}).status_code == 401
    token = all_settings.read_file(Path(project.environment["PIPELINE_ENV_FILE"]))["API_TOKEN"]
    bearer = {"Authorization": f"Bearer {token}"}
    ordered = asked(project, "/api/ingest", method="POST", json={"results": 20}, headers=bearer)
    assert ordered.status_code == 202, ordered.text
    people = f"/api/users?fetch_id={ordered.json()['fetch_id']}"
    until(lambda: asked(project, people).json()["total"] == 20, "the people that were ordered are stored")
    ports = json.loads(project.run("docker", "inspect", project.compose("ps", "--quiet", "api").strip()))[0]
    assert {one["HostIp"] for one in ports["NetworkSettings"]["Ports"]["8000/tcp"]} == {"127.0.0.1"}


def test_the_metrics_are_those_of_every_container_that_works(project: Project) -> None:
    def told() -> set[tuple[str, str]]:
        text = asked(project, "/metrics").text
        return set(re.findall(r'pipeline_process_told_timestamp_seconds\{instance="([^"]*)",stage="([^"]*)"\}', text))

    every = {("0", stage) for stage in (*topics.STAGES, "0-Get_Data", "scheduler", "api")} | {("backup", "scheduler")}
    until(lambda: every <= told(), "every process tells its figures")
    # Replicas that have just been ended tell theirs until these are stale.
    assert {stage for instance, stage in told() - every} <= {topics.ADD_LABEL}
    jobs = re.findall(r'pipeline_job_runs_total\{instance="backup",job="([^"]*)"', asked(project, "/metrics").text)
    assert {job.partition(":")[0] for job in jobs} == {"backup"}


def test_the_page_shows_new_people_with_their_faces(project: Project) -> None:
    with browser() as driver:
        driver.get(f"http://127.0.0.1:{project.environment['API_PORT']}/")

        def shown(selector: str) -> list[str]:
            return [one.text for one in driver.find_elements(By.CSS_SELECTOR, selector)]

        until(lambda: shown("#connection") == ["Live"], "the page is live")
        project.feed("--offline", "--results", "3")
        [person] = asked(project, "/api/users?sort=-fetched_at&limit=1").json()["data"]
        until(lambda: shown(f"#people [data-uuid='{person['uuid']}']"), "somebody appears")
        until(lambda: shown("#people img"), "somebody has a face, from NocoDB's storage")
        until(lambda: "Everybody is accounted for" in "".join(shown("#ledger")), "the ledger is told")


def test_the_superusers_password_follows_the_settings_file(project: Project) -> None:
    project.script("stop")
    path = Path(project.environment["PIPELINE_ENV_FILE"])
    text = path.read_text()
    path.write_text(re.sub(r"(?m)^POSTGRES_PASSWORD=.*$", "POSTGRES_PASSWORD=another-one-of-thirty-two-chars-0", text))
    try:
        project.script("start", "--offline")
        project.run("Database/Backup.sh")  # it works as the superuser
    finally:
        path.write_text(text)
    project.script("stop")
    project.script("start", "--offline")


def services(project: Project) -> dict[str, str]:
    """The state of each part as Status.sh tells it, which ends with 1 when not all of them are ok."""
    done = subprocess.run(
        ["Administrator_scripts/docker/status.sh", "--json"],
        cwd=ROOT,
        env={**os.environ, **project.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    told = json.loads(done.stdout)
    assert done.returncode == (0 if told["ready"] else 1)
    return {service["name"]: service["state"] for service in told["services"]}


def test_status_lists_every_container_and_names_the_one_that_does_not_run(project: Project) -> None:
    every = {"postgresql", "kafka", "nocodb", "get-data", "api", "backup", *(f"{stage}-1" for stage in topics.STAGES)}
    until(lambda: services(project) == dict.fromkeys(every, "ok"), "every container is listed as ok")
    for service, name in (("add-label", "2-Add_Label-1"), ("get-data", "get-data")):
        project.compose("kill", service)
        assert services(project) == {**dict.fromkeys(every, "ok"), name: "stopped"}
        project.compose("start", service)
        until(lambda: set(services(project).values()) == {"ok"}, f"{name} is ok again")


def test_a_number_of_containers_outlives_a_start_by_hand_also_0(project: Project) -> None:
    project.script("scale", "2-Add_Label", "0")
    project.compose("up", "--detach", "--no-build")
    assert project.compose("ps", "--all", "--quiet", "add-label") == ""
    assert services(project)["2-Add_Label-1"] == "stopped"
    project.script("scale", "2-Add_Label", "1")
    assert services(project)["2-Add_Label-1"] == "ok"


def test_the_engine_shows_no_secret(project: Project) -> None:
    values = all_settings.read_file(Path(project.environment["PIPELINE_ENV_FILE"]))
    containers = project.compose("ps", "--all", "--quiet").split()
    shown = project.run("docker", "inspect", *containers)
    assert len(containers) == len(SERVICES) + len(ONE_SHOTS)
    assert [name for name in all_settings.secret_names() if values[name] in shown] == []


def test_the_data_outlives_a_stop(project: Project) -> None:
    before = project.status()["totals"]
    project.script("stop")
    assert project.compose("ps", "--status", "running", "--quiet") == ""
    project.script("start", "--offline")
    after = project.status()["totals"]
    assert after["postgresql"] >= before["postgresql"]
    assert after["nocodb"] >= before["nocodb"]
    until(project.everybody_is_stored, "everybody in both stores")


def test_what_is_not_ours_ends_the_start_with_the_plain_error_and_its_remedy() -> None:
    with installed_project() as one:
        backups = Path(one.environment["BACKUP_DIR"])
        backups.mkdir()
        (backups / "holiday.jpg").touch()
        told = one.refused_start()
        assert told[0].startswith("error: the directory of the backups holds something")
        assert "holiday.jpg" in told[1]
        (backups / "holiday.jpg").unlink()

        name = one.environment["COMPOSE_PROJECT_NAME"]
        volume, image = f"{name}_postgres-data", f"{name}/pipeline:0.1.0"
        foreign = ("docker", "run", "--rm", "--user", "1234", "--volume", f"{volume}:/volume", image)
        one.run(*foreign[:4], "0", *foreign[5:], "chmod", "1777", "/volume")
        one.run(*foreign, "mkdir", "/volume/data")
        assert one.refused_start() == [
            f"error: the volume {volume} belongs to somebody else",
            "detail: 'data' in it is of uid 1234; PostgreSQL, whose data it holds, has uid 999",
            f"hint: If the data is this installation's: docker run --rm --user 0 --volume {volume}:/volume {image} "
            "chown -R 999:999 /volume. Else set COMPOSE_PROJECT_NAME in .env to another name.",
        ]
        assert one.compose("ps", "--status", "running", "--quiet") == ""
