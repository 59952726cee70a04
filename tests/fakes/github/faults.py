"""What a test does to a request on its way: let it fail before or after its effect, or hold it exactly there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you reach out to "
    "GitHub Support for help, please include the request ID."
)


@dataclass
class Fault:
    """One planned failure of requests of `operation` (by its name in the OpenAPI description; "*": all)."""

    operation: str
    status: int = 502
    message: str = "Server Error"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Answered as it is: a proxy's HTML page, half of a JSON."""
    cut: bool = False
    """The connection is closed, nothing is answered."""
    after_effect: bool = False
    times: int = 1
    when: Callable[[Mapping[str, Any]], bool] = field(default=lambda given: True)
    met: int = 0

    def fits(self, operation: str, given: Mapping[str, Any], after_effect: bool) -> bool:
        named = self.operation in (operation, "*") and self.met < self.times
        return named and self.after_effect == after_effect and self.when(given)


def limited(operation: str, *, seconds: int | None = 60, times: int = 1) -> Fault:
    """A secondary limit. Retry-After is not always there."""
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    return Fault(operation, 403, SECONDARY, headers, times=times)


def limited_until(operation: str, *, seconds: int = 1800, times: int = 1) -> Fault:
    """The requests of this hour are used up."""
    headers = {
        "x-ratelimit-limit": "5000",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-used": "5000",
        "x-ratelimit-reset": str(int(time.time()) + seconds),
    }
    return Fault(operation, 403, "API rate limit exceeded for installation ID 42.", headers, times=times)
