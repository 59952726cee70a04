"""What is posted: one message of the agent as a JSON object. Pure.

Its names are a promise to those who receive it: within a `version`, names are added and none is taken away. It holds
what the thread said as of the event that the message tells of, and nothing that differs from one attempt to the next:
a message that is posted again is the same, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, assert_never

from pydantic_core import to_jsonable_python

from channels import plain
from channels.base import (
    Answered,
    Card,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminder,
    Settled,
    Text,
    Undelivered,
)
from store.events import Event
from store.keys import MessageKey, SendKey
from store.values import Place

VERSION = 1


def document_of(message: Outgoing, place: Place, *, key: str, so_far: Sequence[Event], api: str) -> dict[str, Any]:
    """`api`: the URL of the threads in the HTTP API; its path alone where the host is not known."""
    if isinstance(message, Card | Reminder | Settled | Answered | Progress):
        # There is nothing to rewrite here, and a receipt may come between two attempts.
        message = replace(message, receipt="")
    sent = SendKey.parse(key)
    about = MessageKey.parse(sent.message)
    told: dict[str, Any] = {
        "type": _type_of(message),
        "version": VERSION,
        "timestamp": to_jsonable_python(so_far[-1].at) if so_far else None,
        "key": key,
        "thread": sent.thread_id,
        "about": about.about if about else sent.message,
        "place": f"{place.channel}:{place.address}",
        "text": plain.render(message),
        "data": to_jsonable_python(message, exclude={"receipt"}),
    }
    match message:
        case Card():
            url = f"{api}/{sent.thread_id}/decisions"
            told["decide"] = {"url": url, "request": message.step, "digest": message.digest}
        case Question():
            told["answer"] = {"url": f"{api}/{sent.thread_id}/answers", "question": message.step}
        case _:
            pass
    return told


def body_of(document: dict[str, Any]) -> bytes:
    """In ASCII, so that no half of a surrogate pair is in the way."""
    return json.dumps(document, separators=(",", ":")).encode()


def _type_of(message: Outgoing) -> str:
    match message:
        case Text():
            return "text"
        case Notice():
            return "notice"
        case Undelivered():
            return "notice.undelivered"
        case Question():
            return "question.asked"
        case Answered():
            return "question.answered"
        case Card():
            return "request.asked"
        case Reminder():
            return "request.reminded"
        case Settled():
            return "request.settled"
        case Progress():
            return "progress"
    assert_never(message)
