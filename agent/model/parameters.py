"""The parameters of a request, and which of them the endpoint takes.

Endpoints differ: some models take no temperature, some know the limit of the output under another name. What an
endpoint refuses is left out from then on, and the log says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

OURS = frozenset({"messages", "model", "n", "response_format", "stream", "tool_choice", "tools"})
"""What the requests of this program rest on, so that nobody may set it."""
OTHER_NAMES = {"max_tokens": "max_completion_tokens"}
"""Under which an endpoint may know a parameter that it refuses. Newer models of OpenAI refuse the first of these."""


@dataclass(frozen=True, slots=True)
class Parameters:
    temperature: float | None = 0.0
    """None: the endpoint's own."""
    output_tokens: int = 0
    """The longest answer; 0: the endpoint's own limit."""
    reasoning_effort: str = ""
    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    """Sent as they are."""

    def as_json(self) -> dict[str, JsonValue]:
        set_here: dict[str, JsonValue] = {
            "temperature": self.temperature,
            "max_tokens": self.output_tokens or None,
            "reasoning_effort": self.reasoning_effort or None,
        }
        return {name: value for name, value in set_here.items() if value is not None} | dict(self.extra)


DEFAULTS = Parameters()


class Accepted:
    """The parameters that are sent: all, less those that the endpoint has refused."""

    def __init__(self, parameters: Parameters) -> None:
        self.values = parameters.as_json()

    def leave_out(self, name: str) -> bool:
        """The endpoint refuses this one; it may know it under another name. False: it is left out already."""
        if name not in self.values:
            return False
        value, other = self.values.pop(name), OTHER_NAMES.get(name)
        if other:
            self.values[other] = value
        return True
