"""Makes and parses the addresses of webhook places; no other module does. Pure.

An address is the name of an endpoint, or `endpoint/name` for a thread that we open. This module does not know which
endpoints exist (see `channels.webhook.endpoints`).
"""

from __future__ import annotations

import re
from typing import assert_never

from channels.places import Alerts, Approvals, Command, Firing, Purpose
from store.values import Place

NAME = "webhook"

_ENDPOINT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def is_endpoint(name: str) -> bool:
    """Whether it is a valid name of an endpoint."""
    return bool(_ENDPOINT.fullmatch(name))


def endpoint_at(place: Place) -> str:
    """The name of the endpoint."""
    return place.address.partition("/")[0]


class WebhookPlaces:
    """`webhook:pager`."""

    channel = NAME

    def form(self, purpose: Purpose) -> str:
        return "ENDPOINT"

    def place(self, name: str, purpose: Purpose) -> Place | None:
        if not is_endpoint(name):
            return None
        match purpose:
            case Alerts() | Approvals():
                return Place(channel=NAME, address=name)
            case Firing(schedule, mark):
                return Place(channel=NAME, address=f"{name}/{schedule}@{mark}")
            case Command(label):
                return Place(channel=NAME, address=f"{name}/{label}")
        assert_never(purpose)

    def name(self, place: Place) -> str:
        return endpoint_at(place)

    def is_personal(self, name: str) -> bool:
        return False


GRAMMAR = WebhookPlaces()
