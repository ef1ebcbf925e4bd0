"""Bad input into every topic, through the running chain: each record is refused with its reason, or stored as it is.

What another client may send goes in by a client of its own kind (bad_input.py). All of it is sent at once; then every
single record is looked for. What it made is deleted at the end, for these people belong to no run of the feed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from kafka import errors as kafka_errors

from bad_input import Bad, blown_up, cases, foreign_producer, large, mutated
from conftest import Instance, until
from pipeline import broker, person, topics
from pipeline.database.values import moment
from pipeline.errors import PipelineError, Rejected
from pipeline.person import LabelledPerson
from pipeline.records import Outgoing, fingerprint

pytestmark = pytest.mark.integration

CHAIN = (topics.FETCHED, topics.TIMESTAMPED, topics.LABELLED)
TOPICS = (*CHAIN, topics.REJECTED, topics.FETCHES)
FIRST = {topics.FETCHED: topics.ADD_TIMESTAMP, topics.TIMESTAMPED: topics.ADD_LABEL}
LIMITS = {topic.name: int(topic.config["max.message.bytes"]) for topic in topics.ALL}
SINKS = (topics.TO_POSTGRESQL, topics.TO_NOCODB)
GENERATED = 150


class Sent(NamedTuple):
    topic: str
    bad: Bad
    partition: int
    offset: int

    @property
    def name(self) -> str:
        return f"{self.bad.name} into {self.topic}"


class Refusal(NamedTuple):
    stage: str
    reason: str
    value: bytes | None
    key: bytes | None
    headers: list[Any]
    fetched_at: Any


class Seen:
    """What is in both stores of what was sent."""

    def __init__(self, stack: Instance, sent: list[Sent], since: int) -> None:
        uuids = [one.bad.uuid for one in sent]
        self.people = {
            row[0]: row[1:]
            for row in stack.rows(
                "SELECT uuid, first_name, last_name, title, city, street_name, phone, email, username, id_value,"
                " company, fetched_at, fetch_id, source, further::text FROM pipeline.users WHERE uuid = ANY (%s)",
                (uuids,),
            )
        }
        users = stack.users()
        try:
            self.rows = {UUID(row["UUID"]): row for row in users.rows(uuids)}
        finally:
            users.close()
        self.refusals: dict[tuple[str, int, int], list[Refusal]] = {}
        self.stored: dict[tuple[int, int], list[Refusal]] = {}
        self.keys: dict[bytes | None, list[Refusal]] = {}
        for topic, partition, offset, name, at, number, *rest in stack.rows(
            'SELECT r.topic, r.partition, r."offset", t.name, r.source_partition, r.source_offset, r.stage, r.reason,'
            " r.value, r.key, r.headers, r.fetched_at FROM pipeline.rejected r JOIN pipeline.topics t"
            " ON t.id = r.source_topic WHERE r.id > %s",
            (since,),
        ):
            stage, reason, value, key, headers, fetched_at = rest
            one = Refusal(stage, reason, _bytes(value), _bytes(key), headers, fetched_at)
            self.refusals.setdefault((topic, partition, offset), []).append(one)
            self.keys.setdefault(one.key, []).append(one)
            if name == topics.REJECTED:
                self.stored.setdefault((at, number), []).append(one)

    def of(self, one: Sent) -> list[Refusal]:
        if one.topic == topics.REJECTED:
            return self.stored.get((one.partition, one.offset), [])
        if one.topic in CHAIN and one.bad.key == b"":
            # A later stage names the place in its own topic.
            return self.keys.get(str(one.bad.uuid).encode(), [])
        return self.refusals.get((one.topic, one.partition, one.offset), [])

    def stages(self, one: Sent) -> set[str]:
        """Who has refused it, and where it is stored, as the sinks' names."""
        return {refusal.stage for refusal in self.of(one)} | {
            sink
            for sink, there in ((topics.TO_POSTGRESQL, self.people), (topics.TO_NOCODB, self.rows))
            if one.topic in CHAIN and one.bad.uuid in there
        }

    def complete(self, one: Sent) -> bool:
        if one.topic not in CHAIN:
            return bool(self.of(one))
        return FIRST.get(one.topic) in self.stages(one) or set(SINKS) <= self.stages(one)

    def outcome(self, one: Sent) -> str:
        """For the table."""
        refused = sorted({f"{refusal.reason[:40]} ({refusal.stage})" for refusal in self.of(one)})
        where = [name for name, there in (("PostgreSQL", self.people), ("NocoDB", self.rows)) if one.bad.uuid in there]
        return "; ".join(refused + [f"stored in {' and '.join(where)}"] * bool(where))


