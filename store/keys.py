"""Every key that stands in a log: the ids of events, steps, messages and timers, and the id of the thread itself.

A key is a string in the log and an idempotency key outside, so the format never changes: sent mails and buttons depend
on it. Only this module builds or parses a key. What a timer does: `store.fold`. What a message says: `agent.speech`.

    s12                        a step, numbered by the length of the log at its choice; s12q, s12e1f…: derived from it
    s12/chosen, s12/finished   an event of a step
    s12/card, s12/card/at/2    a message: the step it is about, its part, and its surface
    s12/wait/3, s12/card/send/1  a timer
    from/slack/C1:17.4         an event whose id comes from outside

A *surface* is a place where a request for approval is shown: 0 is the thread's own, 1 and up are the others, in order.
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from store.values import Place

ID_CHARS_MAX = 200
"""A longer id from outside is replaced by its hash."""
OPENED = "opened"
"""The id of the first event of every thread."""

MessagePart = Literal[
    "say",
    "card",
    "votes",
    "reminder",
    "settled",
    "closed",
    "answered",
    "progress",
    "ended",
    "notice",
    "undelivered",
    "tasks",
]
_NUMBERED: frozenset[MessagePart] = frozenset({"votes", "reminder", "ended", "tasks"})
"""Parts that may occur several times for one step; a number at the end of the key distinguishes them."""
_PARTS: frozenset[str] = frozenset(get_args(MessagePart))

TimerKind = Literal["choice", "wait", "send", "remind", "widen", "expire"]
_TIMERS: frozenset[str] = frozenset(get_args(TimerKind))


# Threads


def thread_id_of(place: Place) -> str:
    """Derived from the place, so that finding a thread and opening one are the same append."""
    hashed = hashlib.blake2b(f"{place.channel}\0{place.address}".encode(), digest_size=8).digest()
    return "t" + base64.b32encode(hashed).decode().rstrip("=").lower()


# Steps


def step_at(number: int) -> str:
    """The step chosen while the thread has this number (`Thread.number`). Unique: it is appended at that one only."""
    return f"s{number}"


def question_about(step_id: str) -> str:
    """The question that asks people how this step ended. The same, whichever worker asks."""
    return f"{step_id}q"


def edit_of(step_id: str, change: str) -> str:
    """The step into which a person's edit turns this one. Making the same edit twice gives the same step."""
    return f"{step_id.partition('e')[0]}e{short_hash(step_id + change)}"


# Events of a step


def chosen(step_id: str) -> str:
    return f"{step_id}/chosen"


def requested(step_id: str) -> str:
    return f"{step_id}/requested"


def decided(step_id: str, *, approved: bool, trust: str, who: str, may: str = "") -> str:
    """A second click of the same person on the same button is the same event, unless their rights (`may`) changed."""
    parts = [step_id, "decided", "yes" if approved else "no", trust, short(who), *([short_hash(may)] if may else [])]
    return "/".join(parts)


def decided_by_standing_approval(step_id: str) -> str:
    return f"{step_id}/decided/standing"


def answered(step_id: str, who: str) -> str:
    return f"{step_id}/answered/{short(who)}"


def started(step_id: str, start: int) -> str:
    return f"{step_id}/started/{start}"


def not_begun(step_id: str, start: int) -> str:
    return f"{step_id}/notbegun/{start}"


def waiting(step_id: str, attempt: int) -> str:
    return f"{step_id}/waiting/{attempt}"


def finished(step_id: str) -> str:
    return f"{step_id}/finished"


def interrupted(step_id: str) -> str:
    return f"{step_id}/interrupted"


def refused(step_id: str) -> str:
    return f"{step_id}/refused"


def call(thread_id: str, step_id: str) -> str:
    """The idempotency key that a tool passes to the service it calls."""
    return f"{thread_id}/{step_id}"


def agent_changed(step_id: str) -> str:
    return f"{step_id}/agent"


# Other events of the program


def handed_over(number: int) -> str:
    return f"h{number}/handed"


def handed_over_after_cut(cut: str) -> str:
    """After events were cut off the end of the store. `cut`: its name."""
    return f"cut/{cut}"


