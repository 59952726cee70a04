"""What people are told of a message that could not be sent: where, why, what helps, and what the message said. Pure.

What it said is only for the person whom it was for, so it stands in a private message alone, never in a list of alerts.
The channel says in its error what helps.
"""

from __future__ import annotations

from channels.messages import Outgoing
from channels.plain import render
from store.deliveries import DeliveryFailed, MessageFailed
from store.events import MessageReceived
from store.keys import MessageKey
from store.outbox import Unsent
from store.thread import Thread
from store.values import Person, Place


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
    parts = [f"{what} in {where} ({failed.error.rstrip('.')})."]
    if isinstance(failed, MessageFailed) and failed.instead:
        parts.append("I have shown the request to those who may decide it, in private.")
    if said is None:
        parts.append(f"`bot show {thread.id}` prints the thread.")
        return " ".join(parts)
    return " ".join([*parts, "It said:"]) + f"\n\n{render(said)}"
