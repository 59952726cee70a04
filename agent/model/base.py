"""The port to the model: a prompt goes in, one step comes out, and whatever goes wrong is a `ModelFailure`.

Nothing here knows how a model is reached. A stand-in, a script of the tests and a real endpoint are all a `Model`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from agent.definition import Agent
from agent.steps import Step
from store.values import Usage

Reason = Literal["invalid", "refused", "truncated", "unavailable"]

RETRY_AFTER_SECONDS_MAX = 3_600.0
ERROR_CHARS_MAX = 400


@dataclass(frozen=True, slots=True)
class Prompt:
    agent: Agent
    """Its `prompt` is the system message, and its steps are what may be answered."""
    user: str


@dataclass(frozen=True, slots=True)
class Answer:
    step: Step
    usage: Usage | None
    model: str
    """As the endpoint names it."""


class ModelFailure(Exception):
    """There is no usable step. The reasons are those of `store.events.ChoiceFailed`.

    `truncated`: the answer, or the thread, is too long for the model. `unavailable`: the model was not reached, which
    may pass, or a person has to put it right.
    """

    def __init__(
        self,
        reason: Reason,
        error: str,
        *,
        model: str = "",
        usage: Usage | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(error)
        self.reason: Reason = reason
        self.error = error
        """One line of at most ERROR_CHARS_MAX characters."""
        self.model = model
        self.usage = usage
        self.retry_after_seconds = retry_after_seconds
        """What the endpoint asked for, up to RETRY_AFTER_SECONDS_MAX; None: it did not say."""


class Model(Protocol):
    @property
    def name(self) -> str: ...

    async def answer(self, prompt: Prompt) -> Answer:
        """The next step. Raises ModelFailure."""
        ...
