"""Database/Restore.sh in containers, for real: what comes back, what is refused, what a kill leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from compose_project import Project, started_project
from conftest import until
from pipeline.settings import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1500)]

DATA = "/var/lib/postgresql"


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    yield from started_project()


def people(project: Project) -> set[str]:
    """The uuids that PostgreSQL has; the ledger compares both stores with what was fetched."""
    ask = ("psql", "-X", "-U", "postgres", "-d", "pipeline", "-qtAc", "SELECT uuid FROM pipeline.users")
    return set(project.compose("exec", "-T", "postgres", *ask).split())


def point(project: Project) -> str:
    found = re.search(r"Point +(\S+) is safe in the repository", project.run("Database/Backup.sh"))
    assert found
    return found[1]


def restore(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["Database/Restore.sh", *arguments],
        cwd=ROOT,
        env={**project.whole_environment, "PIPELINE_MODE": "docker"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


def in_restore(project: Project, command: str) -> str:
    """A command of the shell where PostgreSQL's files and the backups can be written."""
    return project.compose("run", "--rm", "--no-deps", "-T", "restore", "sh", "-c", command)


def restored(project: Project, *arguments: str) -> str:
    done = restore(project, *arguments)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everybody is accounted for" in done.stdout
    assert "both stores complete" in done.stdout
    return done.stdout


def test_after_a_first_start_no_warning_is_about_the_backups(project: Project) -> None:
    project.run("Database/Backup.sh")
    told = json.loads(project.run("Administrator_scripts/docker/status.sh", "--json"))
    assert [warning for warning in told["warnings"] if not warning.startswith("offline")] == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--to", "yesterday", "--yes"), 2, "neither a restore point nor a moment"),
        (("--to", "2999-01-01", "--yes"), 2, "has not come yet"),
        (("--to", "2001-01-01", "--yes"), 1, "no base backup reaches back"),
        (("--latest",), 2, "there is nobody to ask"),
    ],
)
def test_what_cannot_be_restored_is_told_and_nothing_stops(
    project: Project, arguments: tuple[str, ...], code: int, said: str
) -> None:
    containers, held = project.compose("ps", "--quiet"), in_restore(project, f"ls {DATA}")
    done = restore(project, *arguments)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert project.compose("ps", "--quiet") == containers
    assert in_restore(project, f"ls {DATA}") == held


def test_everybody_fetched_after_the_point_is_back_in_both_stores(project: Project) -> None:
    project.feed("--offline", "--results", "200")
    until(project.everybody_is_stored, "200 people in both stores")
    kept = point(project)
    project.feed("--offline", "--results", "300")
    project.run("Database/Backup.sh")
    until(project.everybody_is_stored, "300 more in both stores")
    before = people(project)

    # A gap is told before anything is touched: PostgreSQL would go into service with less.
    wal = in_restore(project, "ls /var/lib/backup/repository/archive/main/*/0000000100000000/*").split()[-2]
    in_restore(project, f"mv {wal} /var/lib/backup/repository/aside")
    gap = restore(project, "--latest", "--yes")
    assert gap.returncode == 1
    assert "is missing" in gap.stderr
    in_restore(project, f"mv /var/lib/backup/repository/aside {wal}")

    with subprocess.Popen(
        ["Database/Restore.sh", "--to", kept, "--yes"],
        cwd=ROOT,
        env={**project.whole_environment, "PIPELINE_MODE": "docker"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout
        told = running.stdout.readline()
        second = restore(project, "--latest", "--yes")
        assert second.returncode == 1
        assert "another restore is running" in second.stderr
        told += running.stdout.read()
    print(told)
    assert running.returncode == 0, told
    assert f'at restore point "{kept}"' in told
    assert "(RTO)" in told
    assert "Everybody is accounted for" in told
    assert before <= people(project)
    assert in_restore(project, f"ls -d {DATA}/data-before-restore-*")


def test_the_pipelines_database_alone_is_put_back_while_nocodb_runs(project: Project) -> None:
    kept = point(project)
    project.feed("--offline", "--results", "100")
    until(project.everybody_is_stored, "100 people in both stores")
    before, nocodb = people(project), project.compose("ps", "--quiet", "nocodb")
    told = restored(project, "--to", kept, "--only", "pipeline", "--yes")
    assert "Sinks                       stood still" in told
    assert before <= people(project)
    assert project.compose("ps", "--quiet", "nocodb") == nocodb


def test_nocodbs_files_come_back_alone(project: Project) -> None:
    def in_files(command: str) -> str:
        return project.compose("run", "--rm", "--no-deps", "-T", "restore-files", "sh", "-c", command)

    kept = point(project)
    place = "/var/lib/nocodb/nc/uploads"
    before = in_files(f"find {place} -type f -exec sha256sum {{}} + | sort")
    assert before
    in_files(f"rm -rf {place}/*")
    project.run("Database/Backup.sh")
    assert restore(project, "--latest", "--only", "files").returncode == 2
    told = restore(project, "--to", kept, "--only", "files")
    assert told.returncode == 0, told.stdout + told.stderr
    print(told.stdout)
    after = in_files(f"find {place} -type f -exec sha256sum {{}} + | sort")
    assert set(before.splitlines()) <= set(after.splitlines())


def test_a_killed_restore_leaves_the_old_data_and_the_next_start_says_so(project: Project) -> None:
    before = people(project)
    running = subprocess.Popen(
        ["Database/Restore.sh", "--latest", "--yes"],
        cwd=ROOT,
        env={**project.whole_environment, "PIPELINE_MODE": "docker"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert running.stdout
    for line in running.stdout:
        if "what uses PostgreSQL is stopped" in line:
            break
    label = f"label=com.docker.compose.project={project.environment['COMPOSE_PROJECT_NAME']}"
    oneoff = ("--filter", label, "--filter", "label=com.docker.compose.service=restore")
    container = until(lambda: project.run("docker", "ps", "--quiet", *oneoff).split(), "the replay runs")
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    running.stdout.close()
    project.run("docker", "kill", *container)
    until(lambda: not project.run("docker", "ps", "--quiet", *oneoff).split(), "its container has ended")
    told = project.script("start", "--offline")
    assert "the OLD data is in place" in told
    until(project.everybody_is_stored, "everybody in both stores", 240)
    assert before <= people(project)


def test_the_database_is_gone_and_everybody_is_back(project: Project) -> None:
    project.feed("--offline", "--results", "300")
    until(project.everybody_is_stored, "300 people in both stores")
    project.run("Database/Backup.sh")
    before = people(project)
    in_restore(project, f"rm -rf {DATA}/data/* {DATA}/data-*")
    project.feed("--offline", "--results", "200")  # the feed needs no PostgreSQL
    project.compose("stop", "postgres")
    [said, *_] = project.refused_start()
    assert said == "error: the database is gone, and its backups are there; no new one is made in its place"
    restored(project, "--latest", "--yes")
    assert before <= people(project)
    until(lambda: len(people(project)) >= len(before) + 200, "those who were fetched without a database", 240)