def _bytes(told: Any) -> bytes | None:
    return None if told is None else bytes(told)


def send(stack: Instance, groups: dict[str, list[Bad]], mark: str, **more: Any) -> list[Sent]:
    usual = ((b"fetch-id", mark.encode()), (b"source", b"tests"))
    with foreign_producer(stack.settings_of_tests, **more) as give:
        futures = [(topic, bad, give(topic, bad, usual)) for topic, bads in groups.items() for bad in bads]
    return [Sent(topic, bad, future.value.partition, future.value.offset) for topic, bad, future in futures]


@pytest.fixture(scope="module")
def since(stack: Instance) -> Iterator[int]:
    """The last refused record from before; what comes after it is deleted at the end."""
    ((last,),) = stack.rows("SELECT coalesce(max(id), 0) FROM pipeline.rejected")
    yield last
    stack.rows("DELETE FROM pipeline.rejected WHERE id > %s", (last,))


def forget(stack: Instance, sent: list[Sent]) -> None:
    uuids = [one.bad.uuid for one in sent]
    users = stack.users()
    try:
        users.delete(uuids)
    finally:
        users.close()
    for table in ("users", "nocodb_users", "repeats"):
        stack.rows(f"DELETE FROM pipeline.{table} WHERE uuid = ANY (%s)", (uuids,))  # noqa: S608


def settle(stack: Instance, sent: list[Sent], since: int) -> Seen:
    """Wait until every single record is accounted for."""
    left: list[str] = []

    def all_there() -> Seen | None:
        seen = Seen(stack, sent, since)
        left[:] = [one.name for one in sent if not seen.complete(one)]
        return None if left else seen

    try:
        return until(all_there, "every record is stored or refused", 180)  # type: ignore[no-any-return]
    except BaseException:
        print(f"not accounted for: {left[:20]}")
        raise


@pytest.fixture(scope="module")
def told(stack: Instance, since: int) -> Iterator[tuple[list[Sent], Seen]]:
    sent = send(stack, {topic: cases() for topic in TOPICS}, f"bad-{uuid4().hex[:8]}")
    try:
        seen = settle(stack, sent, since)
        print(f"\n{'case':<45}" + "".join(f"{topic:<64}" for topic in TOPICS))
        each = len(sent) // len(TOPICS)
        for number in range(each):
            group = sent[number::each]
            print(f"{group[0].bad.name:<45}" + "".join(f"{seen.outcome(one):<64}" for one in group))
        yield sent, seen
    finally:
        forget(stack, sent)


def expected(one: Sent) -> dict[str, str]:
    """Which stages are to refuse it, with which reason."""
    bad = one.bad
    if one.topic == topics.FETCHES:
        return {topics.TO_POSTGRESQL: "not_a_fetch"}
    if one.topic == topics.FETCHED and bad.timestamp_ms < 0:
        return {topics.ADD_TIMESTAMP: "wrong_timestamp"}
    if not bad.reason:
        return {}
    if bad.only:
        return {bad.only: bad.reason}
    return dict.fromkeys([FIRST[one.topic]] if one.topic in FIRST else SINKS, bad.reason)


def test_every_bad_record_is_refused_with_its_reason_and_its_bytes(told: tuple[list[Sent], Seen]) -> None:
    sent, seen = told
    for one in sent:
        if one.topic == topics.REJECTED:
            continue
        refusals = seen.of(one)
        assert {refusal.stage: refusal.reason for refusal in refusals} == expected(one), one.name
        assert len(refusals) == len(expected(one)), one.name
        for refusal in refusals:
            check_bytes(one, refusal)
            assert refusal.key == (str(one.bad.uuid).encode() if one.bad.key == b"" else one.bad.key), one.name