def events_lost(ids: Iterable[str]) -> str:
    """The loss of events with these ids. The same, whichever worker remembers them."""
    return f"lost/{short_hash(' '.join(ids))}"


def unserved(number: int) -> str:
    return f"u{number}/unserved"


def choice_failed(number: int) -> str:
    return f"c{number}/failed"


def choice_outdated(number: int) -> str:
    return f"c{number}/outdated"


def fired(timer: str) -> str:
    return f"{timer}/fired"


def sent(key: str) -> str:
    return f"{key}/sent"


def failed(key: str, attempt: int) -> str:
    return f"{key}/failed/{attempt}"


def came_back(key: str, number: int) -> str:
    """One recipient of a sent message, number `number`, refused it at once."""
    return f"{key}/refused/{number}"


def edited(message_id: str, edit: str) -> str:
    return f"{message_id}/edited/{short(edit)}"


def deleted(message_id: str) -> str:
    return f"{message_id}/deleted"


def forked(source: str, at: int) -> str:
    return f"fork/{source}/{at}"


def revoked(grant_id: str) -> str:
    return f"{grant_id}/revoked"


def used(grant_id: str, thread_id: str, step_id: str) -> str:
    return f"{grant_id}/used/{short_hash(call(thread_id, step_id))}"


def new(kind: str) -> str:
    """Random: for an action that a person takes now and that is never redelivered."""
    return f"{kind}/{uuid.uuid4()}"


# Ids from outside


@dataclass(frozen=True, slots=True)
class OutsideId:
    """An id from outside, in a namespace of its own: a foreign `s5/finished` cannot pass for ours.

    Slashes in it are escaped, so that it cannot equal an id that we derive from another foreign id either.
    """

    source: str
    """The channel, or another origin."""
    event_id: str

    def __str__(self) -> str:
        source, event_id = (part.replace("%", "%25").replace("/", "%2F") for part in (self.source, self.event_id))
        if len(source) + len(event_id) > ID_CHARS_MAX:
            whole = f"{source}/{event_id}".encode(errors="replace")
            source, event_id = source[:20], hashlib.blake2b(whole, digest_size=16).hexdigest()
        return f"from/{source}/{event_id}"

    @classmethod
    def parse(cls, text: str) -> OutsideId | None:
        """None: the id is one of ours. For an id that was too long, `event_id` is only its hash."""
        match text.split("/"):
            case ["from", source, event_id]:
                return cls(*(part.replace("%2F", "/").replace("%25", "%") for part in (source, event_id)))
            case _:
                return None


# Messages and timers


@dataclass(frozen=True, slots=True)
class MessageKey:
    """A message to people: what it is about, which part of that, and at which surface."""

    about: str
    """A step, or an event without a step; for `undelivered`, the key or the event of the lost message."""
    part: MessagePart
    number: str = ""
    """Distinguishes several: the event's index for `votes`, `ended` and `tasks`; `remind` or `widen` for a reminder."""
    surface: int = 0
    """See above."""

    def __str__(self) -> str:
        key = f"{self.about}/{self.part}/{self.number}" if self.number else f"{self.about}/{self.part}"
        return f"{key}/at/{self.surface}" if self.surface else key

    @property
    def is_apart(self) -> bool:
        """It goes to a place other than the thread's own, or reports the loss of such a message."""
        of = MessageKey.parse(self.about) if self.part == "undelivered" else None
        return bool(self.surface or (of and of.surface))

    @classmethod
    def parse(cls, text: str) -> MessageKey | None:
        """None: not the key of a message."""
        surface = 0
        before, _, last = text.rpartition("/")
        if last.isdecimal() and before.endswith("/at"):
            text, surface = before.removesuffix("/at"), int(last)
            before, _, last = text.rpartition("/")
        number = ""
        if last not in _PARTS or last in _NUMBERED:
            number = last
            before, _, last = before.rpartition("/")
            if last not in _NUMBERED:
                return None
        return cls(before, cast(MessagePart, last), number, surface) if before else None


