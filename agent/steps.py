"""The possible answers of the model: one pydantic class for each step.

A `Step` has an `intent` and arguments. A `Tool` is a step that code can run. One class holds its schema, its
description (the docstring, which the model reads), whether it acts or only looks, whether it needs approval, and its
code. Asking a person and being done are steps like any other. This module does no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, JsonValue
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from agent.options import HumanInputOptions
from store.events import ApprovalDecided
from store.text import call_in_words
from store.values import Effect, Person

T = TypeVar("T")
MINUTES_MAX = 30 * 24 * 60
"""The longest wait or reminder that the agent may set."""
Facts = dict[str, JsonValue]
_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
AFTER_REFUSAL = "x-after-refusal"
"""Marks the arguments of `Tool.after_refusal` in the JSON schema."""


class Step(BaseModel):
    """The intent derives from the class name: `ListCommits` is `list_commits` in the log and to the model.

    Arguments are strict: unknown fields are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    intent: str = ""
    """Derived for each class. Logs contain it, so a renamed class is a different step."""
    effect: ClassVar[Effect] = "runs"
    """What choosing it does. Logs contain it, so an old log keeps its meaning."""
    acts: ClassVar[bool] = False
    """Whether it may change something outside. Only what acts ever needs an approval."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        inherited = [base.intent_name() for base in cls.__bases__ if issubclass(base, Step)]
        if cls.intent_name() not in inherited:
            raise TypeError(f"{cls.__name__} declares an intent, but the class name defines it.")
        intent = _WORD_BEGINS.sub("_", cls.__name__.strip("_")).lower()
        its_own: Any = Literal.__getitem__(intent)  # A type checker would read Literal[intent] as a type.
        cls.model_fields["intent"] = FieldInfo(annotation=its_own, default=intent)
        # A field may name a type that is defined later; pydantic tries again at the first use.
        cls.model_rebuild(force=True, raise_errors=False)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The intent is optional for code, but required of the model."""
        schema = handler(core_schema)
        whole = handler.resolve_ref_schema(schema)
        whole["properties"]["intent"].pop("default")
        whole["required"] = ["intent", *whole.get("required", ())]
        for name in getattr(cls, "after_refusal", ()):
            whole["properties"][name][AFTER_REFUSAL] = True
        return schema

    @classmethod
    def intent_name(cls) -> str:
        return str(cls.model_fields["intent"].default)

    @property
    def arguments(self) -> dict[str, JsonValue]:
        """All fields except the intent, as JSON values."""
        return self.model_dump(mode="json", exclude={"intent"})


class ToolError(Exception):
    """The tool changed nothing. The reason is short: people read it, and so does the model."""

    def __init__(self, reason: str = "", *, hint: str = "", unknown: str = "") -> None:
        """`hint`: what the model could do instead. People do not read it. `unknown`: the argument's value that names
        nothing. The model may take another one in its place only if people have named that, or write first.
        """
        super().__init__(reason)
        self.hint = hint
        self.unknown = unknown


class OutcomeUnknown(Exception):
    """Nobody knows whether the tool changed anything. People read the reason: it says where to look."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A tool's result when it is not done: run it again after `seconds`. The wait is durable; no process sleeps."""

    seconds: float
    note: str = ""
    """What it waits for, for people. Empty: the call itself is shown."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a verified person, as it stands now."""

    by: Person
    text: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name in an argument stands for now, such as a tag: tomorrow it may stand for something else."""

    name: str
    """The name that a pattern of a standing approval may match. Empty: there is none."""
    where: str
    """Where the name is known: elsewhere it may stand for something else."""
    thing: str
    """What it stands for, by a name that never moves, such as a full commit."""

    @property
    def key(self) -> str:
        return f"{self.name} of {self.where}"


@dataclass(frozen=True, slots=True)
class Call:
    """What a tool gets besides its arguments."""

    thread_id: str
    key: str
    """The same across crashes and retries of this step: pass it to services that accept an idempotency key."""
    attempt: int
    """1 for the first run; counts up each time the tool runs again, after a `Wait` for example."""
    now: datetime
    requested_by: str
    """The requester, for the record."""
    facts: Facts = field(default_factory=dict)
    """The result of `prepare`; if approval was needed, exactly what the approver saw."""
    resources: Mapping[type, object] = field(default_factory=dict)
    """The agent's resources that the tool `needs`, and no others."""
    said: Callable[[str], Said | None] = lambda _: None
    """The message of this thread with this name, as the model reads it (`m7`). None: no verified person wrote it."""
    votes: tuple[ApprovalDecided, ...] = ()
    """The approvals by which it runs."""

    def need(self, kind: type[T]) -> T:
        """The agent's resource of this type, from its `build`. The tool must list the type in `needs`."""
        found = self.resources.get(kind)
        assert isinstance(found, kind), f"the tool asks for {kind.__name__}, which is not in its `needs`"
        return found


