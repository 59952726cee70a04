"""What the alerts of Prometheus' Alertmanager and of Grafana have in common: a group of alerts in one delivery. Pure.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config (version 4). Grafana sends the same fields and
some more. A group is one occurrence, not one for each alert: the service has grouped them so that people are told once.
All names and texts of alerts are words: what is measured may write into them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from channels.hooks.kind import Delivery, Occurrence, Posted, Ready, Unreadable
from channels.hooks.payload import digest_of, json_of, text_at, value_at

FIRING, RESOLVED = "alert_firing", "alert_resolved"
ALERTS_MAX = 20
"""Shown of a group."""
_CHARS_MAX = 300
_STATES = {"firing": FIRING, "resolved": RESOLVED}
_FACTS, _WORDS = ("status", "count", "since", "url"), ("alert", "severity", "summary", "alerts", "receiver")
EVENTS = {
    FIRING: Ready(facts=_FACTS, words=_WORDS, shown=("alert", "severity", "summary", "alerts"), has_subject=True),
    RESOLVED: Ready(
        facts=_FACTS, words=_WORDS, shown=("alert", "severity", "summary", "alerts"), has_subject=True, ends=True
    ),
}


def grouped(posted: Posted) -> Delivery:
    """Raises Unreadable."""
    body = json_of(posted)
    status, alerts = text_at(body, "status"), value_at(body, "alerts")
    if status not in _STATES or not isinstance(alerts, list) or not all(isinstance(one, dict) for one in alerts):
        raise Unreadable("The body must have a status, firing or resolved, and alerts.")
    rows = [_row(one) for one in alerts[:ALERTS_MAX] if isinstance(one, dict)]
    fields: dict[str, JsonValue] = {
        "status": status,
        "count": len(alerts),
        "since": min((str(row["since"]) for row in rows), default=""),
        "url": text_at(body, "externalURL")[:_CHARS_MAX],
        "alert": _common(rows, "alert") or text_at(body, "groupLabels.alertname")[:_CHARS_MAX],
        "severity": text_at(body, "commonLabels.severity")[:_CHARS_MAX],
        "summary": _summary(body) or _common(rows, "summary"),
        "receiver": text_at(body, "receiver")[:_CHARS_MAX],
        "alerts": [*rows],
    }
    # A group has one key for ever, and is one incident from its first alert until all are over.
    subject = hashlib.sha256(text_at(body, "groupKey").encode(errors="replace")).hexdigest()[:32]
    shown = {name: value for name, value in fields.items() if value not in ("", [])}
    return Delivery(digest_of(posted), status, body, Occurrence(_STATES[status], shown, subject))


def _row(alert: Mapping[str, Any]) -> dict[str, JsonValue]:
    summary = text_at(alert, "annotations.summary") or text_at(alert, "annotations.description")
    return {
        "alert": text_at(alert, "labels.alertname")[:_CHARS_MAX],
        "status": text_at(alert, "status")[:_CHARS_MAX],
        "since": text_at(alert, "startsAt")[:40],
        "summary": summary[:_CHARS_MAX],
    }


def _summary(body: Mapping[str, JsonValue]) -> str:
    return (text_at(body, "commonAnnotations.summary") or text_at(body, "title"))[:_CHARS_MAX]


def _common(rows: list[dict[str, JsonValue]], name: str) -> str:
    """What all say; empty: they differ."""
    values = {str(row[name]) for row in rows}
    return values.pop() if len(values) == 1 else ""