def check_bytes(one: Sent, refusal: Refusal) -> None:
    if one.topic in FIRST and refusal.stage in SINKS:
        # Stages before have added their fields.
        sent, kept = plain(one.bad.value or b""), plain(refusal.value or b"")
        added = {"fetched_at", "company"}
        assert {k: v for k, v in kept.items() if k not in added} == {k: v for k, v in sent.items() if k not in added}
    else:
        assert refusal.value == one.bad.value, one.name


def test_what_is_valid_is_stored_in_both_stores_as_it_was_sent(told: tuple[list[Sent], Seen]) -> None:
    sent, seen = told
    for one in sent:
        refusing = set(expected(one)) - {topics.TO_POSTGRESQL} if one.bad.only else set(expected(one))
        if one.topic not in CHAIN or set(expected(one)) & {topics.ADD_TIMESTAMP, topics.ADD_LABEL}:
            continue
        in_postgresql = topics.TO_POSTGRESQL not in expected(one)
        assert (one.bad.uuid in seen.people) == in_postgresql, one.name
        assert (one.bad.uuid in seen.rows) == (topics.TO_NOCODB not in refusing), one.name
        if in_postgresql:
            check_person(one, seen.people[one.bad.uuid])
        if one.bad.uuid in seen.rows:
            check_nocodb(one, seen.rows[one.bad.uuid])


def plain(value: bytes | str) -> Any:
    return json.loads(value, parse_int=Decimal, parse_float=Decimal)


def check_person(one: Sent, row: tuple[Any, ...]) -> None:
    told = plain(one.bad.value or b"")
    first, last, title, city, street, phone, email, username, number, company, fetched_at, *_, further = row
    name, where = told["name"], told["location"]
    assert [first, last, title, city, street, phone, email, username, number] == [
        name["first"], name["last"], name["title"], where["city"], where["street"]["name"], told["phone"],
        told["email"], told["login"]["username"], told["id"]["value"],
    ], one.name  # fmt: skip
    if one.topic == topics.LABELLED:
        assert company == told["company"], one.name
    if one.topic == topics.FETCHED:
        assert fetched_at == moment(one.bad.timestamp_ms), one.name
    if "shoe" in told:
        assert plain(further)["shoe"] == told["shoe"], one.name


def check_nocodb(one: Sent, row: dict[str, Any]) -> None:
    told = json.loads(one.bad.value or b"", parse_int=str, parse_float=str)
    assert [row["First name"], row["City"], row["Phone"], row["User name"]] == [
        told["name"]["first"], told["location"]["city"], told["phone"], told["login"]["username"],
    ], one.name  # fmt: skip


def test_whatever_is_put_into_the_topic_of_the_refused_is_kept_with_its_bytes(told: tuple[list[Sent], Seen]) -> None:
    sent, seen = told
    for one in (one for one in sent if one.topic == topics.REJECTED):
        [kept] = seen.of(one)
        assert kept.value == one.bad.value, one.name
        assert kept.stage == ("forged" if "refusal, forged" in one.bad.name else "unknown"), one.name


def test_a_headers_name_that_is_not_utf8_is_kept_escaped(told: tuple[list[Sent], Seen]) -> None:
    sent, seen = told
    [one] = [one for one in sent if one.topic == topics.REJECTED and "name that is not UTF-8" in one.bad.name]
    [kept] = seen.of(one)
    assert ["\\xff\\xfename", "x"] in kept.headers
    [(fetch_id, source)] = {row[-3:-1] for uuid, row in seen.people.items() if row[-2] == "forged"} or {("", "")}
    assert (fetch_id, source) == ("", "forged"), "and the person beside it was stored with the other header"


