"""Renders a message as the JSON document that is posted. Pure.

Its field names are a public contract: within a `version`, fields are added but never removed. It depends only on the
thread as of the event that the message is about, so every attempt posts the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, assert_never

from pydantic_core import to_jsonable_python

from channels import plain
from channels.messages import (
    Answered,
    Approval,
    Dropped,
    Ended,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminded,
    Tasks,
    Text,
    Unanswered,
    Waiting,
)
from store.events import Event
from store.keys import MessageKey, SendKey
from store.values import Place

VERSION = 1


def document_of(message: Outgoing, place: Place, *, key: str, so_far: Sequence[Event], api: str) -> dict[str, Any]:
    """`api`: the URL of the threads in the HTTP API; its path alone where the host is not known."""
    sent = SendKey.parse(key)
    about = MessageKey.parse(sent.message)
    document: dict[str, Any] = {
        "type": _type_of(message, about),
        "version": VERSION,
        "timestamp": to_jsonable_python(so_far[-1].at) if so_far else None,
        "key": key,
        "thread": sent.thread_id,
        "about": about.about if about else sent.message,
        "place": f"{place.channel}:{place.address}",
        "text": plain.render(message),
        "data": _data_of(message),
    }
    match message:
        case Approval(state=Waiting()):
            url = f"{api}/{sent.thread_id}/decisions"
            document["decide"] = {"url": url, "request": message.step, "digest": message.digest}
        case Question(state=Unanswered()):
            document["answer"] = {"url": f"{api}/{sent.thread_id}/answers", "question": message.step}
        case _:
            pass
    return document


def body_of(document: dict[str, Any]) -> bytes:
    """In ASCII, so that no half of a surrogate pair is in the way."""
    return json.dumps(document, separators=(",", ":")).encode()


def _data_of(message: Outgoing) -> Any:
    """The message with what its state says, on one level."""
    match message:
        case Question() | Approval():
            # Whom a channel notifies is no part of the message.
            return to_jsonable_python(message, exclude={"state", "calls"}) | to_jsonable_python(message.state)
        case Text(text):
            return {"text": text}
        case Notice() | Progress() | Tasks():
            return to_jsonable_python(message)
    assert_never(message)


def _type_of(message: Outgoing, about: MessageKey | None) -> str:
    match message:
        case Text():
            return "text"
        case Notice():
            return "notice.undelivered" if about and about.part == "undelivered" else "notice"
        case Question():
            return _type_of_question(message)
        case Approval():
            return _type_of_request(message)
        case Progress():
            return "progress"
        case Tasks():
            return "tasks"
    assert_never(message)


def _type_of_question(question: Question) -> str:
    match question.state:
        case Unanswered():
            return "question.asked"
        case Answered() | Dropped():
            return "question.answered"
    assert_never(question.state)


def _type_of_request(request: Approval) -> str:
    match request.state:
        case Waiting():
            return "request.asked"
        case Reminded():
            return "request.reminded"
        case Ended():
            return "request.settled"
    assert_never(request.state)
