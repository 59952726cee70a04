"""What the model may answer: one pydantic class for each step.

A `Step` has an `intent` and arguments. A `Tool` is a step that code can run: its schema, its description (the
docstring, which the model reads), its approval rule, whether it may be repeated and what it does stand in one class.
Asking a person and being done are steps like any other. Nothing in this module does I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, JsonValue
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from store.events import Effect

T = TypeVar("T")
MINUTES_MAX = 30 * 24 * 60
"""How far ahead the agent may plan to look at something."""
Facts = dict[str, JsonValue]
_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Step(BaseModel):
    """The class's name makes its intent: a `DeployBackend` is written `deploy_backend`, in the log and by the model.

    Arguments are strict: unknown fields are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    intent: str = ""
    effect: ClassVar[Effect] = "runs"
    """What it does once it is chosen. The log keeps it, so that an old log means what it meant."""
    """Set by each class. It stands in every log, so renaming a class makes it another step."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        inherited = [base.intent_name() for base in cls.__bases__ if issubclass(base, Step)]
        if cls.intent_name() not in inherited:
            raise TypeError(f"{cls.__name__} declares an intent, and its name gives it one.")
        intent = _WORD_BEGINS.sub("_", cls.__name__.strip("_")).lower()
        its_own: Any = Literal.__getitem__(intent)  # a type checker takes Literal[intent] for a type
        cls.model_fields["intent"] = FieldInfo(annotation=its_own, default=intent)
        # Types that a field names and that come further down are not known yet; pydantic asks again at the first use.
        cls.model_rebuild(force=True, raise_errors=False)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Code may leave the intent out; the model has to name it."""
        schema = handler(core_schema)
        whole = handler.resolve_ref_schema(schema)
        whole["properties"]["intent"].pop("default")
        whole["required"] = ["intent", *whole.get("required", ())]
        return schema

    @classmethod
    def intent_name(cls) -> str:
        return str(cls.model_fields["intent"].default)

    @property
    def arguments(self) -> dict[str, JsonValue]:
        """Everything but the intent, as JSON values."""
        return self.model_dump(mode="json", exclude={"intent"})


class ToolError(Exception):
    """The tool did not do it, and knows so. The text is for the model: short, and says what would work."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A tool's answer: not yet. It is run again after `seconds`; the wait is durable, so nothing sleeps."""

    seconds: float
    note: str = ""
    """What it waits for; people are shown it. Empty: the call itself."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a tool is given beside its own arguments."""

    thread_id: str
    key: str
    """Stable for this step over crashes and repeats: hand it to whatever accepts an idempotency key."""
    attempt: int
    """1 at first; for a tool that answered `Wait`, how often it has been run."""
    now: datetime
    requested_by: str
    """The person whose words led here, for the record."""
    facts: Facts = field(default_factory=dict)
    """What `prepare` found: for a gated tool exactly what the person saw and approved."""
    resources: Mapping[type, object] = field(default_factory=dict)
    """Those of the agent's that the tool `needs`, and no others."""

    def need(self, kind: type[T]) -> T:
        """The agent's resource of this type, as its `build` registered it. The tool has to name it in its `needs`."""
        found = self.resources.get(kind)
        assert isinstance(found, kind), f"the tool asks for {kind.__name__}, which its `needs` do not name"
        return found


