"""Refused records, sent again by the script as a person does it: what arrives, what is told, what is never sent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from bad_input import somebody
from conftest import Instance, until
from pipeline import broker, topics
from pipeline.records import Outgoing
from pipeline.response import read_person

pytestmark = pytest.mark.integration

SCRIPT = "Administrator_scripts/Rejected.sh"
MOMENT = 1_700_000_000_123


class Scene:
    """Refused people, who are gone again after the test, with everything that was told of them."""

    def __init__(self, stack: Instance) -> None:
        self.stack = stack
        self.mark = f"refused-{uuid4().hex[:8]}"
        self.made: list[UUID] = []
        ((self.last,),) = stack.rows("SELECT coalesce(max(id), 0) FROM pipeline.rejected")

    def new(self) -> UUID:
        self.made.append(uuid4())
        return self.made[-1]

    def send(self, topic: str, uuid: UUID, value: bytes, *more: tuple[str, bytes]) -> None:
        headers = ((topics.FETCH_ID, self.mark.encode()), (topics.SOURCE, b"tests"), ("own", b"\x00\xff"), *more)
        with broker.publisher(self.stack.settings_of_tests, "tests") as publisher:
            publisher.publish([Outgoing(topic, str(uuid).encode(), value, MOMENT, headers)])

    def refused(self, topic: str, uuid: UUID, stage: str, **changed: Any) -> int:
        """Send a person with a fault; the id of the row that a stage makes of it."""
        self.send(topic, uuid, json.dumps(somebody(uuid, **changed)).encode())
        return self.row_of(uuid, stage)

    def row_of(self, uuid: UUID, stage: str, after: int = 0) -> int:
        return until(  # type: ignore[no-any-return]
            lambda: self.value(
                "SELECT max(id) FROM pipeline.rejected WHERE uuid = %s AND stage = %s AND id > %s", uuid, stage, after
            ),
            f"{stage} has refused it",
        )

    def value(self, sql: str, *values: Any) -> Any:
        rows = self.stack.rows(sql, values)
        return rows[0][0] if rows else None

    def state(self, row: int) -> tuple[Any, ...]:
        return self.stack.rows(
            "SELECT state, in_postgresql, in_nocodb, tries FROM pipeline.rejected WHERE id = %s", (row,)
        )[0]

    def settled(self, row: int) -> tuple[Any, ...]:
        until(lambda: self.state(row)[0] == "replayed", f"{row} is settled")
        return self.state(row)

    def file(self, uuid: UUID, **changed: Any) -> str:
        path = self.stack.directory / f"corrected-{uuid4()}.json"
        path.write_text(json.dumps(somebody(uuid, **changed)), encoding="utf-8")
        return str(path)

    def call(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        return self.stack.run(SCRIPT, *arguments, ok=ok)

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {**self.stack.environment, "PYTHONPATH": str(self.stack.root / "Python_Files"), **environment}
        return Instance(self.stack.directory, given).python(*arguments, ok=False)

    def offsets(self) -> dict[Any, int]:
        """Where the topics end: unchanged means that nothing was sent."""
        settings = self.stack.settings
        ones = [(topics.LABELLED, number) for number in range(settings.kafka_partitions)]
        ones += [(topics.TIMESTAMPED, number) for number in range(settings.kafka_partitions)]
        return broker.ends(settings, ones)

    def close(self) -> None:
        users = self.stack.users()
        try:
            users.delete(self.made)
        finally:
            users.close()
        self.stack.rows("DELETE FROM pipeline.rejected WHERE id > %s", (self.last,))
        for table in ("fetched_users", "users", "nocodb_users", "repeats", "removed"):
            self.stack.rows(f"DELETE FROM pipeline.{table} WHERE uuid = ANY (%s)", (self.made,))  # noqa: S608
        self.stack.rows(
            "DELETE FROM pipeline.fetches f WHERE kind = 'replay' AND NOT EXISTS (SELECT FROM pipeline.fetched_users u"
            " WHERE (u.source_topic, u.source_partition, u.source_offset)"
            " = (f.source_topic, f.source_partition, f.source_offset))"
        )


@pytest.fixture
def scene(stack: Instance) -> Iterator[Scene]:
    scene = Scene(stack)
    yield scene
    scene.close()


@pytest.mark.parametrize(
    ("topic", "stage"),
    [
        (topics.FETCHED, topics.ADD_TIMESTAMP),
        (topics.TIMESTAMPED, topics.ADD_LABEL),
        (topics.LABELLED, topics.TO_POSTGRESQL),
        (topics.LABELLED, topics.TO_NOCODB),
    ],
)
def test_a_corrected_record_goes_through_the_stage_that_refused_it(scene: Scene, topic: str, stage: str) -> None:
    uuid = scene.new()
    row = scene.refused(topic, uuid, stage, gender="both")
    told = scene.call("replay", str(row), "--with", scene.file(uuid)).stdout
    assert scene.settled(row)[0] == "replayed"
    assert f"{row} replayed: " in told or "on the way" in told
    until(lambda: str(uuid) in scene.stack.in_postgresql(), "the person is in PostgreSQL")
    until(lambda: str(uuid) in scene.stack.in_nocodb(), "the person is in NocoDB")
    ((at, fetch_id, source),) = scene.stack.rows(
        "SELECT fetched_at, fetch_id, source FROM pipeline.users WHERE uuid = %s", (uuid,)
    )
    assert at.timestamp() == (MOMENT / 1000 if topic == topics.FETCHED else int(MOMENT / 1000) + 0.123)
    # Nobody else accounts for this person, so the replay does, as a run of its own.
    assert (fetch_id, source) == (f"replay-{row}", "tests")
    assert scene.value(
        "SELECT kind FROM pipeline.fetches JOIN pipeline.fetched_users"
        " USING (source_topic, source_partition, source_offset) WHERE uuid = %s", uuid,
    ) == "replay"  # fmt: skip
    if topic == topics.LABELLED:
        other = {topics.TO_POSTGRESQL: topics.TO_NOCODB, topics.TO_NOCODB: topics.TO_POSTGRESQL}[stage]
        until(
            lambda: scene.state(scene.row_of(uuid, other))[0] == "replayed",
            "the other store's refusal of the same record is settled with it",
        )


def test_a_replay_twice_and_one_of_a_settled_row_change_nothing(scene: Scene) -> None:
    uuid = scene.new()
    row = scene.refused(topics.LABELLED, uuid, topics.TO_NOCODB, nat="ZZ")
    until(lambda: str(uuid) in scene.stack.in_postgresql(), "PostgreSQL took the person")
    scene.call("replay", str(row), "--with", scene.file(uuid, nat="DE"))
    assert scene.settled(row)[2] == "stored"
    before, ends = scene.state(row), scene.offsets()
    done = scene.call("replay", str(row), "--with", scene.file(uuid, nat="DE"), ok=False)
    assert done.returncode == 2
    assert "replayed already" in done.stdout
    assert (scene.state(row), scene.offsets()) == (before, ends)
    # The same record once more, as by a second replay that was under way: a repeat, and the row says stored.
    value = json.dumps(somebody(uuid, nat="DE")).encode()
    scene.send(topics.LABELLED, uuid, value, (topics.REPLAY_OF, str(row).encode()))
    until(
        lambda: scene.value(
            "SELECT count(*) >= 2 FROM pipeline.repeats WHERE uuid = %s AND sink = %s", uuid, topics.TO_POSTGRESQL
        ),
        "it is a repeat",
    )
    until(
        lambda: scene.value(
            "SELECT count(*) >= 1 FROM pipeline.repeats WHERE uuid = %s AND sink = %s", uuid, topics.TO_NOCODB
        ),
        "for NocoDB too",
    )
    assert scene.state(row)[2] == "stored"


def test_a_record_that_is_refused_again_says_as_what_and_the_new_row_can_be_replayed(scene: Scene) -> None:
    uuid = scene.new()
    row = scene.refused(topics.LABELLED, uuid, topics.TO_NOCODB, nat="ZZ")
    told = scene.call("replay", str(row)).stdout
    assert scene.settled(row)[0] == "replayed"
    again = scene.row_of(uuid, topics.TO_NOCODB, row)
    assert scene.state(row)[2] == f"refused again as {again}"
    assert f"refused again as {again}" in told or "on the way" in told
    assert scene.value("SELECT replay_of FROM pipeline.rejected WHERE id = %s", again) == row
    scene.call("replay", str(again), "--with", scene.file(uuid, nat="DE"))
    assert scene.settled(again)[2] == "stored"
    shown = scene.call("show", str(row)).stdout
    assert f"refused again as: {again}" in shown


def test_what_is_still_wrong_is_told_as_the_stage_would_and_nothing_is_sent(scene: Scene) -> None:
    uuid = scene.new()
    row = scene.refused(topics.TIMESTAMPED, uuid, topics.ADD_LABEL, gender="both")
    ends = scene.offsets()
    broken = scene.stack.directory / "broken.json"
    broken.write_text("{", encoding="utf-8")
    for arguments, said in (
        ((), "Invalid enum value 'both'"),
        (("--with", scene.file(uuid, gender="neither")), "Invalid enum value 'neither'"),
        (("--with", str(broken)), "not_an_object"),
        (("--with", scene.file(uuid, login={"username": "x"})), "no_uuid"),
    ):
        done = scene.call("replay", str(row), *arguments, ok=False)
        assert done.returncode == 1, done.stdout
        assert said in done.stdout
        assert "nothing was sent" in done.stdout
    assert scene.offsets() == ends
    assert scene.state(row) == ("open", None, None, 0)


def test_wrong_calls_are_told_and_change_nothing(scene: Scene) -> None:
    row = scene.refused(topics.TIMESTAMPED, scene.new(), topics.ADD_LABEL, gender="both")
    forged = scene.new()
    scene.send(topics.REJECTED, forged, b"{}", (topics.STAGE, b"of nobody"))
    foreign = scene.row_of(forged, "of nobody")
    for arguments in (
        (),
        ("nonsense",),
        ("show", "x"),
        ("show", "999999999"),
        ("show", "-1"),
        ("replay", "9" * 30),
        ("replay", str(row), "999999999"),
        ("replay", str(row), str(foreign), "--with", scene.file(scene.new())),
        ("replay", str(row), "--with", "/no/such/file"),
        ("replay", str(foreign)),
        ("discard", str(row)),
        ("discard", str(row), "--why", "  "),
        ("list", "--limit", "0"),
    ):
        done = scene.call(*arguments, ok=False)
        assert done.returncode == 2, (arguments, done.stdout)
        assert "Traceback" not in done.stdout
    assert scene.state(row) == ("open", None, None, 0)


def test_a_discarded_record_keeps_the_reason_and_is_sent_no_more(scene: Scene) -> None:
    row = scene.refused(topics.TIMESTAMPED, scene.new(), topics.ADD_LABEL, gender="both")
    scene.call("discard", str(row), "--why", "of no use")
    assert scene.value("SELECT state_note FROM pipeline.rejected WHERE id = %s", row) == "of no use"
    for verb in (("replay", str(row)), ("discard", str(row), "--why", "again")):
        done = scene.call(*verb, ok=False)
        assert (done.returncode, "was discarded" in done.stdout) == (2, True)
    listed = json.loads(scene.call("list", "--json").stdout)
    assert row not in [one["id"] for one in listed]
    assert row in [one["id"] for one in json.loads(scene.call("list", "--all", "--json").stdout)]


def test_the_list_is_newest_first_and_filtered(scene: Scene) -> None:
    first = scene.refused(topics.TIMESTAMPED, scene.new(), topics.ADD_LABEL, gender="both")
    second = scene.refused(topics.FETCHED, scene.new(), topics.ADD_TIMESTAMP, gender="both")
    ids = [one["id"] for one in json.loads(scene.call("list", "--json", "--reason", "wrong_shape").stdout)]
    assert ids.index(second) < ids.index(first)
    only = json.loads(scene.call("list", "--json", "--stage", topics.ADD_LABEL).stdout)
    assert first in [one["id"] for one in only]
    assert {one["stage"] for one in only} == {topics.ADD_LABEL}
    assert json.loads(scene.call("list", "--json", "--reason", "no such").stdout) == []


def test_a_killed_replay_leaves_a_row_that_the_arrival_settles(scene: Scene) -> None:
    """Killed for good after Kafka has the record, before that was noted."""
    uuid = scene.new()
    row = scene.refused(topics.TIMESTAMPED, uuid, topics.ADD_LABEL, gender="both")
    program = (
        "import os, signal, sys; from pipeline import replay, replay_command;"
        "replay._note_sent = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "replay_command.main(sys.argv[1:])"
    )
    done = scene.python("-c", program, "replay", str(row), "--with", scene.file(uuid))
    assert done.returncode == -signal.SIGKILL, done.stdout
    assert scene.settled(row) == ("replayed", "stored", "stored", 1)


def test_a_replay_that_is_killed_before_it_sends_can_be_called_again(scene: Scene) -> None:
    uuid = scene.new()
    row = scene.refused(topics.TIMESTAMPED, uuid, topics.ADD_LABEL, gender="both")
    program = (
        "import os, signal, sys; from pipeline import replay_command; from pipeline.broker.writer import Writer;"
        "Writer.commit = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL);"
        "replay_command.main(sys.argv[1:])"
    )
    done = scene.python("-c", program, "replay", str(row), "--with", scene.file(uuid))
    assert done.returncode == -signal.SIGKILL, done.stdout
    assert scene.state(row) == ("open", None, None, 1)
    assert "whether it was is not known" in scene.call("show", str(row)).stdout
    scene.call("replay", str(row), "--with", scene.file(uuid))
    assert scene.settled(row) == ("replayed", "stored", "stored", 2)


def test_without_kafka_it_is_told_and_the_row_stays_open(scene: Scene) -> None:
    uuid = scene.new()
    row = scene.refused(topics.TIMESTAMPED, uuid, topics.ADD_LABEL, gender="both")
    # A port where nobody listens stands for a Kafka that is down, which the other tests need.
    done = scene.python("-m", "pipeline.replay_command", "replay", str(row), "--with", scene.file(uuid), KAFKA_PORT="1")
    assert done.returncode == 1, done.stdout
    assert "error:" in done.stdout
    assert "Traceback" not in done.stdout
    assert scene.state(row) == ("open", None, None, 0)


def test_what_the_feed_refused_is_sent_into_the_first_topic_without_its_credentials(scene: Scene) -> None:
    uuid = scene.new()
    login = {"uuid": "not one", "username": "u", "password": "secret-word", "salt": "s", "md5": "m"}
    refused = read_person(json.dumps(somebody(uuid, login=login)).encode())
    assert refused.refused
    assert b"secret-word" not in refused.value
    scene.send(
        topics.REJECTED, uuid, refused.value, (topics.STAGE, topics.GET_DATA.encode()), (topics.REASON, b"no_uuid"),
        (topics.ORIGIN_TIMESTAMP, str(MOMENT).encode()),
    )  # fmt: skip
    row = scene.row_of(uuid, topics.GET_DATA)
    assert scene.call("replay", str(row), ok=False).returncode == 1
    login["uuid"] = str(uuid)
    scene.call("replay", str(row), "--with", scene.file(uuid, login=login))
    assert scene.settled(row) == ("replayed", "stored", "stored", 1)
    assert b"secret-word" not in bytes(scene.value("SELECT corrected FROM pipeline.rejected WHERE id = %s", row) or b"")
    assert scene.value("SELECT fetch_id FROM pipeline.users WHERE uuid = %s", uuid) == f"replay-{row}"


def test_somebody_who_was_removed_on_purpose_is_not_brought_back(scene: Scene) -> None:
    uuid = scene.new()
    row = scene.refused(topics.TIMESTAMPED, uuid, topics.ADD_LABEL, gender="both")
    for store in ("postgresql", "nocodb"):
        scene.stack.rows("INSERT INTO pipeline.removed VALUES (%s, %s, 'f', 'tests', 'a test')", (uuid, store))
    scene.call("replay", str(row), "--with", scene.file(uuid))
    assert scene.settled(row) == ("replayed", "removed", "removed", 1)
    assert str(uuid) not in scene.stack.in_postgresql()


def test_a_forged_header_settles_no_row(scene: Scene) -> None:
    row = scene.refused(topics.TIMESTAMPED, scene.new(), topics.ADD_LABEL, gender="both")
    uuid = scene.new()
    scene.send(topics.LABELLED, uuid, json.dumps(somebody(uuid)).encode(), (topics.REPLAY_OF, str(row).encode()))
    until(lambda: str(uuid) in scene.stack.in_postgresql(), "the person is stored")
    assert scene.state(row) == ("open", None, None, 0)


def test_a_record_of_a_run_that_was_refused_can_be_corrected(scene: Scene) -> None:
    key = scene.new()
    scene.send(topics.FETCHES, key, b'{"fetch_id": 5}')
    row = scene.row_of(key, topics.TO_POSTGRESQL)
    path = scene.stack.directory / "fetch.json"
    fetch = {"fetch_id": scene.mark, "kind": "replay", "source": "tests", "requested": 0, "received": 0, "uuids": []}
    path.write_text(json.dumps(fetch), encoding="utf-8")
    scene.call("replay", str(row), "--with", str(path))
    assert scene.settled(row)[:2] == ("replayed", "stored")
    assert scene.value("SELECT kind FROM pipeline.fetches WHERE fetch_id = %s", scene.mark) == "replay"


def test_a_value_is_shown_to_correct_and_goes_back_byte_by_byte(scene: Scene) -> None:
    uuid = scene.new()
    row = scene.refused(topics.TIMESTAMPED, uuid, topics.ADD_LABEL, gender="both", shoe=1.50, city="Zoë\u202e")
    shown = scene.call("show", str(row), "--value").stdout
    assert json.loads(shown) == somebody(uuid, gender="both", shoe=1.50, city="Zoë\u202e")
    assert "\u202e" not in scene.call("show", str(row)).stdout, "no character that turns a terminal's text around"


def test_a_refused_record_that_postgresql_does_not_take_as_told_is_kept_with_its_bytes(scene: Scene) -> None:
    from pipeline.database.connection import connect

    connection = connect(scene.stack.settings, role="postgres", name="tests")
    connection.autocommit = True
    uuid = scene.new()
    try:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE pipeline.rejected ADD CONSTRAINT t CHECK (message <> 'unbearable') NOT VALID")
            try:
                scene.send(topics.REJECTED, uuid, b"bytes", (topics.MESSAGE, b"unbearable"))
                row = scene.row_of(uuid, "unknown")
            finally:
                cursor.execute("ALTER TABLE pipeline.rejected DROP CONSTRAINT t")
    finally:
        connection.close()
    [(reason, message, value)] = scene.stack.rows(
        "SELECT reason, message, value FROM pipeline.rejected WHERE id = %s", (row,)
    )
    assert (reason, bytes(value)) == ("refused_by_database", b"bytes")
    assert '"t"' in message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read what others may not")
def test_a_file_that_only_its_caller_can_read_is_read_for_the_pipelines_user(scene: Scene, tmp_path: Path) -> None:
    uuid = scene.new()
    row = scene.refused(topics.TIMESTAMPED, uuid, topics.ADD_LABEL, gender="both")
    path = tmp_path / "corrected.json"
    path.write_text(json.dumps(somebody(uuid)), encoding="utf-8")
    path.chmod(0o600)
    done = subprocess.run(
        [str(scene.stack.root / SCRIPT), "replay", str(row), "--with", path.name],
        cwd=tmp_path, env={**os.environ, **scene.stack.environment}, stdout=subprocess.PIPE, stderr=sys.stderr,
        text=True, timeout=120, check=True,
    )  # fmt: skip
    assert f"{row} was sent" in done.stdout
    assert scene.settled(row)[0] == "replayed"
