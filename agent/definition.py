"""An agent: a prompt, the steps it may take, what code chooses before the model does, and its limits.

One folder of `agent/roster/` builds one of these. The schema that the model must answer with, and its validator, are
made once, here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Union

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from agent.steps import OWN_STEPS, HandOver, Step, Tool
from store.thread import Thread


@dataclass(frozen=True, slots=True)
class Limits:
    """Everything has a limit, and the limit has a name. Reaching one hands the thread to a person."""

    steps_per_turn: int = 30
    """Steps since a person or a trigger last moved the thread."""
    errors_in_row: int = 3
    """Failed tools, refused steps and useless answers of the model, one after the other."""
    events_per_thread: int = 2_000
    context_chars_max: int = 120_000
    """About 35,000 tokens. Older parts are left out of the prompt beyond it."""
    part_chars_max: int = 8_000
    """The longest single text in the prompt: one message, one field of a tool's result."""
    tool_attempts: int = 3
    """How often a repeatable tool is started again after its worker died."""
    send_attempts: int = 30
    """How often a channel is tried with one message: for about four hours, the last times every ten minutes."""
    send_seconds: float = 60.0
    """How long a channel may take for one attempt."""


class AgentError(Exception):
    """The agent is put together wrongly: a mistake in its code, found when it is built and not by a thread."""


class UnusableStep(ValueError):
    """The JSON is no step of this agent. The text is short and for the model."""


def no_plan(_: Thread) -> Step | None:
    return None


@dataclass(frozen=True)
class Agent:
    name: str
    prompt: str
    tools: tuple[type[Tool], ...]
    plan: Callable[[Thread], Step | None] = no_plan
    """Pure. Asked before the model, and once more when the agent is done: where it gives a step, code chose it."""
    limits: Limits = field(default_factory=Limits)
    resources: Mapping[type, object] = field(default_factory=dict)
    """By type, what its tools need."""
    openings: Mapping[str, str] = field(default_factory=dict)
    """What its `plan` begins by itself where a schedule names it (`opening`), with what that is, for people."""
    check: Callable[[], Awaitable[list[str]]] | None = None
    """For `bot doctor`: asks whatever it works with for real, and changes nothing. Gives what is wrong and what to do,
    a line each. Whoever calls it bounds its time."""

    def __post_init__(self) -> None:
        """Raises AgentError."""
        if problems := [*self._clashes(), *self._missing_resources()]:
            raise AgentError(f"The agent {self.name!r} cannot be built: {'; '.join(problems)}.")

    def _clashes(self) -> Iterator[str]:
        own = [HandOver.intent_name(), *(cls.intent_name() for cls in OWN_STEPS)]
        names = Counter(tool.intent_name() for tool in self.tools)
        for intent, times in names.items():
            if intent in own:
                yield f"the intent {intent!r} of one of its tools is that of a step of the program"
            elif times > 1:
                yield f"{times} of its tools have the intent {intent!r}"

    def _missing_resources(self) -> Iterator[str]:
        for kind in dict.fromkeys(kind for tool in self.tools for kind in tool.needs):
            if not isinstance(self.resources.get(kind), kind):
                needing = [tool.__name__ for tool in self.tools if kind in tool.needs]
                yield f"its resources hold no {kind.__name__}, which its tools need: {', '.join(needing)}"

    @cached_property
    def steps(self) -> dict[str, type[Step]]:
        """What the model is offered, by intent."""
        return {cls.intent_name(): cls for cls in (*self.tools, *OWN_STEPS)}

    @cached_property
    def adapter(self) -> TypeAdapter[Step]:
        classes = tuple(self.steps.values())
        union: Any = Union[classes]  # noqa: UP007 - the members are known at run time only
        return TypeAdapter(Annotated[union, Field(discriminator="intent")])

    @cached_property
    def all_steps(self) -> dict[str, type[Step]]:
        return self.steps | {HandOver.intent_name(): HandOver}

    def parse(self, intent: str, arguments: Mapping[str, JsonValue]) -> Step:
        """The step that the log names. Raises UnusableStep where the agent does not (or no longer) have it."""
        cls = self.all_steps.get(intent)
        if cls is None:
            raise UnusableStep(f"Unknown intent {intent!r}. Known are: {', '.join(self.steps)}.")
        try:
            return cls.model_validate({"intent": intent, **arguments})
        except ValidationError as error:
            raise UnusableStep(explain(error, intent)) from None

    def resources_of(self, intent: str) -> dict[type, object]:
        """What the tool of this intent needs, and nothing else."""
        cls = self.steps.get(intent)
        return {kind: self.resources[kind] for kind in cls.needs} if cls and issubclass(cls, Tool) else {}

    def acts(self, step: Step) -> bool:
        """Whether it may change the world."""
        return isinstance(step, Tool) and (not step.repeatable or step.needs_approval())


def explain(error: ValidationError, intent: str = "") -> str:
    """What is wrong with the answer, in one line that the model can act on."""
    problems = []
    for item in error.errors(include_url=False, include_context=False)[:3]:
        path = ".".join(str(part) for part in item["loc"] if part != intent)
        problems.append(f"{path}: {item['msg']}" if path else item["msg"])
    return f"Invalid {intent or 'answer'}: {'; '.join(problems)}."[:500]
