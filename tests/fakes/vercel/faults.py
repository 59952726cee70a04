"""What a test does to a request on its way: let it fail before or after its effect, or hold it exactly there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.fakes.vercel.shapes import Record


@dataclass
class Fault:
    """One planned failure of requests of `operation` (by its name in the OpenAPI description; "*": all)."""

    operation: str
    status: int = 500
    code: str = "internal_server_error"
    message: str = "An unexpected internal error occurred"
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Record = field(default_factory=dict)
    """More fields of the error."""
    body: bytes | None = None
    """Answered as it is: a proxy's HTML page, half of a JSON."""
    cut: bool = False
    """The connection is closed, nothing is answered."""
    after_effect: bool = False
    times: int = 1
    when: Callable[[Record], bool] = field(default=lambda given: True)
    met: int = 0

    def fits(self, operation: str, given: Record, after_effect: bool) -> bool:
        named = self.operation in (operation, "*") and self.met < self.times
        return named and self.after_effect == after_effect and self.when(given)


def rate_limited(operation: str, *, reset: int, retry_after: int | None = None, times: int = 1) -> Fault:
    """`reset`: when it is over, in seconds since 1970. Retry-After is not always there."""
    headers = {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(reset)}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    limit = {"remaining": 0, "reset": reset, "resetMs": reset * 1000, "total": 100}
    message = "Too many requests. Try again later."
    return Fault(operation, 429, "rate_limited", message, headers, {"limit": limit}, times=times)
