"""The outbox: what people have not been told yet, in the order in which it came up.

An entry says which event it tells of, and where; the words are made when it is sent (`agent.speech`). The fold puts
entries in and takes them out again as the log says that they went out. Each has a key (`store.keys.MessageKey`) under
which it is sent once. Nothing here reads a log, does I/O or knows a channel.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from store.events import MessageFailed
from store.keys import MessageKey
from store.values import Place

Kind = Literal[
    "words",  # of the agent
    "question",
    "card",
    "votes",
    "reminder",
    "settled",
    "answered",
    "progress",
    "ended",
    "handed",
    "notice",
    "undelivered",
]
MINOR: frozenset[Kind] = frozenset({"progress", "ended", "answered", "undelivered", "votes", "reminder"})
"""Where one of these cannot be sent, nobody needs to hear of it elsewhere, and nothing waits for it."""


class Unsent(NamedTuple):
    """One message that has to be sent."""

    kind: Kind
    event: int
    """The index of the event that it tells of."""
    step: str = ""
    surface: int = 0
    """0 is the thread's own place; 1 and up are the other places where the step's request is shown, in order."""
    place: Place | None = None
    """Of that surface; None: the thread's own."""
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

    def put(self, key: MessageKey, kind: Kind, event: int, step: str = "") -> None:
        """To be sent at the thread's own place."""
        self._unsent[str(key)] = Unsent(kind, event, step)

    def put_card(self, step: str, event: int, places: Sequence[Place | None], first: int = 0) -> None:
        """A request, to be shown at each of these; `first` is the number of the first of these surfaces."""
        for surface, place in enumerate(places, first):
            key = str(MessageKey(step, "card", surface=surface))
            self._unsent[key] = Unsent("card", event, step, surface, place)

    def put_wherever_shown(
        self, key: MessageKey, kind: Kind, event: int, *, places: Sequence[Place], shown_at: Collection[int]
    ) -> None:
        """What follows the card of the step `key.about`: at the thread's own place, and wherever else the card is
        shown or about to be. `places` are those beside the thread's own.
        """
        step = key.about
        for surface, place in enumerate((None, *places)):
            if not surface or surface in shown_at or str(MessageKey(step, "card", surface=surface)) in self._unsent:
                at = MessageKey(step, key.part, key.number, surface)
                self._unsent[str(at)] = Unsent(kind, event, step, surface, place)

    def sent(self, key: str) -> Unsent | None:
        """It went out. None: it was not to be sent, or was noted already."""
        return self._unsent.pop(key, None)

    def failed(self, event: MessageFailed) -> Unsent | None:
        """It is tried again later, or given up. Gives what was given up and matters to people; None: nothing did."""
        unsent = self._unsent.pop(event.key, None)
        if unsent and event.retry_at:
            self._unsent[event.key] = unsent._replace(failures=event.attempt, retry_at=event.retry_at)
            return None
        return unsent if event.elsewhere else None

    def try_again(self, key: str, attempt: int) -> None:
        """The wait after that attempt is over."""
        unsent = self._unsent.get(key)
        if unsent and unsent.failures == attempt:
            self._unsent[key] = unsent._replace(retry_at=None)

    def forget_followers(self, card: Unsent) -> None:
        """Drop what was to follow a card that will never be there. How it was settled, the thread itself still says."""
        for key, unsent in list(self._unsent.items()):
            follows = unsent.kind in ("votes", "reminder") or (unsent.kind == "settled" and unsent.surface)
            if follows and (unsent.step, unsent.surface) == (card.step, card.surface):
                del self._unsent[key]

    def has_card(self, step: str) -> bool:
        return any(unsent.kind == "card" and unsent.step == step for unsent in self._unsent.values())

    def next(self, own: Place, *, here: bool = False) -> tuple[str, Unsent] | None:
        """What is to be sent next; `here`: at the thread's `own` place only.

        What waits for another attempt holds back all that came after it at the same place, unless it is minor.
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
