"""PagerDuty's webhooks, version 3. Pure.

https://developer.pagerduty.com/docs/webhooks-overview: one HMAC for each secret that is in use, of which one has to be
right. The event's own id names the delivery. An incident is one subject until it is resolved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import JsonValue

from channels.hooks.alerts import FIRING, RESOLVED
from channels.hooks.kind import Delivery, Kind, Occurrence, Options, Posted, Proof, Ready, Signature, Unreadable
from channels.hooks.payload import json_of, number_at, text_at
from channels.hooks.proofs import Hmac

_ID = re.compile(r"[\w-]{1,100}", re.ASCII)
_NAME = re.compile(r"[a-z0-9_.-]{2,80}")
_PROOF = Hmac(Signature(header="X-PagerDuty-Signature", prefix="v1="), several=",")
_CHARS_MAX = 300
_READY = {"incident.triggered": FIRING, "incident.resolved": RESOLVED}
_FACTS, _WORDS = ("incident", "number", "status", "urgency", "since", "url"), ("summary", "service", "agent")


def _proof(_: Options) -> Proof:
    return _PROOF


def _read(posted: Posted, _: Options) -> Delivery:
    body = json_of(posted)
    delivery_id, event = text_at(body, "event.id"), text_at(body, "event.event_type")
    if not _ID.fullmatch(delivery_id) or not _NAME.fullmatch(event):
        raise Unreadable("The body must have an event with an id and an event_type.")
    incident = text_at(body, "event.data.id")
    ready = _READY.get(event)
    return Delivery(
        id=delivery_id,
        event=event,
        body=body,
        ready=_incident(ready, incident, body) if ready and incident else None,
        test=event == "pagey.ping",
    )


def _incident(ready: str, incident: str, body: Mapping[str, JsonValue]) -> Occurrence:
    fields: dict[str, JsonValue] = {"incident": incident[:_CHARS_MAX]}
    if number := number_at(body, "event.data.number"):
        fields["number"] = number
    for name, path in _FIELDS.items():
        if text := text_at(body, f"event.{path}"):
            fields[name] = text[:_CHARS_MAX]
    return Occurrence(ready, fields, subject=incident)


_FIELDS = {
    "status": "data.status",
    "urgency": "data.urgency",
    "since": "data.created_at",
    "url": "data.html_url",
    "summary": "data.title",
    "service": "data.service.summary",
    "agent": "agent.summary",
}

KIND = Kind(
    name="pagerduty",
    proof=_proof,
    read=_read,
    signed_with="what PagerDuty shows once, when the subscription is made",
    events={
        FIRING: Ready(facts=_FACTS, words=_WORDS, shown=("summary", "service"), has_subject=True),
        RESOLVED: Ready(facts=_FACTS, words=_WORDS, shown=("summary", "service", "agent"), has_subject=True, ends=True),
    },
)
