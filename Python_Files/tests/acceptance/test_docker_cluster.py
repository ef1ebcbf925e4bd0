"""Three brokers, one of them killed under load: the chain goes on without it, and nobody is lost or doubled.

Skipped, and saying so, where no engine answers.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from compose_project import Project, started_project
from conftest import until
from pipeline.settings import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(2400)]

FILES = ("docker-compose.yml", "docker-compose.cluster.yml")
BROKERS = ("kafka", "kafka-2", "kafka-3")
CHAIN = ("get-data", "add-timestamp", "add-label", "add-database-postgresql", "add-database-nocodb")
FEEDS, PEOPLE = 8, 400

# What the brokers say of themselves: what is not on all three.
STATE = """
import json
from kafka import KafkaAdminClient
from pipeline import settings
from pipeline.broker.connection import client
admin = KafkaAdminClient(**client(settings.load(), "tests"))
try:
    found = admin.describe_topics()
    print(json.dumps({
        "partitions": sum(len(topic["partitions"]) for topic in found),
        "behind": [
            f"{topic['name']}-{one['partition_index']}"
            for topic in found for one in topic["partitions"] if len(one["isr_nodes"]) < 3
        ],
    }))
finally:
    admin.close()
"""


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    yield from started_project(FILES, KAFKA_BROKERS="3")


def in_postgresql(project: Project) -> int:
    """Asked of PostgreSQL alone, so that a broker that is away cannot delay the answer."""
    asked = ("psql", "-XAtqd", "pipeline", "-c", "SELECT count(*) FROM pipeline.users")
    return int(project.compose("exec", "-T", "postgres", *asked))


def behind(project: Project) -> list[str]:
    """The partitions that are not on all three brokers."""
    told = json.loads(project.compose("exec", "-T", "get-data", "python", "-c", STATE))
    assert told["partitions"] > 20
    return list(told["behind"])


def restarts(project: Project) -> dict[str, int]:
    return {service: project.restarts(service) for service in CHAIN}


def test_the_brokers_are_alike(project: Project) -> None:
    services = json.loads(project.compose("config", "--format", "json"))["services"]
    alike = []
    for name in BROKERS:
        service = services[name]
        # Their own: where the settings and the data are.
        targets = [(volume["type"], volume["target"], volume.get("read_only")) for volume in service.pop("volumes")]
        alike.append({**service, "targets": targets})
    assert alike[0] == alike[1] == alike[2]


def test_the_two_files_are_taken_without_a_warning(project: Project) -> None:
    done = subprocess.run(
        project.compose_command("config", "--quiet"),
        cwd=ROOT,
        env=project.whole_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_first_people_have_their_faces(project: Project) -> None:
    """Their portraits are made once, which takes NocoDB longer than anything that is looked at here."""
    project.feed("--offline", "--results", str(PEOPLE))
    until(project.everybody_is_stored, "everybody in both stores", 900)


def test_every_partition_is_on_three_brokers(project: Project) -> None:
    until(lambda: not behind(project), "each partition on three brokers")


@pytest.mark.parametrize("broker", BROKERS)
def test_a_killed_broker_stops_nothing_and_loses_nobody(project: Project, broker: str) -> None:
    """Each of the three in turn, so that every role is lost: leader, coordinator, controller, first of the list."""
    stored, restarted = in_postgresql(project), restarts(project)
    everybody = stored + FEEDS * PEOPLE
    killed = 0.0
    longest, count, since = 0.0, stored, time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(feed_all, project)
        # The broker stays away until everybody is there, also those who were fetched without it.
        while count < everybody:
            assert time.monotonic() - since < 180, f"nobody arrives any more: {count} of {everybody}"
            arrived, now = in_postgresql(project), time.monotonic()
            if arrived > count:
                longest = max(longest, now - since) if killed else 0.0
                count, since = arrived, now
            if not killed and count >= stored + PEOPLE:
                project.compose("kill", "--signal", "KILL", broker)
                killed = time.monotonic()
        tries = load.result()
    away = time.monotonic() - killed
    assert project.compose("ps", "--quiet", "--status", "running", broker) == ""

    project.compose("start", broker)
    until(lambda: not behind(project), "each partition on three brokers again", 300)
    until(project.everybody_is_stored, "everybody in both stores", 900)
    totals = project.status()["totals"]
    print(f"{broker}: longest pause {longest:.1f} s, away for {away:.1f} s, {tries} runs of the feed, {totals}")
    assert totals["repeats"] == 0
    assert restarts(project) == restarted


def feed_all(project: Project) -> int:
    """Fetch FEEDS times PEOPLE; how many runs that took: one that meets the loss of a broker may fail, and say so."""
    left, tries = FEEDS, 0
    arguments = ("exec", "-T", "get-data", "python", "Python_Files/0-Get_Data.py", "--offline", "--results")
    while left:
        tries += 1
        assert tries < 3 * FEEDS
        done = subprocess.run(
            project.compose_command(*arguments, str(PEOPLE)),
            cwd=ROOT,
            env=project.whole_environment,
            capture_output=True,
            text=True,
            check=False,
        )
        left -= done.returncode == 0
    return tries


def test_another_number_of_brokers_is_refused_before_anything_starts(project: Project) -> None:
    path = Path(project.environment["PIPELINE_ENV_FILE"])
    of_one = path.with_name("env-of-one")
    of_one.write_text(path.read_text(encoding="utf-8").replace("KAFKA_BROKERS=3", "KAFKA_BROKERS=1"), encoding="utf-8")
    alone = Project({**project.environment, "PIPELINE_ENV_FILE": str(of_one), "KAFKA_BROKERS": "1"})
    done = subprocess.run(
        alone.compose_command("run", "--rm", "--no-deps", "settings"),
        cwd=ROOT,
        env=alone.whole_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Kafka's data is of 3 brokers, and KAFKA_BROKERS is 1" in done.stderr
