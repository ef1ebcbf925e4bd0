"""A response of the API: its people as bytes that nobody has re-formatted, less their credentials.

A response is taken apart as raw JSON. A person's fields keep every digit, letter and escape they came with; only the
space between them goes, and with it whatever ``login`` holds besides a uuid and a user name.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from pipeline import topics
from pipeline.errors import PassingFault, Rejected
from pipeline.person import CREDENTIALS
from pipeline.records import fingerprint


class NotAResponse(PassingFault):
    """The answer is not a response of the API.

    ``reason`` is a word to filter by. The fault passes when it is the service's; a saved file stays what it is.
    """

    def __init__(self, reason: str, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.reason = reason


class Info(Struct):
    """What the response says was given."""

    seed: str
    results: int
    page: int
    version: str = ""


class Person(NamedTuple):
    """One of ``results``: either good for users.fetched (``uuid`` is set), or refused with its reason."""

    uuid: str | None
    value: bytes
    refused: Rejected | None = None


class Response(NamedTuple):
    """The people of one answer, in its order; ``arrived_ms`` is when its last byte came, in ms since 1970, UTC."""

    people: list[Person]
    info: Info | None
    arrived_ms: int

    @property
    def uuids(self) -> list[str]:
        """The uuids of the people that are not refused."""
        return [person.uuid for person in self.people if person.uuid is not None and person.refused is None]


class _Identity(Struct):
    uuid: UUID


_any = msgspec.json.Decoder()
_object = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_info = msgspec.json.Decoder(Info)
_identity = msgspec.json.Decoder(_Identity)
_encoder = msgspec.json.Encoder()
_NAMES = tuple(f'"{name}"'.encode() for name in CREDENTIALS)


def _beginning(body: bytes) -> str:
    """The first characters of an answer for a person to see; nothing of it when it may hold people."""
    if b"login" in body[:4000]:
        return f"{len(body)} bytes"
    text = " ".join(body[:160].decode("utf-8", "replace").split())
    return f"{len(body)} bytes, beginning with {text!r}"


def _cleaned(thing: Any) -> Any:
    """The same less every field that is named as a credential, at any depth."""
    if isinstance(thing, dict):
        return {key: _cleaned(value) for key, value in thing.items() if key not in CREDENTIALS}
    return [_cleaned(part) for part in thing] if isinstance(thing, list) else thing


def _refused(raw: bytes, reason: str, message: str) -> Person:
    try:
        value = _encoder.encode(_cleaned(_any.decode(raw)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = fingerprint(raw)
    if len(value) > topics.RECORD_BYTES:
        value = fingerprint(raw)
    return Person(None, value, Rejected(reason, message))


def read_person(raw: bytes) -> Person:
    """One of ``results`` without its credentials; refused when it has no identity by which it could travel."""
    try:
        raw.decode("utf-8")
        fields = _object.decode(raw)
    except UnicodeDecodeError as error:
        return _refused(raw, "not_utf8", f"byte {error.start} of the record is not UTF-8")
    except msgspec.DecodeError:
        return _refused(raw, "not_an_object", "the record is not a JSON object")
    except RecursionError:
        return _refused(raw, "too_deep", "the record is nested too deeply to be read")
    try:
        login = fields["login"]
        uuid = _identity.decode(login).uuid
        kept = {name: value for name, value in _object.decode(login).items() if name not in CREDENTIALS}
        fields["login"] = Raw(_encoder.encode(kept))
        for name in CREDENTIALS & fields.keys():
            del fields[name]
        value = msgspec.json.format(_encoder.encode(fields), indent=-1)
        if any(name in value for name in _NAMES):
            value = _encoder.encode(_cleaned(_any.decode(value)))
    except KeyError:
        return _refused(raw, "no_uuid", "the record has no login")
    except msgspec.ValidationError as error:
        return _refused(raw, "no_uuid", f"the record has no valid login.uuid: {error}")
    except (msgspec.DecodeError, RecursionError):
        return _refused(raw, "not_json", "a field of the record is not JSON or nested too deeply")
    if len(value) > topics.RECORD_BYTES - 1_000:  # a record's key, headers and batch need room too
        return _refused(raw, "too_large", f"the record has {len(value)} bytes, more than a topic takes")
    return Person(str(uuid), value)


def read(body: bytes, arrived_ms: int) -> Response:
    """The response that ``body`` is.

    Raises NotAResponse: ``html``, ``truncated``, ``not_json``, ``api_error`` (the service says it failed), ``empty``
    (no people: an outage, not a fetch of nothing), ``wrong_shape``.
    """
    if body.lstrip()[:1] == b"<":
        raise NotAResponse("html", "the answer is a web page, not JSON", detail=_beginning(body))
    try:
        fields = _object.decode(body)
        results = _list.decode(fields["results"]) if "results" in fields else None
        info = _info.decode(fields["info"]) if "info" in fields else None
    except msgspec.ValidationError as error:
        raise NotAResponse("wrong_shape", "the answer is not a response of the API", detail=str(error)) from None
    except msgspec.DecodeError as error:
        if body and "truncated" in str(error):
            raise NotAResponse("truncated", "the answer ends half-way", detail=f"{len(body)} bytes came") from None
        raise NotAResponse("not_json", "the answer is not JSON", detail=f"{error}; {_beginning(body)}") from None
    except RecursionError:
        raise NotAResponse("not_json", "the answer is nested too deeply to be read") from None
    if results is None:
        if "error" in fields:
            told = bytes(fields["error"])[:300].decode("utf-8", "replace")
            raise NotAResponse("api_error", "the API says that it has failed", detail=told)
        raise NotAResponse("wrong_shape", "the answer has no list of results", detail=_beginning(body))
    if not results:
        seed = f", seed {info.seed!r}" if info else ""
        raise NotAResponse(
            "empty", "the answer has no people", detail=f"results is empty{seed}: the API is out of order"
        )
    return Response([read_person(bytes(raw)) for raw in results], info, arrived_ms)
