"""Opens a request from outside once, however often it is asked for, and withdraws it when whoever asked has no more use
for the answer.

Where a request is shown is decided when it is asked for first, and kept: the same request is the same thread, also
where the team file has named another place since. What is kept goes after a time, long after anybody waits for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, JsonValue

from bot.door.requests import ASKED, NAMESPACE, WHY, WITHDRAWN, Caller, is_open
from bot.inbox import Inbox
from channels import places
from channels.places import Firing
from store.base import Store, UnknownThread
from store.events import TriggerReceived
from store.keys import thread_id_of
from store.shelves import Keep
from store.values import Place

KEEP = Keep(timedelta(days=40).total_seconds(), 5_000)
"""Nothing waits longer than 30 days at GitHub."""
REQUESTS_MAX = 50
"""Of one subject."""


class _Requests(BaseModel):
    """Those of one subject, by their keys, each with its place. A text on a shelf."""

    model_config = ConfigDict(frozen=True)

    places: dict[str, Place] = {}


class Door:
    """For one kind of caller."""

    def __init__(
        self, store: Store, inbox: Inbox, now: Callable[[], datetime], *, name: str, source: str, caller: Caller
    ) -> None:
        """`name`: of the caller's agent. `source`: what people read as who asks."""
        self._store = store
        self._inbox = inbox
        self._now = now
        self._name = name
        self._source = source
        self._caller = caller

    async def ask(self, subject: str, key: str, data: Mapping[str, JsonValue], *, place: str) -> str:
        """The thread. Durable when it returns. `subject`: what several requests may belong to and end with.

        Raises StoreUnavailable.
        """
        kept = await self._place(subject, key, place)
        trigger = TriggerReceived(
            id=f"{self._name} {key}", at=self._now(), source=self._source, name=ASKED, data=dict(data)
        )
        return await self._inbox.trigger(kept, trigger, agent=self._name, namespace=NAMESPACE)

    async def withdraw(self, subject: str, data: Mapping[str, JsonValue], *, mark: str, why: str) -> int:
        """Withdraw all requests of the subject that are not answered yet. Returns how many there were.

        `mark`: the same for the same news. Raises StoreUnavailable.
        """
        found = 0
        for key, place in (await self._kept(subject)).places.items():
            thread_id = thread_id_of(place)
            try:
                if not is_open(await self._store.load(thread_id), self._caller):
                    continue
            except UnknownThread:
                continue
            trigger = TriggerReceived(
                id=f"{self._name} {key} {mark}",
                at=self._now(),
                source=self._source,
                name=WITHDRAWN,
                data={**data, WHY: why},
            )
            found += await self._inbox.trigger_in(thread_id, trigger, namespace=NAMESPACE)
        return found

    async def _kept(self, subject: str) -> _Requests:
        text = await self._store.shelved(self._shelf, _hashed(subject))
        return _Requests.model_validate_json(text) if text else _Requests()

    async def _place(self, subject: str, key: str, place: str) -> Place:
        while True:  # Of several replicas at once, one is the first.
            text = await self._store.shelved(self._shelf, _hashed(subject))
            known = _Requests.model_validate_json(text) if text else _Requests()
            if key in known.places:
                return known.places[key]
            mine = places.parse(place, Firing(f"door-{self._name}", _hashed(f"{subject} {key}")))
            newest = dict([*known.places.items()][1 - REQUESTS_MAX :])
            new = _Requests(places={**newest, key: mine}).model_dump_json()
            if await self._store.shelve(self._shelf, _hashed(subject), new, expected=text, keep=KEEP):
                return mine

    @property
    def _shelf(self) -> str:
        return f"door/{self._name}"


def _hashed(text: str) -> str:
    """It comes from outside."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=12).hexdigest()
