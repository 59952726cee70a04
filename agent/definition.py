"""An agent: a prompt, its tools, an optional plan in code, and its limits.

Each folder of `agent/roster/` builds one. The validator for the model's answers is made here, once. Wiring mistakes are
found when an agent is built; nothing here runs one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from agent.steps import OWN_STEPS, HandOver, Step, Tool
from store.thread import Thread

if TYPE_CHECKING:
    from agent.notes import Notes


@dataclass(frozen=True, slots=True)
class Limits:
    """The named limits of an agent. Reaching one hands the thread to a person."""

    steps_per_turn: int = 30
    """Steps since the last message, trigger or decision."""
    errors_in_row: int = 3
    """Consecutive failed tools, refused steps and unusable answers of the model."""
    unavailable_seconds: float = 900.0
    """How long the model may be unavailable to a thread, which asks it again and again meanwhile."""
    events_per_thread: int = 2_000
    context_chars_max: int = 120_000
    """About 35,000 tokens. Older parts are left out of a longer prompt."""
    part_chars_max: int = 8_000
    """The longest single text in the prompt: one message, one field of a tool's result."""
    tool_attempts: int = 3
    """How often a repeatable tool is started, if its workers die."""
    send_attempts: int = 30
    """Attempts to send one message: over about four hours, in the end every ten minutes. What waits for a person to log
    in is never given up.
    """
    send_seconds: float = 60.0
    """The time limit of one attempt."""


class AgentError(Exception):
    """The agent is wired wrongly: a mistake in its code, found when it is built."""


class UnusableStep(ValueError):
    """The JSON is not a step of this agent. The message is short, and for the model."""


def no_plan(_: Thread) -> Step | None:
    return None


def no_rule(_: Tool) -> bool:
    return False


@dataclass(frozen=True)
class Agent:
    name: str
    prompt: str
    tools: tuple[type[Tool], ...]
    plan: Callable[[Thread], Step | None] = no_plan
    """Pure. Asked before the model, and again when the model is done. A step that it returns is taken."""
    limits: Limits = field(default_factory=Limits)
    resources: Mapping[type, object] = field(default_factory=dict)
    """What its tools need, by type."""
    openings: Mapping[str, str] = field(default_factory=dict)
    """What its `plan` can begin by itself when a schedule names it (`opening`), with a description for people."""
    check: Callable[[], Awaitable[list[str]]] | None = None
    """For `bot doctor`: contacts the systems that the tools use, and changes nothing. Returns a line for each problem,
    with what to do. The caller limits the time."""
    hands_over_to: tuple[str, ...] = ()
    """The agents that its plan lets take over a thread. Each must be set up."""
    tend: Callable[[Notes], Awaitable[None]] | None = None
    """Called by every worker process again and again, beside its threads: looks after what the tools left running on
    its machine. Short; it may be cancelled, and an error is logged."""
    not_set_up: tuple[str, ...] = ()
    """For `bot doctor`: optional parts that the team left out, and what does not happen therefore. No problems."""
    named_by_rule: Callable[[Tool], bool] = no_rule
    """Pure. Whether a rule of the team names this call, so that it waits for an approval. The program sets it."""
    only_tools: bool = False
    """It is asked for one of its tools and nothing else: it neither speaks nor asks. It needs two tools at least."""
    examples: tuple[tuple[str, Step], ...] = ()
    """What its model sees before each request as if it had answered so: a user message, and the right step."""

    def __post_init__(self) -> None:
        """Raises AgentError."""
        if problems := [*self._clashes(), *self._missing_resources()]:
            raise AgentError(f"The agent {self.name!r} cannot be built: {'; '.join(problems)}.")

    def _clashes(self) -> Iterator[str]:
        own = [HandOver.intent_name(), *(cls.intent_name() for cls in OWN_STEPS)]
        names = Counter(tool.intent_name() for tool in self.tools)
        for intent, times in names.items():
            if intent in own:
                yield f"one of its tools has the intent {intent!r}, which belongs to a built-in step"
            elif times > 1:
                yield f"{times} of its tools have the intent {intent!r}"

    def _missing_resources(self) -> Iterator[str]:
        for kind in dict.fromkeys(kind for tool in self.tools for kind in tool.needs):
            if not isinstance(self.resources.get(kind), kind):
                needing = [tool.__name__ for tool in self.tools if kind in tool.needs]
                yield f"its resources hold no {kind.__name__}, which its tools need: {', '.join(needing)}"

    @cached_property
    def steps(self) -> dict[str, type[Step]]:
        """The steps that the model may choose, by intent."""
        own = () if self.only_tools else OWN_STEPS
        return {cls.intent_name(): cls for cls in (*(tool for tool in self.tools if not tool.by_code), *own)}

    @cached_property
    def adapter(self) -> TypeAdapter[Step]:
        classes = tuple(self.steps.values())
        union: Any = Union[classes]  # noqa: UP007 - the members are known only at run time
        return TypeAdapter(Annotated[union, Field(discriminator="intent")])

    @cached_property
    def all_steps(self) -> dict[str, type[Step]]:
        by_code: list[type[Step]] = [HandOver, *(tool for tool in self.tools if tool.by_code)]
        return self.steps | {cls.intent_name(): cls for cls in by_code}

    @cached_property
    def quotes(self) -> bool:
        """Whether a tool may quote messages, so that its model must read their names."""
        return any(tool.quotes for tool in self.tools)

    @cached_property
    def after_refusal(self) -> dict[str, frozenset[str]]:
        """Of each tool, the arguments that the model is offered only where it insists on a refused call."""
        return {tool.intent_name(): tool.after_refusal for tool in self.tools if tool.after_refusal}

    def parse(self, intent: str, arguments: Mapping[str, JsonValue]) -> Step:
        """A step from the log. Raises UnusableStep if the agent does not (or no longer) have it."""
        cls = self.all_steps.get(intent)
        if cls is None:
            raise UnusableStep(f"Unknown intent {intent!r}. Known are: {', '.join(self.steps)}.")
        try:
            return cls.model_validate({"intent": intent, **arguments})
        except ValidationError as error:
            raise UnusableStep(explain(error, intent)) from None

    def resources_of(self, intent: str) -> dict[type, object]:
        """The resources that the tool of this intent needs, and no others."""
        cls = self.all_steps.get(intent)
        return {kind: self.resources[kind] for kind in cls.needs} if cls and issubclass(cls, Tool) else {}


def explain(error: ValidationError, intent: str = "") -> str:
    """What is wrong with the answer, in one line for the model."""
    problems = []
    for item in error.errors(include_url=False, include_context=False)[:3]:
        path = ".".join(str(part) for part in item["loc"] if part != intent)
        problems.append(f"{path}: {item['msg']}" if path else item["msg"])
    return f"Invalid {intent or 'answer'}: {'; '.join(problems)}."[:500]
