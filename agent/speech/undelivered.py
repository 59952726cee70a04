"""What people are told of a message that could not be sent: where, why, what it was about, and what it said. Pure.

The subject of the conversation, the date and the kind of the message are for everybody who hears of the loss. What it
said is only for the person whom it was for, so it stands in a private message alone, never in a list of alerts. The
channel says in its error what helps.
"""

from __future__ import annotations

from channels.messages import HEADLINE_CHARS_MAX, Outgoing
from channels.plain import render
from store.deliveries import DeliveryFailed, MessageFailed, MessageSent
from store.events import MessageReceived
from store.keys import MessageKey
from store.outbox import Unsent
from store.text import instant, one_line
from store.thread import Thread
from store.values import Person, Place

SUBJECT_CHARS_MAX = 200


def place_of_lost(thread: Thread, failed: MessageFailed | DeliveryFailed, about: str) -> Place:
    """Where the message was to be said. `about`: the step of the lost message."""
    key = MessageKey.parse(failed.key)
    step = thread.step(about or key.about) if key and key.surface else None
    return step.request.places[key.surface - 1] if key and step and step.request else thread.place


def person_to_notify(thread: Thread, undelivered: Unsent) -> Person:
    """The person to notify of a lost message: the last verified sender, unless it was lost on its way to them.

    A person without an address if there is none.
    """
    failed = thread.events[undelivered.event]
    lost = failed.recipient if isinstance(failed, DeliveryFailed) else ""
    before = reversed(thread.events[: undelivered.event])
    senders = (event.sender for event in before if isinstance(event, MessageReceived))
    known = (sender for sender in senders if sender.trust == "verified" and sender.address != lost)
    return next(known, Person(name="nobody"))


def lost_in_words(
    thread: Thread, failed: MessageFailed | DeliveryFailed, about: str, *, said: Outgoing | None, link: str
) -> str:
    """`thread` ends with the loss. `said`: the lost message, for the person whom it was for; `link`: to its place."""
    lost = failed.recipient if isinstance(failed, DeliveryFailed) else ""
    what = f"My message to {lost} bounced" if lost else "I could not send a message"
    place = place_of_lost(thread, failed, about)
    where = link or f"{place.channel}:{place.address}"
    parts = [f"{what} in {where} ({failed.error.rstrip('.')}).", _which(thread, failed, about)]
    if isinstance(failed, MessageFailed) and failed.instead:
        parts.append("I have shown the request to those who may decide it, in private.")
    if said is None:
        parts.append(f"`bot show {thread.id}` prints the thread.")
        return " ".join(parts)
    return " ".join([*parts, "It said:"]) + f"\n\n{render(said)}"


def _which(thread: Thread, failed: MessageFailed | DeliveryFailed, about: str) -> str:
    """Which message it was, in a sentence."""
    tried = (e.at for e in thread.events if isinstance(e, MessageSent | MessageFailed) and e.key == failed.key)
    when = f" of {instant(next(tried, failed.at))}"
    subjects = (e.subject for e in thread.events if isinstance(e, MessageReceived) and e.subject)
    subject = one_line(next(subjects, ""), SUBJECT_CHARS_MAX)
    where = f", in the conversation “{subject}”" if subject else ""
    return f"It was {_kind(thread, failed, about)}{when}{where}."


def _kind(thread: Thread, failed: MessageFailed | DeliveryFailed, about: str) -> str:
    key = MessageKey.parse(failed.key)
    step = thread.step(about or key.about) if key else None
    request = one_line(step.request.title, HEADLINE_CHARS_MAX) if step and step.request else ""
    match key.part if key else "notice":
        case "card" if request:
            return f"the request “{request}”"
        case "votes" | "reminder" if request:
            return f"a reminder of the request “{request}”"
        case "settled" | "closed" if request:
            return f"the outcome of the request “{request}”"
        case "say" if step and step.effect == "asks":
            return "a question"
        case "say" if step and step.effect == "says":
            return "an answer"
        case "say" | "progress" | "ended" | "tasks" | "answered" if step:
            return "an update"
        case _:
            return "a notice"
