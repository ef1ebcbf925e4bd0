"""What each transforming stage does with one record: pure functions of the record, no clock, no unseeded chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from uuid import UUID

from faker import Faker

from pipeline import topics
from pipeline.errors import Rejected
from pipeline.person import Person, TimestampedPerson, decode, with_field

LATEST_MS = 253_370_764_799_999
"""The end of the year 9998: later moments are none in every time zone, so no store takes them."""

Step = Callable[[bytes | None, int], bytes]
"""``(value, timestamp in ms of the record) -> the new value``; raises Rejected when the record can never succeed."""

# The locale in which a person's company is named. A country of several languages has its most spoken one; Faker knows
# no Serbian locale, and Croatian names its companies in a way that is closest to it.
LOCALES = {
    "AU": "en_AU",
    "BR": "pt_BR",
    "CA": "en_CA",
    "CH": "de_CH",
    "DE": "de_DE",
    "DK": "da_DK",
    "ES": "es_ES",
    "FI": "fi_FI",
    "FR": "fr_FR",
    "GB": "en_GB",
    "IE": "en_IE",
    "IN": "en_IN",
    "IR": "fa_IR",
    "MX": "es_MX",
    "NL": "nl_NL",
    "NO": "no_NO",
    "NZ": "en_NZ",
    "RS": "hr_HR",
    "TR": "tr_TR",
    "UA": "uk_UA",
    "US": "en_US",
}
OTHER_LOCALE = "en_US"


def add_timestamp(value: bytes | None, timestamp_ms: int) -> bytes:
    """Add ``fetched_at``: the moment the response arrived, which is the record's own timestamp."""
    decode(value, Person)
    if not 0 <= timestamp_ms <= LATEST_MS:
        raise Rejected("wrong_timestamp", f"the record's timestamp is {timestamp_ms} ms, before 1970 or after 9998")
    moment = datetime.fromtimestamp(timestamp_ms // 1000, UTC).replace(microsecond=timestamp_ms % 1000 * 1000)
    return with_field(value or b"", "fetched_at", moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))


@cache
def _faker(locale: str) -> Faker:
    # Unweighted: the weighted choice of last names in English locales is eight times slower, and no better here.
    return Faker(locale, use_weighting=False)


def warm_up() -> None:
    """Load every locale now (0.3 s), so that no record waits for it."""
    for locale in sorted({*LOCALES.values(), OTHER_LOCALE}):
        _faker(locale)


def company(uuid: UUID, nationality: str) -> str:
    """The company of a person: always the same for the same uuid and nationality within one Faker release."""
    faker = _faker(LOCALES.get(nationality, OTHER_LOCALE))
    faker.seed_instance(uuid.int)
    return str(faker.company())


def add_label(value: bytes | None, timestamp_ms: int) -> bytes:
    """Add ``company``, from Faker in the locale of the person's nationality."""
    person = decode(value, TimestampedPerson)
    return with_field(value or b"", "company", company(person.login.uuid, person.nat))


# The step of each stage between topics; replays ask the same one.
STEPS: Mapping[str, Step] = {
    topics.ADD_TIMESTAMP: add_timestamp,
    topics.ADD_LABEL: add_label,
}
