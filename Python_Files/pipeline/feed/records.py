"""What the feed publishes: the records of one fetch, and a saved response taken apart into fetches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from pipeline import topics
from pipeline.errors import UsageError
from pipeline.feed.plan import Fetch, Kind, Order, iso, iso_minute
from pipeline.records import Headers, Outgoing
from pipeline.response import NotAResponse, Response, read

FILE_PART = 5_000  # people of a saved response that make one fetch
FILE_BYTES = 512 * 1024 * 1024

_encoder = msgspec.json.Encoder()


def fetch_of(
    fetch_id: str, source: str, kind: Kind, response: Response, requested: int, nationalities: Sequence[str]
) -> Fetch:
    """The account of a fetch that got this response; whose people they are (seed, page, due) is left open."""
    uuids = response.uuids
    return Fetch(
        fetch_id=fetch_id,
        source=source,
        kind=kind,
        seed=None,
        page=None,
        due=None,
        requested=requested,
        received=len(response.people),
        rejected=len(response.people) - len(uuids),
        uuids=uuids,
        arrived_at=iso(response.arrived_ms),
        nationalities=list(nationalities),
    )


def say_order(fetch: Fetch, order: Order, source: str) -> None:
    """Note in the account what was asked for."""
    fetch.seed, fetch.page = order.seed_of(source), order.page
    fetch.due = iso_minute(order.due) if order.due is not None else None


def headers_of(fetch_id: str, source: str) -> Headers:
    return ((topics.FETCH_ID, fetch_id.encode()), (topics.SOURCE, source.encode()))


def account_of(fetch: Fetch, moment: int) -> Outgoing:
    """The fetch's own record; ``moment`` in ms since 1970, UTC."""
    headers = headers_of(fetch.fetch_id, fetch.source)
    return Outgoing(topics.FETCHES, fetch.fetch_id.encode(), _encoder.encode(fetch), moment, headers)


def records_of(fetch: Fetch, response: Response) -> list[Outgoing]:
    """Everything that one fetch publishes: its people, those refused, and its own record."""
    moment = response.arrived_ms
    headers = headers_of(fetch.fetch_id, fetch.source)
    records = []
    for person in response.people:
        if person.refused is None and person.uuid is not None:
            records.append(Outgoing(topics.FETCHED, person.uuid.encode(), person.value, moment, headers))
        elif person.refused is not None:
            told = {
                topics.STAGE: topics.GET_DATA,
                topics.REASON: person.refused.reason,
                topics.MESSAGE: person.refused.message,
                topics.ORIGIN_TIMESTAMP: str(moment),
            }
            more = tuple((name, text.encode("utf-8", "replace")) for name, text in told.items())
            key = person.uuid.encode() if person.uuid else None
            records.append(Outgoing(topics.REJECTED, key, person.value, moment, headers + more))
    return [*records, account_of(fetch, moment)]


def read_file(path: Path, now_ms: int) -> list[Response]:
    """A saved response in parts of at most 5,000 people. Raises UsageError when it is none."""
    hint = "A saved response is what https://randomuser.me/api/1.4/?results=10 answers, as it came."
    try:
        if path.stat().st_size > FILE_BYTES:
            raise UsageError(f"{path} is larger than {FILE_BYTES} bytes", hint="Save the people in smaller responses.")
        response = read(path.read_bytes(), now_ms)
    except OSError as error:
        raise UsageError(f"{path} cannot be read", detail=error.strerror or str(error), hint=hint) from None
    except NotAResponse as fault:
        detail = f"{fault.reason}: {fault.message}" + (f"; {fault.detail}" if fault.detail else "")
        raise UsageError(f"{path} is not a saved response; nothing was sent", detail=detail, hint=hint) from None
    people = response.people
    return [response._replace(people=people[at : at + FILE_PART]) for at in range(0, len(people), FILE_PART)]
