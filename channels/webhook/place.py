"""Places at webhooks: this module alone makes and reads them. Pure.

An address is the name of an endpoint, and behind a slash the thread that we open there. Which endpoints there are, the
settings say: `channels.webhook.endpoints`.
"""

from __future__ import annotations

import re
from typing import assert_never

from channels.places import Alerts, Approvals, Command, Firing, Purpose
from store.values import Place

NAME = "webhook"

_ENDPOINT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def is_endpoint(name: str) -> bool:
    """Whether an endpoint can be called so."""
    return bool(_ENDPOINT.fullmatch(name))


def endpoint_at(place: Place) -> str:
    """The name of the endpoint."""
    return place.address.partition("/")[0]


class WebhookPlaces:
    """`webhook:pager`."""

    channel = NAME

    def form(self, purpose: Purpose) -> str:
        return "an endpoint's name"

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


GRAMMAR = WebhookPlaces()