class Tool(Step):
    """A step with a `run()`. It acts, unless its class says that it only looks (`acts = False`).

    `run` raises ToolError if it changed nothing. After any other exception or a time-out, the outcome of a tool that
    acts is unknown, and a person is asked.
    """

    needs: ClassVar[tuple[type, ...]] = ()
    """The types of the resources it gets by `call.need(...)`. An agent that lacks one cannot be built."""
    acts: ClassVar[bool] = True
    """False: it only looks, so it needs no approval, whatever led to it, and no rule of the team can ask for one."""
    repeatable: ClassVar[bool] = False
    """Running it again does no harm: the service deduplicates by the call's key. What only looks always is."""
    third_party: ClassVar[bool] = False
    """Its facts or results hold text that people outside the team may write: titles, comments, alerts, web pages.
    Whatever is chosen after it needs an approval, as after a stranger's message."""
    by_code: ClassVar[bool] = False
    """Only code chooses it: the model is not offered it, and it never runs by anybody else's choice."""
    follows: ClassVar[bool] = False
    """It follows what another call has begun until that ends: the plan may choose it also after people stopped the
    agent, so that they hear the end."""
    timeout_seconds: ClassVar[float] = 60.0
    doing: ClassVar[str] = ""
    """What people see while it runs, after the agent's name: `is looking at the tags`. Empty: the intent."""
    editable: ClassVar[tuple[str, ...]] = ()
    """Text arguments that a person may edit instead of approving. An edit makes a new request."""
    quotes: ClassVar[bool] = False
    """Its arguments may name messages: the agent's model then reads a name with each one that can be quoted."""
    after_refusal: ClassVar[frozenset[str]] = frozenset()
    """Arguments with a default that make sense only where code has refused a call. The model is offered them when it
    has chosen the same call twice for all that: small models fill in whatever they may."""
    named_by_people: ClassVar[Mapping[str, Mapping[str, Sequence[str]]]] = {}
    """By argument and value, what people call it. A model's call is refused where nobody has: see `agent.naming`."""
    for_people: ClassVar[frozenset[str]] = frozenset()
    """Keys of its arguments, facts and results that are shown to people but not to the model."""
    dangers: ClassVar[tuple[str, ...]] = ()
    """Keys of its facts that warn people: a request shows them first, and in bold."""
    on_cards: ClassVar[Mapping[str, str]] = {}
    """What people read for the keys of its arguments and facts, by path (`new.sha`): a request shows those named here
    in this order, then the others. A key that is not here is read as words: `notes_so_far` as `notes so far`."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls.acts:
            if any(issubclass(base, Tool) and not base.acts for base in cls.__mro__[1:]):
                raise TypeError(f"{cls.__name__} acts, but derives from a tool that only looks.")
            return
        if cls.needs_approval is not Tool.needs_approval:
            raise TypeError(f"{cls.__name__} only looks (acts = False), so it cannot need an approval.")
        cls.repeatable = True

    @property
    def has_prepare(self) -> bool:
        return type(self).prepare is not Tool.prepare

    def stands_for(self) -> Mapping[str, str]:
        """By argument of `named_by_people`, exact words that name its value too, such as a commit what it is of."""
        return {}

    def needs_approval(self) -> bool:
        """Whether a person must approve this call first. A rule of the team can ask for more, never for less."""
        return False

    def on_behalf_of(self) -> tuple[Person, ...]:
        """Whoever wants this call, as code has found out. They are requesters beside those whose words led to it."""
        return ()

    def is_same(self, arguments: Mapping[str, JsonValue], facts: Facts) -> bool:
        """Whether it is the call with these arguments and facts, in other words: a commit by its short SHA, say. If it
        waits for an approval, it goes on waiting, and people are told. Any other acting call replaces it."""
        return self.arguments == arguments

    def takes_standing_approval(self) -> bool:
        """Whether this call may be approved beforehand, or must be shown to people."""
        return True

    def meanings(self, facts: Facts) -> Mapping[str, Meaning]:
        """By argument, what its name stands for by the facts of this call. Standing approvals are judged by it."""
        return {}

    @classmethod
    async def meanings_now(cls, argument: str, value: str, resources: Mapping[type, object]) -> Sequence[Meaning]:
        """What the value stands for now, wherever it is known by what the tool `needs`: for a standing approval."""
        return ()

    def bound_to(self, call: Call) -> Mapping[str, JsonValue]:
        """What of the team's configuration it would run with, by name: a command, say.

        An approval covers the hash of each part: when one changes, the approval does not hold any more. Put a secret in
        as a hash of your own. Raise ToolError if it cannot run at all.
        """
        return {}

    def title(self, facts: Facts) -> str:
        """What a request asks people to approve, in a few words on one line. `facts`: from `prepare`.

        Every card, mail and list begins with it. It may be clipped, so the arguments are shown beside it.
        """
        return call_in_words(self.intent, self.arguments)

    def warns(self, facts: Facts) -> Mapping[str, str]:
        """By key of `dangers`, a sentence that says it. Every card reads it right after the question that is decided.

        A danger without one is shown as its label and value.
        """
        return {}

    async def prepare(self, call: Call) -> Facts:
        """Look up and check what the call depends on, before people are asked. Must change nothing.

        The facts are shown with the request, bound to it, and returned in `call.facts`. Raise ToolError to refuse.
        """
        return {}

    async def run(self, call: Call) -> JsonValue | Wait:
        """Do the work. The model sees the result."""
        raise AssertionError(f"{type(self).__name__} has no run()")

    async def found_again(self, call: Call) -> JsonValue | None:
        """What came of a run of this call whose end nobody has noted, found by its key. None: people are asked."""
        return None


class RequestHumanInput(Step):
    """Ask the people in this thread something that only they can tell you."""

    effect: ClassVar[Effect] = "asks"

    question: str = Field(min_length=1, description="one clear question")
    context: str = Field(default="", description="what they need to know to answer; may be empty")
    options: HumanInputOptions = HumanInputOptions()


class DoneForNow(Step):
    """Tell the people the outcome, with links, and stop until they write again."""

    effect: ClassVar[Effect] = "says"

    message: str


class SendUpdate(Step):
    """Tell the people something now, and go on with what you are doing."""

    effect: ClassVar[Effect] = "updates"

    message: str


class PlannedTask(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    does: str = Field(description="the intent of the step that will do it")


class ShowTasks(Step):
    """Show the people what you will do, before work of several steps. The list keeps itself up to date."""

    effect: ClassVar[Effect] = "lists"

    tasks: list[PlannedTask]


class NothingToDo(Step):
    """The newest message needs no answer and changes nothing. Nobody is told; what is under way goes on."""

    effect: ClassVar[Effect] = "rests"


class WithdrawRequest(Step):
    """Take back the step that waits for approval, or was approved and has not begun: somebody no longer wants it."""

    effect: ClassVar[Effect] = "withdraws"

    reason: str


class TimedStep(Step):
    """It sets a timer in the thread."""

    in_minutes: int = Field(ge=1, le=MINUTES_MAX)

    def until(self, now: datetime) -> datetime:
        return now + timedelta(minutes=self.in_minutes)


class LookAgain(TimedStep):
    """Do nothing until so many minutes have passed, then go on. Whoever writes meanwhile is heard at once."""

    effect: ClassVar[Effect] = "waits"

    reason: str = Field(description="what to look at then")


class SetReminder(TimedStep):
    """Be woken at a later time with this note. What is under way goes on meanwhile."""

    effect: ClassVar[Effect] = "reminds"

    note: str = Field(description="what to do then, so that you understand it without having the conversation in mind")


class HandOver(Step):
    """Let another agent take over this thread. Chosen by code."""

    agent: str
    reason: str


OWN_STEPS: tuple[type[Step], ...] = (
    RequestHumanInput,
    DoneForNow,
    SendUpdate,
    ShowTasks,
    NothingToDo,
    WithdrawRequest,
    LookAgain,
    SetReminder,
)
"""The steps that every agent has. `HandOver` is for code only, so the model is not offered it."""


def as_question(question: str, context: str = "", *, yes_no: bool = False, urgent: bool = False) -> RequestHumanInput:
    """A question asked by code."""
    options = HumanInputOptions(urgency="high" if urgent else "medium", format="yes_no" if yes_no else "free_text")
    return RequestHumanInput(question=question, context=context, options=options)
