"""What answers look like, for the description of the API. Tests hold the two together."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Row = TypeVar("Row")


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Error(_Exact):
    """Why a request is not answered."""

    error: str = Field(description="What is wrong.")
    detail: str = Field(default="", description="The facts, where there are more.")
    hint: str = Field(default="", description="What to do.")
    parameter: str = Field(default="", description="The parameter that is at fault, where one is.")


class Page(_Exact, Generic[Row]):
    """A page of a list."""

    data: list[Row]
    total: int = Field(ge=0, description="How many there are on all pages, as of that moment.")
    page: int
    limit: int
    as_of: datetime = Field(
        description="The moment that is shown. Give it with the next page: then nobody who arrives shifts the pages."
    )
    next: str | None = Field(description="The address of the next page as of the same moment; null on the last one.")


class User(_Exact):
    uuid: UUID
    gender: Literal["female", "male"]
    title: str
    first_name: str
    last_name: str
    street_number: int
    street_name: str
    city: str
    state: str
    country: str
    postcode: str
    latitude: float
    longitude: float
    timezone_offset: str
    timezone_description: str
    email: str
    username: str
    date_of_birth: datetime
    registered_at: datetime
    phone: str
    cell: str
    id_name: str
    id_value: str | None
    picture_large: str
    picture_medium: str
    picture_thumbnail: str
    nationality: str
    company: str
    fetched_at: datetime
    fetch_id: str
    source: str
    further: dict[str, Any] | None
    created_at: datetime


class Fetch(_Exact):
    fetch_id: str
    kind: str
    source: str
    seed: str | None
    page: int | None
    due_at: datetime | None
    requested: int
    received: int
    rejected: int
    nationalities: str
    failure: str | None
    arrived_at: datetime | None
    stored_at: datetime


class Rejected(_Exact):
    id: int
    stage: str
    reason: str
    message: str
    topic: str
    partition: int | None
    offset: int | None
    fetch_id: str
    source: str
    uuid: UUID | None
    value_text: str | None
    fetched_at: datetime | None
    rejected_at: datetime
    state: Literal["open", "sent", "replayed", "discarded"]
    state_note: str
    state_at: datetime | None
    replay_of: int | None
    tries: int
    tried_at: datetime | None
    in_postgresql: str | None
    in_nocodb: str | None
    stored_at: datetime


class Account(_Exact):
    """What became of the people of one run of the feed."""

    arrived_at: datetime | None
    fetch_id: str
    kind: str
    source: str
    requested: int
    received: int
    refused_by_feed: int
    fetched: int
    postgresql_stored: int
    postgresql_known: int
    postgresql_removed: int
    postgresql_rejected: int
    postgresql_open: int
    nocodb_stored: int
    nocodb_known: int
    nocodb_removed: int
    nocodb_rejected: int
    nocodb_open: int
    failure: str | None


class Backup(_Exact):
    """A moment that can be restored by its name."""

    name: str
    taken_at: datetime
    lsn: str
    wal_segment: str
    base_backup: str | None
    duration_seconds: float


class Protection(_Exact):
    """How well the data is protected now, as Status.sh tells it."""

    last_backup: datetime | None
    last_wal: datetime | None
    last_proof: datetime | None
    rpo_seconds: float | None
    rto_seconds: float | None
    ok: bool
    warnings: list[str]


class Backups(Page[Backup]):
    protection: Protection


class Figures(_Exact):
    """A key figure over a window."""

    name: str
    since: datetime | None = Field(description="Since when; null: since ever.")
    until: datetime
    rows: list[dict[str, Any]]
    complete: bool = Field(description="False when there are more rows than the limit.")


class Check(_Exact):
    ok: bool
    detail: str


class Health(_Exact):
    status: Literal["ok", "failed"]
    checks: dict[str, Check]


class Ingest(_Exact):
    """A fetch that was ordered."""

    ingest_id: str
    state: Literal["waiting", "running", "published", "failed"]
    results: int
    fetch_id: str = Field(
        description="The fetch to look for in /api/fetches and /api/ledger. Its beginning says who gives the people: "
        "while randomuser.me is only tried, the stand-in may take its place, and it then changes."
    )
    people: int | None = Field(description="How many were put into users.fetched, once that is known.")
    error: str | None
    follow: str = Field(description="The address that tells how it goes on.")


class Replay(_Exact):
    """A record that was sent again; its row tells what becomes of it."""

    id: int
    state: Literal["sent"]
    topic: str = Field(description="The topic that the stage which had refused it reads.")
    follow: str = Field(description="The address of its row.")
