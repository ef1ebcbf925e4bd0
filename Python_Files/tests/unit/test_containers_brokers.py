"""One broker or three: what each is told, and that their number does not change under the data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import settings
from pipeline.containers import brokers, handed
from pipeline.errors import SettingsError
from pipeline.operations import kafka_server
from pipeline.settings import Settings

SECRETS = dict.fromkeys(settings.secret_names(), "s" * 32)


def of(number: int) -> Settings:
    return handed.inside(settings.parse({**SECRETS, "KAFKA_BROKERS": str(number)}))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """What docker-compose.yml gives the service "settings"."""
    (tmp_path / "handed" / "kafka").mkdir(parents=True)
    return tmp_path / "handed"


@pytest.fixture
def folders_of_three(folders: Path) -> Path:
    """What docker-compose.cluster.yml gives it."""
    for name in ("kafka-2", "kafka-3"):
        (folders / name).mkdir()
    return folders


def data_of(number: int, tmp_path: Path) -> Path:
    """The data of the first of so many brokers, as Kafka leaves it."""
    data = tmp_path / "data"
    (data / "__cluster_metadata-0").mkdir(parents=True)
    quorum = {"clusterId": "", "currentVoters": [{"voterId": one} for one in range(1, number + 1)], "data_version": 0}
    (data / "__cluster_metadata-0" / "quorum-state").write_text(json.dumps(quorum))
    return data


def test_three_brokers_know_each_other_and_have_their_own_names() -> None:
    made = [handed.kafka_properties(of(3), node) for node in (1, 2, 3)]
    assert [one["node.id"] for one in made] == ["1", "2", "3"]
    assert {one["controller.quorum.voters"] for one in made} == {"1@kafka:9093,2@kafka-2:9093,3@kafka-3:9093"}
    assert [one["advertised.listeners"].split(",")[0] for one in made] == [
        "PLAINTEXT://kafka:9092",
        "PLAINTEXT://kafka-2:9092",
        "PLAINTEXT://kafka-3:9092",
    ]
    assert set(of(3).bootstrap_servers.split(",")) == {"kafka:9092", "kafka-2:9092", "kafka-3:9092"}


def test_whatever_three_brokers_store_is_on_two_before_it_is_acknowledged() -> None:
    made = kafka_server.properties(of(3))
    factors = {name: value for name, value in made.items() if name.endswith("replication.factor")}
    least = {name: value for name, value in made.items() if name.endswith(("min.isr", "min.insync.replicas"))}
    assert (len(factors), set(factors.values())) == (4, {"3"})
    assert (len(least), set(least.values())) == (3, {"2"})
    assert made["unclean.leader.election.enable"] == "false"


def test_one_broker_asks_for_no_copies() -> None:
    assert set(kafka_server.copies(1).values()) == {"1", "false"}


def test_three_brokers_flush_like_one() -> None:
    assert kafka_server.properties(of(3))["log.flush.interval.messages"] == "1"


@pytest.mark.parametrize("number", [1, 3])
def test_a_new_installation_and_one_of_the_same_number_are_taken(
    number: int, folders_of_three: Path, tmp_path: Path
) -> None:
    brokers.check(of(number), folders_of_three, tmp_path / "nothing")
    brokers.check(of(number), folders_of_three, data_of(number, tmp_path))


@pytest.mark.parametrize(("made", "wanted"), [(1, 3), (3, 1)])
def test_another_number_than_the_data_are_of_is_refused(
    made: int, wanted: int, folders_of_three: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=f"data is of {made} broker") as refused:
        brokers.check(of(wanted), folders_of_three, data_of(made, tmp_path))
    assert f"KAFKA_BROKERS={made}" in refused.value.hint
    assert "Moving to three brokers" in refused.value.hint


def test_three_without_the_file_that_has_them_are_refused(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="alone has 1") as refused:
        brokers.check(of(3), folders, tmp_path / "nothing")
    assert "docker-compose.cluster.yml" in refused.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", '{"data_version": 1}', '{"currentVoters": null}'])
def test_data_that_say_no_number_are_left_to_kafka(text: str, folders: Path, tmp_path: Path) -> None:
    data = data_of(1, tmp_path)
    (data / "__cluster_metadata-0" / "quorum-state").write_text(text)
    brokers.check(of(1), folders, data)


def test_nothing_is_handed_out_when_the_number_is_refused(
    folders_of_three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = tmp_path / "env"
    env.touch()
    monkeypatch.setenv("PIPELINE_ENV_FILE", str(env))
    monkeypatch.setattr(brokers, "STORED", data_of(1, tmp_path))
    with pytest.raises(SettingsError):
        handed.hand_out(of(3), folders_of_three)
    assert [path for path in folders_of_three.rglob("*") if path.is_file()] == []
