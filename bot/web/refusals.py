"""Counts and logs what the HTTP API refuses, and says when a caller has been refused too often.

Whoever has no token is counted by address, so a guess at a token cannot be repeated at will; a token is counted by its
name, wherever it is used. A token that was accepted from an address before is not locked out there by the guesses of
others behind the same address. A line of the log never holds a token, and all that is kept is bounded.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

REFUSALS_MAX = 60
"""In one window, for one address or one token."""
WINDOW_SECONDS = 60.0
KEPT_MAX = 10_000
"""Addresses and tokens that are counted; of more, the oldest are forgotten."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Refusals:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[float, int]] = {}
        """When the window began and how many there were, by address or token."""
        self._accepted: dict[tuple[str, str], None] = {}

    def refused(self, address: str, reason: str, token: str = "", **more: Any) -> None:
        """Count it, and log it. `token`: its name; empty: not known."""
        key = _key(address, token)
        began, count = self._window(key)
        count += 1
        _keep(self._counts, key, (began, count))
        if count <= REFUSALS_MAX:
            log.warning("api_refused", reason=reason, address=address, token=token, **more)
        if count == REFUSALS_MAX:
            # From here on each further refusal would be one more line for whoever floods the log.
            log.warning("api_refused", reason="too_many", address=address, token=token)

    def accepted(self, address: str, token: str) -> None:
        _keep(self._accepted, (address, token), None)

    def wait_seconds(self, address: str, token: str = "") -> float:
        """How long this caller is not heard; 0: it is heard."""
        theirs = self._left(_key(address, token))
        if token and (address, token) not in self._accepted:
            return max(theirs, self._left(_key(address, "")))
        return theirs

    def _left(self, key: str) -> float:
        began, count = self._window(key)
        return began + WINDOW_SECONDS - self._clock() if count >= REFUSALS_MAX else 0.0

    def _window(self, key: str) -> tuple[float, int]:
        now = self._clock()
        began, count = self._counts.get(key, (now, 0))
        return (began, count) if now < began + WINDOW_SECONDS else (now, 0)


def _key(address: str, token: str) -> str:
    return f"token {token}" if token else f"address {network_of(address)}"


def network_of(address: str) -> str:
    """What one caller may change its address within: for IPv6 a /64."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((int(found), 64), strict=False))
    return str(found)


def _keep(kept: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """As the newest entry."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > KEPT_MAX:
        del kept[next(iter(kept))]
