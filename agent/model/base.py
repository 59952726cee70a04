"""The port to the model: takes a prompt and returns one step, or raises `ModelFailure` or `ModelBusy`.

It does not know how a model is reached. A stand-in, a script in a test and a real endpoint all implement `Model`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from agent.definition import Agent
from agent.steps import Step
from store.values import Usage

Reason = Literal["invalid", "refused", "truncated", "unavailable"]

Concerns = Literal["model", "request", "pace"]
"""What an unavailable model says: of itself, to everybody; of this request only; or that it is asked too often."""

RETRY_AFTER_SECONDS_MAX = 3_600.0
DEFAULT = "default"
"""The label of the model of every agent that has no other."""
STAND_IN = "stand-in"
"""The name of what is no model, and stands in for all of them (`agent.roster.stand_in`)."""
ERROR_CHARS_MAX = 400
ANSWER_CHARS_MAX = 300
"""Of an unusable answer, the beginning that is kept."""


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    """What the prompt calls it."""
    data_url: Callable[[], Awaitable[str]]
    """The image as a `data:` URL; empty: it is not kept any more. Raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class Prompt:
    agent: Agent
    """Its `prompt` is the system message; the answer must be one of its steps."""
    user: str
    images: tuple[Image, ...] = ()
    """For models that look at images."""
    insists: bool = False
    """The model has chosen a call twice that code refuses (see `Tool.after_refusal`)."""
    newest: str = ""
    """The newest words of people, a line each, for a second look; empty: there are none."""
    shortened: Callable[[int], str] | None = None
    """The user message in at most so many characters, for a model that takes no more. None: there is no shorter one."""


@dataclass(frozen=True, slots=True)
class Answer:
    step: Step
    usage: Usage | None
    model: str
    """The name that the endpoint reports."""
    doubt: tuple[str, str] = ("", "")
    """Why code must not begin this step, and what would make sense instead (see `agent.model.second_look`)."""


class ModelFailure(Exception):
    """There is no usable step. The reasons are those of `store.choices.ChoiceFailed`.

    `truncated`: the answer was cut off. `unavailable`: the model could not be reached; that may pass, or a person has
    to fix it.
    """

    def __init__(
        self,
        reason: Reason,
        error: str,
        *,
        model: str = "",
        usage: Usage | None = None,
        retry_after_seconds: float | None = None,
        is_known: bool = False,
        was_asked: bool = True,
        concerns: Concerns = "model",
        answer: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(error)
        self.reason: Reason = reason
        self.error = error
        """One line of at most ERROR_CHARS_MAX characters."""
        self.model = model
        self.usage = usage
        self.retry_after_seconds = retry_after_seconds
        """When the model may be asked again, up to RETRY_AFTER_SECONDS_MAX; None: the caller chooses."""
        self.is_known = is_known
        """The model is being left alone, or will be asked again in a moment: nothing new to a thread that was told."""
        self.was_asked = was_asked
        """False: nothing was sent."""
        self.concerns: Concerns = concerns
        self.answer = answer
        """The beginning of what it answered instead of a step."""
        self.hint = hint
        """What a right answer looks like, for the model."""

    def changed(self, **changes: Any) -> ModelFailure:
        """The same failure, with other values for some of the arguments."""
        fields = {
            "reason": self.reason,
            "error": self.error,
            "model": self.model,
            "usage": self.usage,
            "retry_after_seconds": self.retry_after_seconds,
            "is_known": self.is_known,
            "was_asked": self.was_asked,
            "concerns": self.concerns,
            "answer": self.answer,
            "hint": self.hint,
        }
        return ModelFailure(**{**fields, **changes})


class ModelBusy(Exception):
    """As many calls to the model as may be made at once are under way. Nothing was sent and nothing went wrong."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(f"the model is busy; ask again in {retry_after_seconds:g} s")
        self.retry_after_seconds = retry_after_seconds


class Model(Protocol):
    @property
    def name(self) -> str: ...

    async def answer(self, prompt: Prompt) -> Answer:
        """The next step. Raises ModelFailure, and ModelBusy instead of waiting for another call to end."""
        ...
