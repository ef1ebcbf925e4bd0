"""People of the stand-in: the same seed and page always give the same people, but for their ages.

Each record draws from one sequence in one order, so the first ten of 200 are the ten of 10. Only ``random()`` and
``getrandbits()`` are used, whose sequences Python promises to keep between its releases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from pipeline.stand_in.lands import LANDS

T = TypeVar("T")
Record = dict[str, Any]
Draw = Callable[[], float]

FIELDS = "gender name location email login dob registered phone cell id picture nat".split()
NATIONALITIES = tuple(LANDS)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BORN = (
    int(datetime(1944, 9, 5, tzinfo=UTC).timestamp() * 1000),
    int(datetime(2001, 12, 31, tzinfo=UTC).timestamp() * 1000),
)
_JOINED = (
    int(datetime(2002, 1, 1, tzinfo=UTC).timestamp() * 1000),
    int(datetime(2022, 12, 31, tzinfo=UTC).timestamp() * 1000),
)
_MOODS = "amber bold calm dusty eager frosty gentle happy jolly lunar merry noble quiet rapid silent sunny wild".split()
_BEASTS = (
    "badger beaver crane dolphin falcon ferret gecko heron ibex lynx marten otter puffin raven seal stork tapir".split()
)
# The real service hands out well-known weak passwords, some of them empty or with signs that need escaping.
_PASSWORDS = [
    "",
    "&amp",
    "letmein",
    "trustno1",
    "sunshine",
    "dragon",
    "pa'ss",
    'qu"ote',
    "back\\slash",
    "summer99",
    "0000",
]
_SALT = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ZONES = [
    {"offset": offset, "description": description}
    for offset, description in (
        ("-12:00", "Eniwetok, Kwajalein"),
        ("-11:00", "Midway Island, Samoa"),
        ("-10:00", "Hawaii"),
        ("-9:00", "Alaska"),
        ("-8:00", "Pacific Time (US & Canada)"),
        ("-7:00", "Mountain Time (US & Canada)"),
        ("-6:00", "Central Time (US & Canada), Mexico City"),
        ("-5:00", "Eastern Time (US & Canada), Bogota, Lima"),
        ("-4:00", "Atlantic Time (Canada), Caracas, La Paz"),
        ("-3:30", "Newfoundland"),
        ("-3:00", "Brazil, Buenos Aires, Georgetown"),
        ("-2:00", "Mid-Atlantic"),
        ("-1:00", "Azores, Cape Verde Islands"),
        ("0:00", "Western Europe Time, London, Lisbon, Casablanca"),
        ("+1:00", "Brussels, Copenhagen, Madrid, Paris"),
        ("+2:00", "Kaliningrad, South Africa"),
        ("+3:00", "Baghdad, Riyadh, Moscow, St. Petersburg"),
        ("+3:30", "Tehran"),
        ("+4:00", "Abu Dhabi, Muscat, Baku, Tbilisi"),
        ("+4:30", "Kabul"),
        ("+5:00", "Ekaterinburg, Islamabad, Karachi, Tashkent"),
        ("+5:30", "Bombay, Calcutta, Madras, New Delhi"),
        ("+5:45", "Kathmandu"),
        ("+6:00", "Almaty, Dhaka, Colombo"),
        ("+7:00", "Bangkok, Hanoi, Jakarta"),
        ("+8:00", "Beijing, Perth, Singapore, Hong Kong"),
        ("+9:00", "Tokyo, Seoul, Osaka, Sapporo, Yakutsk"),
        ("+9:30", "Adelaide, Darwin"),
        ("+10:00", "Eastern Australia, Guam, Vladivostok"),
        ("+11:00", "Magadan, Solomon Islands, New Caledonia"),
    )
]


def _pick(draw: Draw, choices: Sequence[T]) -> T:
    return choices[int(draw() * len(choices))]


def _fill(draw: Draw, form: str) -> str:
    """The form with digits for ``#`` and capital letters for ``@``."""
    return "".join(
        str(int(draw() * 10)) if sign == "#" else _LETTERS[int(draw() * 26)] if sign == "@" else sign for sign in form
    )


