"""The outbox: the messages that are not sent yet, oldest first.

An entry names the event it reports and the place it goes to; `agent.speech` makes the text when it is sent. The fold
adds entries, and removes them when the log says that they were sent. Each is sent once, under its key
(`store.keys.MessageKey`). This module reads no log, does no I/O and knows no channel.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from store.deliveries import MessageFailed
from store.keys import MessageKey
from store.values import Place

Kind = Literal[
    "text",  # the agent's own message
    "question",
    "card",
    "votes",
    "reminder",
    "settled",
    "answered",
    "offer",  # where words belong that may answer a question of another thread
    "offer_closed",
    "progress",
    "ended",
    "tasks",  # the list of what the agent will do
    "tasks_moved",  # the same list, as it stands now
    "handed_to_human",
    "notice",
    "unserved",  # no worker serves the thread, or can read what has arrived
    "edit_ended",  # a person's edit did not become a request
    "undelivered",
]
MINOR: frozenset[Kind] = frozenset(
    {"progress", "ended", "tasks_moved", "answered", "offer_closed", "undelivered", "votes", "reminder"}
)
"""If one of these cannot be sent, nobody is notified, and it holds back no later message."""


class Unsent(NamedTuple):
    """A message to send."""

    kind: Kind
    event: int
    """The index of the event that it reports."""
    step: str = ""
    surface: int = 0
    """Which of the request's places it goes to: see `store.keys`."""
    place: Place | None = None
    """The place of that surface; None: the thread's own."""
    failures: int = 0
    retry_at: datetime | None = None

    @property
    def is_minor(self) -> bool:
        return self.kind in MINOR


@dataclass(slots=True)
class Outbox:
    _unsent: dict[str, Unsent] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._unsent)

    def __iter__(self) -> Iterator[str]:
        return iter(self._unsent)

    def __getitem__(self, key: str) -> Unsent:
        return self._unsent[key]

    def copy(self) -> Outbox:
        return Outbox(dict(self._unsent))

    def get(self, key: str) -> Unsent | None:
        return self._unsent.get(key)

    def items(self) -> Iterator[tuple[str, Unsent]]:
        return iter(self._unsent.items())

    def put(self, key: MessageKey, kind: Kind, event: int, step: str = "", place: Place | None = None) -> None:
        """Add a message; None: to the thread's own place."""
        self._unsent[str(key)] = Unsent(kind, event, step, place=place)

    def put_instead(self, key: MessageKey, kind: Kind, event: int, step: str) -> None:
        """Like `put`, in place of earlier ones of this kind and step: nobody needs to see what is over."""
        for earlier, unsent in list(self._unsent.items()):
            if (unsent.kind, unsent.step) == (kind, step):
                del self._unsent[earlier]
        self.put(key, kind, event, step)

    def put_card(
        self, step: str, event: int, places: Sequence[Place | None], first: int = 0, *, failures: int = 0
    ) -> None:
        """Add a request's card for each place; `first` is the surface of the first one, `failures` counts on."""
        for surface, place in enumerate(places, first):
            key = str(MessageKey(step, "card", surface=surface))
            self._unsent[key] = Unsent("card", event, step, surface, place, failures)

    def put_wherever_shown(
        self,
        key: MessageKey,
        kind: Kind,
        event: int,
        *,
        step: str,
        places: Sequence[Place],
        shown_at: Collection[int],
    ) -> None:
        """Add a follow-up to the card of this step: at the thread's own place, and at each of `places` where the card
        was sent or is still in the outbox.
        """
        for surface, place in enumerate((None, *places)):
            if not surface or surface in shown_at or str(MessageKey(step, "card", surface=surface)) in self._unsent:
                at = MessageKey(key.about, key.part, key.number, surface)
                self._unsent[str(at)] = Unsent(kind, event, step, surface, place)

    def sent(self, key: str) -> Unsent | None:
        """Remove a message that was sent. None: it is not in the outbox."""
        return self._unsent.pop(key, None)

    def failed(self, event: MessageFailed) -> Unsent | None:
        """Schedule the retry, or give the message up. Returns a message given up that people must hear of elsewhere."""
        unsent = self._unsent.pop(event.key, None)
        if unsent and event.retry_at:
            self._unsent[event.key] = unsent._replace(failures=event.attempt, retry_at=event.retry_at)
            return None
        return unsent if event.elsewhere else None

    def try_again(self, key: str, attempt: int) -> None:
        """The delay after that attempt is over: retry."""
        unsent = self._unsent.get(key)
        if unsent and unsent.failures == attempt:
            self._unsent[key] = unsent._replace(retry_at=None)

    def forget_followers(self, card: Unsent) -> None:
        """Drop the follow-ups of a card that will never be sent. The thread's own place still shows how it ended."""
        for key, unsent in list(self._unsent.items()):
            follows = unsent.kind in ("votes", "reminder") or (unsent.kind == "settled" and unsent.surface)
            if follows and (unsent.step, unsent.surface) == (card.step, card.surface):
                del self._unsent[key]

    def drop(self, kind: Kind) -> None:
        """Nobody needs to hear of it any more."""
        for key, unsent in list(self._unsent.items()):
            if unsent.kind == kind:
                del self._unsent[key]

    def has_card(self, step: str) -> bool:
        return any(unsent.kind == "card" and unsent.step == step for unsent in self._unsent.values())

    def next(self, own: Place, *, here: bool = False) -> tuple[str, Unsent] | None:
        """The next message to send; `here`: to the thread's `own` place only.

        A message that waits for a retry holds back later ones to the same place, unless it is minor.
        """
        held = set()
        for key, unsent in self._unsent.items():
            if here and unsent.surface:
                continue
            place = unsent.place or own
            if unsent.retry_at is None and place not in held:
                return key, unsent
            if unsent.retry_at is not None and not unsent.is_minor:
                held.add(place)
        return None