@dataclass(frozen=True, slots=True)
class TimerKey:
    """A timer of a thread."""

    kind: TimerKind
    about: str = ""
    """A step; for `send`, the key of the message; for `choice`, empty."""
    number: int = 0
    """The attempt after which it waits."""

    def __str__(self) -> str:
        return f"{self.about}/{self.kind}/{self.number}" if self.about else f"{self.kind}/{self.number}"

    @classmethod
    def parse(cls, text: str) -> TimerKey | None:
        """None: not the key of a timer."""
        rest, _, number = text.rpartition("/")
        about, _, kind = rest.rpartition("/")
        if kind not in _TIMERS or not number.isdecimal() or bool(about) == (kind == "choice"):
            return None
        return cls(cast(TimerKind, kind), about, int(number))


@dataclass(frozen=True, slots=True)
class SendKey:
    """The idempotency key given to a channel, which sends one message under it and no second."""

    thread_id: str
    message: str
    """The `MessageKey`, as it stands in the log."""
    recipient: str = ""
    """Set where each recipient gets a message of their own."""

    def __str__(self) -> str:
        key = f"{self.thread_id}/{self.message}"
        return f"{key} {self.recipient}" if self.recipient else key

    def to(self, recipient: str) -> SendKey:
        return SendKey(self.thread_id, self.message, recipient)

    @classmethod
    def parse(cls, text: str) -> SendKey:
        key, _, recipient = text.partition(" ")
        thread_id, _, message = key.partition("/")
        return cls(thread_id, message, recipient)


@dataclass(frozen=True, slots=True)
class EventId:
    """The id of an event that the program derived: what it belongs to, what happened, and what tells it from others."""

    about: str
    """A step, the key of a message or of a timer, a message that somebody sent, or nothing."""
    name: str
    """What happened: `finished`, `sent`."""
    rest: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.about, self.name, self.rest)))

    @property
    def step(self) -> str:
        """The step that it belongs to; empty: it belongs to none."""
        found = re.match(rf"({_STEP})(/|$)", self.about)
        return found[1] if found else ""

    @classmethod
    def parse(cls, text: str) -> EventId | None:
        """None: it comes from outside."""
        for form, parses in _EVENT_IDS:
            found = form.fullmatch(text)
            if found and (parses is None or parses(found[1])):
                return cls(*found.groups())
        return None


_STEP = r"s\d+(?:e[0-9a-f]{12})?q?"
_EVENT_IDS: tuple[tuple[re.Pattern[str], Callable[[str], object] | None], ...] = tuple(
    (re.compile(form, re.DOTALL), parses)
    for form, parses in (
        # First what may be about any other event: its key begins with that event's id.
        (r"(.+)/(sent)()", MessageKey.parse),
        (r"(.+)/(failed|refused)/(\d+)", MessageKey.parse),
        (r"(.+)/(fired)()", TimerKey.parse),
        (rf"({_STEP})/(chosen|requested|finished|interrupted|refused|agent)()", None),
        (rf"({_STEP})/(started|notbegun|waiting)/(\d+)", None),
        (rf"({_STEP})/(decided|answered)/(.+)", None),
        (r"()(opened)()", None),
        (r"(h\d+)/(handed)()", None),
        (r"(u\d+)/(unserved)()", None),
        (r"(c\d+)/(failed|outdated)()", None),
        (r"()(m|pause|resume|cancel|reopen|fork|lost|cut)/(.+)", None),
        (r"(g\w+)/(revoked)()", None),
        (r"(g\w+)/(used)/(.+)", None),
        (r"(.+)/(edited)/(.+)", OutsideId.parse),
        (r"(.+)/(deleted)()", OutsideId.parse),
    )
)


_OF_A_TURN = re.compile(
    r"(?!from/)[ !#-\[\]-~]+/"
    r"(?:chosen|requested|finished|interrupted|refused|agent|sent|fired|handed|unserved|outdated|failed"
    r"|(?:started|notbegun|waiting|failed|refused)/\d+)"
)


def is_of_a_turn(event_id: str) -> bool:
    """Whether it names what an agent's turn does to a thread; in plain ASCII, without quotes and backslashes."""
    return _OF_A_TURN.fullmatch(event_id) is not None


def short(name: str) -> str:
    return name if len(name) <= ID_CHARS_MAX else hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=6).hexdigest()
