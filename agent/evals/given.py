"""The events that a case begins with: its words and triggers, and exported events moved to now. Pure.

Words come a minute apart, so that nobody seems to be still writing; exported events keep their distances.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from agent.evals.case import CaseError, Given
from store import keys
from store.codec import decode
from store.events import (
    Event,
    MessageReceived,
    StepChosen,
    ThreadOpened,
    ToolFinished,
    ToolStarted,
    TriggerReceived,
    UnknownEvent,
)
from store.keys import OutsideId
from store.values import Attachment, Person

APART = timedelta(minutes=1)
AGO = timedelta(seconds=20)
"""How long ago the last of it happened."""
_TIMES = frozenset({"at", "until", "retry_at", "remind_at", "widen_at", "expires_at"})


def events_of(given: Sequence[Given], now: datetime) -> list[Event]:
    """Without the opening of the thread. Raises CaseError for an event that this version cannot read."""
    exported = [datetime.fromisoformat(str(one.event["at"])) for one in given if one.event.get("at")]
    later = now - AGO - APART * sum(1 for one in given if not one.event) - max(exported) if exported else timedelta()
    events: list[Event] = []
    for number, one in enumerate(given):
        at = now - AGO - APART * (len(given) - 1 - number)
        if one.event:
            event = decode(json.dumps(_later(one.event, later)).encode())
            if isinstance(event, UnknownEvent):
                raise CaseError(f"given.{number}: this is no event: {json.dumps(one.event)[:200]}")
            if not isinstance(event, ThreadOpened):
                events.append(event)
        elif one.tool:
            events += _ran(one, keys.step_at(len(events) + 1), at)
        elif one.trigger:
            identity = str(OutsideId(one.source, f"eval/{number}"))
            events.append(TriggerReceived(id=identity, at=at, source=one.source, name=one.trigger, data=dict(one.data)))
        else:
            events.append(_message(one, f"given/{number}", at))
    return events


def _ran(given: Given, step: str, at: datetime) -> list[Event]:
    """A tool that was chosen, began and ended. The thread's opening comes before, so numbers begin with 1."""
    acts = not given.by_code
    return [
        StepChosen(
            id=keys.chosen(step),
            at=at,
            step=step,
            intent=given.tool,
            arguments=dict(given.arguments),
            effect="runs",
            by="code" if given.by_code else "model",
            acts=acts,
        ),
        ToolStarted(id=keys.started(step, 1), at=at, step=step, attempt=1, repeatable=not acts),
        ToolFinished(id=keys.finished(step), at=at, step=step, result=given.result, error=given.error),
    ]


def person(name: str, trust: str) -> Person:
    return Person.model_validate({"name": name, "address": name.split()[0].lower(), "trust": trust})


def _message(given: Given, event_id: str, at: datetime) -> MessageReceived:
    return MessageReceived(
        id=event_id,
        at=at,
        sender=person(given.sender, given.trust),
        text=given.text,
        subject=given.subject,
        quoted=given.quoted,
        passes_on=given.passes_on,
        attachments=tuple(Attachment(name=one.name, text=one.text) for one in given.attachments),
    )


def _later(event: Mapping[str, Any], by: timedelta) -> Any:
    """The same with all its times moved."""

    def moved(key: str, value: Any) -> Any:
        match value:
            case dict():
                return {name: moved(name, one) for name, one in value.items()}
            case str() if key in _TIMES:
                return (datetime.fromisoformat(value) + by).isoformat()
            case _:
                return value

    return moved("", dict(event))