class Tool(Step):
    """A step with a `run()`.

    `run` raises ToolError where it did not do its work. Anything else that it raises, and a time-out, leaves the
    outcome of a tool that is not `repeatable` unknown, and a person is asked.
    """

    needs: ClassVar[tuple[type, ...]] = ()
    """Types of the agent's resources that it asks for with `call.need(...)`. An agent without one is not built."""
    repeatable: ClassVar[bool] = False
    """Running it again does no harm: it only looks, or the other side knows the call's key."""
    timeout_seconds: ClassVar[float] = 60.0
    doing: ClassVar[str] = ""
    """What people are shown while it runs, after the agent's name: `is looking at the tags`. Empty: its intent."""
    scoped_by: ClassVar[str] = ""
    """The argument that policies tell its calls apart by (`environment`); empty: one policy for all of them."""
    editable: ClassVar[tuple[str, ...]] = ()
    """Arguments, all of them texts, that a person may change instead of approving: that is a new request."""
    for_people: ClassVar[frozenset[str]] = frozenset()
    """Keys of its arguments, facts and results that only people are shown: the model knows them, or needs them not."""

    @property
    def has_prepare(self) -> bool:
        return type(self).prepare is not Tool.prepare

    @property
    def scope(self) -> str:
        """Which of the policies for its intent holds for this call."""
        return str(getattr(self, self.scoped_by)) if self.scoped_by else ""

    def needs_approval(self) -> bool:
        """Whether a person has to approve this very call first."""
        return False

    async def prepare(self, call: Call) -> Facts:
        """Look up and check what the call depends on, before anybody is asked; must change nothing.

        The facts are shown with the request, are bound to it, and come back in `call.facts`. Raise ToolError to refuse.
        """
        return {}

    async def run(self, call: Call) -> JsonValue | Wait:
        """Do it. The result is what the model sees."""
        raise AssertionError(f"{type(self).__name__} has no run()")


class Result(BaseModel):
    """What a tool answers, for those whose answer code reads too: see `agent.calls`.

    A result of the log may hold keys that the class does not name (any more); those are not read.
    """

    model_config = ConfigDict(frozen=True)

    def as_json(self) -> dict[str, JsonValue]:
        """Without what has its default."""
        return self.model_dump(mode="json", exclude_defaults=True)


class HumanInputOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    urgency: Literal["low", "medium", "high"]
    format: Literal["free_text", "yes_no", "multiple_choice"]
    choices: list[str] = Field(description="for multiple_choice; otherwise empty")


class RequestHumanInput(Step):
    """Ask the people in this thread something that only they can tell you."""

    effect: ClassVar[Effect] = "asks"

    question: str
    context: str = Field(description="what they need to know to answer")
    options: HumanInputOptions


class DoneForNow(Step):
    """Tell the people the outcome, with links, and stop until they write again."""

    effect: ClassVar[Effect] = "says"

    message: str


class SendUpdate(Step):
    """Tell the people something now, and go on with what you are doing."""

    effect: ClassVar[Effect] = "updates"

    message: str


class NothingToDo(Step):
    """The newest message needs no answer and changes nothing. Nobody is told; what is under way goes on."""

    effect: ClassVar[Effect] = "rests"


class WithdrawRequest(Step):
    """Take back the step that waits for approval, or was approved and has not begun: somebody no longer wants it."""

    effect: ClassVar[Effect] = "withdraws"

    reason: str


class LookAgain(Step):
    """Do nothing until so many minutes have passed, then go on. Whoever writes meanwhile is heard at once."""

    effect: ClassVar[Effect] = "waits"

    in_minutes: int = Field(ge=1, le=MINUTES_MAX)
    reason: str = Field(description="what to look at then")

    def until(self, now: datetime) -> datetime:
        return now + timedelta(minutes=self.in_minutes)


class SetReminder(Step):
    """Be woken at a later time with this note. What is under way goes on meanwhile."""

    effect: ClassVar[Effect] = "reminds"

    in_minutes: int = Field(ge=1, le=MINUTES_MAX)
    note: str = Field(description="what to do then, so that you understand it without having the conversation in mind")

    def until(self, now: datetime) -> datetime:
        return now + timedelta(minutes=self.in_minutes)


class HandOver(Step):
    """Let another agent go on with this thread. Chosen by code."""

    agent: str
    reason: str


OWN_STEPS: tuple[type[Step], ...] = (
    RequestHumanInput,
    DoneForNow,
    SendUpdate,
    NothingToDo,
    WithdrawRequest,
    LookAgain,
    SetReminder,
)
"""The steps that every agent has. `HandOver` is for code alone, so the model is not offered it."""


def as_question(question: str, context: str = "", *, yes_no: bool = False, urgent: bool = False) -> RequestHumanInput:
    """A question that code asks."""
    options = HumanInputOptions(
        urgency="high" if urgent else "medium", format="yes_no" if yes_no else "free_text", choices=[]
    )
    return RequestHumanInput(question=question, context=context, options=options)
