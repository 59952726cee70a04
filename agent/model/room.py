"""How long a user message may be for a model: by its context's size, or by what its endpoint refused before."""

from __future__ import annotations

import math

from agent.definition import Agent
from agent.model.frame import MODES, frame_of

CHARS_PER_TOKEN = 3
"""A careful guess: English has four, identifiers three, other scripts less. The endpoint says if it is wrong."""
CHARS_MIN = 2_000
"""A user message that is shorter makes no sense any more."""
ANSWER_TOKENS = 1_000
"""Kept free for the answer, if its limit is not set."""


class Room:
    def __init__(self, context_tokens: int, output_tokens: int) -> None:
        """`context_tokens`: 0: not known."""
        self._tokens = context_tokens - (output_tokens or ANSWER_TOKENS) if context_tokens else math.inf
        self._learnt: dict[str, int] = {}
        self._chars: dict[str, float] = {}

    def chars_of(self, agent: Agent) -> int | None:
        """The longest user message; None: no limit is known."""
        limit = min(self._by_size(agent), self._learnt.get(agent.name, math.inf))
        return None if limit == math.inf else max(int(limit), CHARS_MIN)

    def learn(self, agent: Agent, chars_max: int) -> None:
        """The endpoint took no more. It is not forgotten, so that not every step costs a request that fails."""
        self._learnt[agent.name] = chars_max

    def _by_size(self, agent: Agent) -> float:
        if agent.name not in self._chars:
            # The schema stands in the system message on the looser endpoints, and may be read on the others.
            frame = len(frame_of(agent, MODES[-1]).system)
            self._chars[agent.name] = self._tokens * CHARS_PER_TOKEN - frame
        return self._chars[agent.name]