def _moment(draw: Draw, span: tuple[int, int]) -> datetime:
    return _EPOCH + timedelta(milliseconds=span[0] + int(draw() * (span[1] - span[0])))


def _occasion(moment: datetime, now: datetime) -> Record:
    age = now.year - moment.year - ((now.month, now.day) < (moment.month, moment.day))
    return {"date": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z", "age": age}


def _login(random: Random, draw: Draw) -> Record:
    uuid = UUID(int=random.getrandbits(128), version=4)
    username = f"{_pick(draw, _MOODS)}{_pick(draw, _BEASTS)}{int(draw() * 999) + 1}"
    password = _pick(draw, _PASSWORDS)
    salt = "".join(_SALT[int(draw() * 62)] for _ in range(8))
    salted = (password + salt).encode()
    return {
        "uuid": str(uuid),
        "username": username,
        "password": password,
        "salt": salt,
        "md5": hashlib.md5(salted, usedforsecurity=False).hexdigest(),
        "sha1": hashlib.sha1(salted, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(salted).hexdigest(),
    }


def _person(random: Random, nationalities: Sequence[str], gender: str | None, now: datetime) -> Record:
    draw = random.random
    nat = _pick(draw, nationalities)
    land = LANDS[nat]
    man = draw() < 0.5 if gender is None else gender == "male"
    first, last = _pick(draw, land.men if man else land.women), _pick(draw, land.last)
    title = land.mister if man else _pick(draw, land.misses)
    if isinstance(land.postcode, str):
        postcode: str | int = _fill(draw, land.postcode)
    else:
        postcode = land.postcode[0] + int(draw() * (land.postcode[1] - land.postcode[0] + 1))
    location = {
        "street": {"number": int(draw() * 9999) + 1, "name": _pick(draw, land.streets)},
        "city": _pick(draw, land.cities),
        "state": _pick(draw, land.states),
        "country": land.country,
        "postcode": postcode,
        "coordinates": {"latitude": f"{draw() * 180 - 90:.4f}", "longitude": f"{draw() * 360 - 180:.4f}"},
        "timezone": _pick(draw, _ZONES),
    }
    login = _login(random, draw)
    born, joined = _moment(draw, _BORN), _moment(draw, _JOINED)
    phone, cell = _fill(draw, land.phone), _fill(draw, land.cell)
    value = None
    if land.id_name:
        form = land.id_form.replace("{d}", f"{born:%d}").replace("{m}", f"{born:%m}").replace("{y}", f"{born:%y}")
        value = _fill(draw, form)
    portrait = f"{'men' if man else 'women'}/{int(draw() * 100)}.jpg"
    return {
        "gender": "male" if man else "female",
        "name": {"title": title, "first": first.text, "last": last.text},
        "location": location,
        "email": f"{first.latin}.{last.latin}@example.com",
        "login": login,
        "dob": _occasion(born, now),
        "registered": _occasion(joined, now),
        "phone": phone,
        "cell": cell,
        "id": {"name": land.id_name, "value": value},
        "picture": {
            "large": f"https://randomuser.me/api/portraits/{portrait}",
            "medium": f"https://randomuser.me/api/portraits/med/{portrait}",
            "thumbnail": f"https://randomuser.me/api/portraits/thumb/{portrait}",
        },
        "nat": nat,
    }


def people(
    seed: str,
    page: int,
    *,
    nationalities: Sequence[str] = NATIONALITIES,
    gender: str | None = None,
    now: datetime | None = None,
) -> Iterator[Record]:
    """The people of a seed and page, without end. ``now`` counts in their ages only."""
    now = now or datetime.now(UTC)
    random = Random(int.from_bytes(hashlib.md5(f"{seed}{page}".encode(), usedforsecurity=False).digest()))
    while True:
        yield _person(random, nationalities, gender, now)


def some_people(results: int, seed: str, page: int = 1, **how: Any) -> list[Record]:
    """The first ``results`` people of a seed and page."""
    return list(islice(people(seed, page, **how), results))