def test_the_largest_record_that_kafka_takes_passes_through_every_stage(stack: Instance, since: int) -> None:
    # What the protocol adds, and the headers.
    groups = {topic: [large(LIMITS[topic] - 400)] for topic in TOPICS}
    sent = send(stack, groups, f"large-{uuid4().hex[:8]}")
    try:
        seen = settle(stack, sent, since)
        for one in sent:
            if one.topic in CHAIN:
                assert not seen.of(one), one.name
                check_person(one, seen.people[one.bad.uuid])
                check_nocodb(one, seen.rows[one.bad.uuid])
            else:
                [kept] = seen.of(one)
                assert kept.value == one.bad.value
    finally:
        forget(stack, sent)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_record_that_is_larger_is_refused_by_name_at_the_producer(stack: Instance, topic: str) -> None:
    bad = large(LIMITS[topic] + 100)
    with pytest.raises(kafka_errors.MessageSizeTooLargeError):
        send(stack, {topic: [bad]}, "too-large")
    with broker.publisher(stack.settings_of_tests, "tests") as publisher, pytest.raises(PipelineError) as told:
        publisher.publish([Outgoing(topic, str(bad.uuid).encode(), bad.value, 0, ())])
    assert topic in told.value.message
    assert str(bad.uuid) in told.value.detail


def test_a_record_that_only_compression_brought_through_kafka_stops_no_stage(stack: Instance, since: int) -> None:
    """Nothing else could take it: the stages name its length and hash, and the stores take what reaches them."""
    sent = send(stack, {topic: [blown_up(5_000_000)] for topic in TOPICS}, "blown-up", compression_type="gzip")
    try:
        seen = settle(stack, sent, since)
        for one in sent:
            if one.topic in FIRST:
                [refusal] = seen.of(one)
                assert (refusal.stage, refusal.reason) == (FIRST[one.topic], "too_large")
                assert refusal.value == fingerprint(one.bad.value or b"")
            elif one.topic == topics.LABELLED:
                check_person(one, seen.people[one.bad.uuid])
                check_nocodb(one, seen.rows[one.bad.uuid])
            else:
                assert [refusal.value for refusal in seen.of(one)] == [one.bad.value]
    finally:
        forget(stack, sent)


def test_records_that_chance_has_made_are_stored_or_refused(stack: Instance, since: int) -> None:
    made: list[Bad] = []

    @hypothesis_settings(
        max_examples=GENERATED, phases=[Phase.generate], database=None, deadline=None, suppress_health_check=HealthCheck
    )
    @given(mutated())
    def collect(bad: Bad) -> None:
        made.append(bad)

    collect()
    groups = {topic: [bad._replace(uuid=bad.uuid) for bad in made[at::5]] for at, topic in enumerate(TOPICS)}
    sent = send(stack, groups, f"chance-{uuid4().hex[:8]}")
    try:
        seen = settle(stack, sent, since)
        refused = 0
        for one in sent:
            refused += bool(seen.of(one))
            for refusal in seen.of(one):
                check_bytes(one, refusal)
            if one.topic == topics.LABELLED and topics.TO_POSTGRESQL in {r.stage for r in seen.of(one)}:
                with pytest.raises(Rejected):
                    _as_the_sink_reads(one.bad)
        print(f"{len(sent)} records, {refused} refused, {len(seen.people)} stored")
        assert 0 < refused < len(sent)
    finally:
        forget(stack, sent)


def _as_the_sink_reads(bad: Bad) -> None:
    person.decode(bad.value, LabelledPerson)
    raise Rejected("refused_by_database", "it was good, and so PostgreSQL has refused it")


def test_every_stage_goes_on_after_all_of_it(stack: Instance, since: int) -> None:
    uuid = uuid4()
    from bad_input import somebody

    good = Bad("somebody good", json.dumps(somebody(uuid)).encode(), uuid)
    sent = send(stack, {topics.FETCHED: [good]}, "good")
    try:
        assert not settle(stack, sent, since).of(sent[0])
        assert until(lambda: stack.status()["ready"], "everything is ready")
    finally:
        forget(stack, sent)
