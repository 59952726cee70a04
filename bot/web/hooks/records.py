"""What is kept of a delivery: what it was, what was to be done, and what came of it. For `bot hooks`, and for a crash.

The first record of a delivery says what is to be done, and whoever gets the delivery again does that, and nothing else:
so a redelivery, another replica or new rules in between change nothing. Records go after a while (`KEEP`), long after a
service has stopped sending again. They hold the body if it is small, so that it can be put in again by hand.
"""

from __future__ import annotations

import base64
import zlib
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from store.base import Store
from store.events import TriggerReceived
from store.shelves import Keep
from store.values import Place

KEEP = Keep(timedelta(days=14).total_seconds(), 200)
"""Of each hook."""
BODY_BYTES_MAX = 2_000_000
COMPRESSED_BYTES_MAX = 64_000
"""Of a larger body nothing is kept but what was done."""

Did = Literal["opened", "joined", "resumed", "taken", "nothing", "test"]
"""It opened a thread; went on with one; let one look that waits; code of ours takes it; nothing follows; a test."""


class Wake(BaseModel):
    """A thread looks at what it waits for."""

    model_config = ConfigDict(frozen=True)

    do: Literal["wake"] = "wake"
    thread: str
    key: str
    """What it waits for: see `store.awaited`."""


class Tell(BaseModel):
    """A trigger, at a place where a thread may be already."""

    model_config = ConfigDict(frozen=True)

    do: Literal["tell"] = "tell"
    place: Place
    agent: str
    trigger: TriggerReceived


class End(BaseModel):
    """The incident that shares a thread is over: the next one opens another."""

    model_config = ConfigDict(frozen=True)

    do: Literal["end"] = "end"
    note: str
    text: str


class Take(BaseModel):
    """Code of ours does what is to be done."""

    model_config = ConfigDict(frozen=True)

    do: Literal["take"] = "take"
    taker: str


class Hear(BaseModel):
    """Code of ours hears of it, whatever else is done."""

    model_config = ConfigDict(frozen=True)

    do: Literal["hear"] = "hear"
    listener: str


class Incident(BaseModel):
    """Where people talk about something that deliveries report on until it is over. A note, while it lasts."""

    model_config = ConfigDict(frozen=True)

    place: Place
    agent: str


class Record(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    event: str
    at: AwareDatetime
    size_bytes: int
    did: Did
    why: str = ""
    """Why nothing followed, or what a taker says."""
    thread: str = ""
    plan: tuple[Wake | Tell | End | Take | Hear, ...] = ()
    done: bool = False
    event_header: str = ""
    """What its header said, where the body alone does not tell the event."""
    body: str = Field(default="", repr=False)
    """Compressed, in base64. Empty: it was too large to keep."""


class Records:
    """Of one hook."""

    def __init__(self, store: Store, hook: str) -> None:
        self._store = store
        self._shelf = f"hooks/{hook}"

    async def find(self, delivery_id: str) -> Record | None:
        text = await self._store.shelved(self._shelf, delivery_id)
        return Record.model_validate_json(text) if text else None

    async def put(self, record: Record, *, before: Record | None = None) -> bool:
        """False: another is there than `before`, or than none."""
        text, expected = record.model_dump_json(), before.model_dump_json() if before else ""
        return await self._store.shelve(self._shelf, record.id, text, expected=expected, keep=KEEP)

    async def newest(self, limit: int) -> list[Record]:
        return [Record.model_validate_json(kept.text) for kept in await self._store.newest(self._shelf, limit)]


def packed(body: bytes) -> str:
    """Empty: it is too large."""
    if len(body) > BODY_BYTES_MAX:
        return ""
    small = zlib.compress(body, 6)
    return base64.b64encode(small).decode() if len(small) <= COMPRESSED_BYTES_MAX else ""


def unpacked(text: str) -> bytes:
    unzip = zlib.decompressobj()
    return unzip.decompress(base64.b64decode(text), BODY_BYTES_MAX)


def is_late(record: Record, now: datetime, after: timedelta) -> bool:
    """Whether nobody can be about to do it any more."""
    return not record.done and now - record.at > after
