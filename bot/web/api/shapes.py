"""The request and response bodies of the HTTP API, as pydantic models.

They validate requests strictly, and the OpenAPI description is generated from them. They hold no logic.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)
from pydantic_core import to_json

from bot.deciding import DIGEST_CHARS_MIN
from bot.fitting import NAME_CHARS_MAX
from channels import places
from store.codec import EVENT_BYTES_MAX
from store.events import TEXT_CHARS_MAX
from store.status import ThreadStatus, Turn
from store.triggers import CRON

TEXT_BYTES_MAX = EVENT_BYTES_MAX - 16_000
"""As JSON, so that a text still fits into one event with the other fields."""
EDITS_MAX = 50
FIELDS_MAX = 50
"""Of the data of a trigger."""


def _fits(text: str) -> str:
    if len(to_json(text)) > TEXT_BYTES_MAX:
        raise ValueError(f"Text should take at most {TEXT_BYTES_MAX:,} bytes as JSON")
    return text


def _source(text: str) -> str:
    if text == CRON:
        raise ValueError("Only the team's schedules are of that source")
    return text


def _fits_data(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(to_json(data)) > TEXT_BYTES_MAX:
        raise ValueError(f"Data should take at most {TEXT_BYTES_MAX:,} bytes as JSON")
    return data


Text = Annotated[str, StringConstraints(max_length=TEXT_CHARS_MAX), AfterValidator(_fits)]
Words = Annotated[Text, Field(min_length=1, pattern=r"\S")]
Name = Annotated[str, StringConstraints(max_length=NAME_CHARS_MAX)]
NonEmptyName = Annotated[Name, Field(min_length=1)]
Digest = Annotated[str, StringConstraints(min_length=DIGEST_CHARS_MIN, max_length=64)]


class _RequestBody(BaseModel):
    """Strict: no type is converted, so a string never counts as true."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Where(_RequestBody):
    channel: NonEmptyName
    address: NonEmptyName


def _split(value: Any) -> Any:
    """A place as people write it: `slack:C0123`."""
    if not isinstance(value, str):
        return value
    channel, address = places.split(value)
    return {"channel": channel, "address": address}


WhereInWords = Annotated[Where | None, BeforeValidator(_split, json_schema_input_type=Where | str | None)]


class Trigger(_RequestBody):
    """What happened, as data, where a program has no words of its own."""

    source: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$"), AfterValidator(_source)] = Field(
        description="Where it happened: `github`."
    )
    name: NonEmptyName = Field(description="What happened: `pull_request_merged`.")
    data: Annotated[dict[NonEmptyName, JsonValue], Field(max_length=FIELDS_MAX), AfterValidator(_fits_data)] = Field(
        default_factory=dict, description="What the agent sees of it. `task`: what it shall do."
    )
    third_party: Annotated[list[Name], Field(max_length=FIELDS_MAX)] = Field(
        default_factory=list,
        description="The keys of `data` whose text somebody else wrote: a title, say. It raises doubt.",
    )


class NewThread(_RequestBody):
    text: Words | None = Field(None, description="What you say. Either this or `trigger`.")
    trigger: Trigger | None = None
    agent: Name = Field("", description="Default: the team's default agent.")
    place: WhereInWords = Field(
        None,
        description="Where the conversation takes place and the agent's messages are sent: `slack:C0123`, or its two "
        "parts. Default: only here. If there is a thread at the place, the text is added to it.",
    )

    @model_validator(mode="after")
    def _one(self) -> NewThread:
        if (self.text is None) == (self.trigger is None):
            raise ValueError("Send either text or trigger")
        if self.trigger and (unknown := sorted({*self.trigger.third_party} - self.trigger.data.keys())):
            raise ValueError(f"trigger.third_party names what data has not: {', '.join(unknown)[:200]}")
        return self


class NewMessage(_RequestBody):
    text: Words


class Answer(_RequestBody):
    text: Words
    question: Name = Field("", description="`question.step` as received: no other question is answered then.")


class Decision(_RequestBody):
    request: NonEmptyName = Field(description="`pending.request` as received.")
    digest: Digest = Field(description="`pending.digest` as received, or its beginning.")
    approved: bool
    comment: Text = Field("", description="The agent reads it.")


class Edit(_RequestBody):
    request: NonEmptyName
    digest: Digest
    arguments: Annotated[dict[Name, Text], Field(min_length=1, max_length=EDITS_MAX)] = Field(
        description="The arguments to change."
    )


class Cancel(_RequestBody):
    reason: Text = ""


class Fork(_RequestBody):
    at: int = Field(ge=1, description="How many of the first events to copy.")


class _ResponseBody(BaseModel):
    """Newer versions may add fields."""

    model_config = ConfigDict(extra="allow")


class Links(_ResponseBody):
    thread: str = Field(alias="self")
    events: str
    messages: str
    decisions: str


class Opened(_ResponseBody):
    id: str
    links: Links


class Pending(_ResponseBody):
    """A call that waits for a decision."""

    request: str
    digest: str
    intent: str
    title: str = Field(description="What is asked for, on one line, for people.")
    arguments: dict[str, Any]
    facts: dict[str, Any]
    dangers: list[str] = Field(description="The keys of the facts that warn people.")
    group: str = Field(description="Who may decide it now.")
    quorum: int = Field(description="How many approvals are needed.")
    votes: list[dict[str, Any]] = Field(description="The approvals so far.")
    expires_at: datetime | None
    cautions: list[str] = Field(description="What is unusual about who asked for it.")
    editable: list[str] = Field(description="The arguments that may be edited.")


class Shown(_ResponseBody):
    """A thread."""

    id: str
    agent: str
    place: dict[str, Any]
    status: ThreadStatus
    turn: Turn
    version: int = Field(description="The number of its events.")
    updated_at: datetime
    title: str = Field(description="The open request or question, or else the last message, in one line.")
    requested_by: str = Field(description="Who began it.")
    pending: Pending | None
    question: dict[str, Any] | None = Field(description="The open question: its `step`, and what was asked.")


class ShownWhole(Shown):
    events: list[dict[str, Any]]


class Decided(Shown):
    outcome: str = Field(description="`settled`, or `counted`: one of several approvals that are needed.")


class Listed(_ResponseBody):
    threads: list[Shown]
    next: str | None = Field(description="`after` of the next page; null: this is the last one.")


class Standing(_ResponseBody):
    """The decision that settled a request."""

    approved: bool
    by: str
    at: datetime
    comment: str


class Problem(_ResponseBody):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


class NotDecided(Problem):
    outcome: str = Field("", description="`too_late`, `other_request`, `being_edited`; empty: there is no request.")
    standing: Standing | None = None
