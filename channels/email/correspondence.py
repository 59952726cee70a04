"""Reads from a thread's events which are mails, whom a mail names, and which mail it replies to. Pure.

`channels.email.letters` chooses the recipients from it; nothing here does.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from pydantic import JsonValue

from store.deliveries import MessageSent
from store.events import Event, MessageReceived
from store.keys import MessageKey
from store.replies import ReplyDecidedNothing


def named_in(mail: MessageReceived) -> list[str]:
    """The addresses in its To and Cc."""
    return [*strings(mail.origin.get("to")), *strings(mail.origin.get("cc"))]


def named_with_us(mail: MessageReceived, is_us: Callable[[str], bool]) -> list[str]:
    """The addresses in its To and Cc, if we are one of them. If we were only in Bcc, the others do not know of us."""
    named = named_in(mail)
    return named if any(map(is_us, named)) else []


def is_mail(event: Event) -> bool:
    return isinstance(event, MessageReceived) and "message_id" in event.origin


def is_apart(sent: MessageSent) -> bool:
    """Whether it was sent to a place other than the thread's own."""
    key = MessageKey.parse(sent.key)
    return key is not None and key.is_apart


def answers(event: Event, mails: Container[str]) -> bool:
    """Whether it is a reply to one of these mails."""
    named = strings(event.origin.get("references")) if isinstance(event, MessageReceived) else []
    return bool(named) and named[-1] in mails


def address_is_known(step: str, person: str, so_far: Sequence[Event]) -> bool:
    """Whether this person has replied to the request where others know the reply address: it decides nothing then."""
    told = (one for one in so_far if isinstance(one, ReplyDecidedNothing) and one.step == step and one.known_to_others)
    return any(one.by.address.lower() == person.lower() for one in told)


def strings(value: JsonValue) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
