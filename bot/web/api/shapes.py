"""What goes in and out over the HTTP API, as pydantic models.

Requests are validated strictly by them, and the OpenAPI description is made from them. They hold no logic.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import to_json

from bot.deciding import DIGEST_CHARS_MIN
from bot.fitting import NAME_CHARS_MAX
from store.codec import EVENT_BYTES_MAX
from store.events import TEXT_CHARS_MAX
from store.thread import ThreadStatus, Turn

TEXT_BYTES_MAX = EVENT_BYTES_MAX - 16_000
"""As JSON: with all else that stands beside it, it still fits into one event."""
EDITS_MAX = 50


def _fits(text: str) -> str:
    if len(to_json(text)) > TEXT_BYTES_MAX:
        raise ValueError(f"Text should take at most {TEXT_BYTES_MAX:,} bytes as JSON")
    return text


Text = Annotated[str, StringConstraints(max_length=TEXT_CHARS_MAX), AfterValidator(_fits)]
Words = Annotated[Text, Field(min_length=1, pattern=r"\S")]
Name = Annotated[str, StringConstraints(max_length=NAME_CHARS_MAX)]
Given = Annotated[Name, Field(min_length=1)]
Digest = Annotated[str, StringConstraints(min_length=DIGEST_CHARS_MIN, max_length=64)]


class _Asked(BaseModel):
    """Strict: nothing is taken for something else, least of all a text for a yes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Where(_Asked):
    channel: Given
    address: Given


class NewThread(_Asked):
    text: Words
    agent: Name = Field("", description="Default: the first one that is set up.")
    place: Where | None = Field(
        None,
        description="Where the thread is held, and the agent's words are said. "
        "Default: nowhere but here. Where a thread is held already, the text goes on with it.",
    )


class NewMessage(_Asked):
    text: Words


class Answer(_Asked):
    text: Words
    question: Name = Field("", description="`question.step` as it was seen: no other question is answered then.")


class Decision(_Asked):
    request: Given = Field(description="`pending.request` as it was seen.")
    digest: Digest = Field(description="`pending.digest` as it was seen, or its beginning.")
    approved: bool
    comment: Text = Field("", description="The agent reads it.")


class Edit(_Asked):
    request: Given
    digest: Digest
    arguments: Annotated[dict[Name, Text], Field(min_length=1, max_length=EDITS_MAX)] = Field(
        description="Those that change."
    )


class Cancel(_Asked):
    reason: Text = ""


class Fork(_Asked):
    at: int = Field(ge=1, description="How many events, from the first one, the copy takes over.")


class _Told(BaseModel):
    """Newer versions tell more."""

    model_config = ConfigDict(extra="allow")


class Links(_Told):
    thread: str = Field(alias="self")
    events: str
    messages: str
    decisions: str


class Opened(_Told):
    id: str
    links: Links


class Pending(_Told):
    """A call that waits for a decision."""

    request: str
    digest: str
    intent: str
    arguments: dict[str, Any]
    facts: dict[str, Any]
    group: str = Field(description="Who may decide it now.")
    quorum: int = Field(description="How many approvals it takes.")
    votes: list[dict[str, Any]] = Field(description="How many there are so far.")
    expires_at: datetime | None
    editable: list[str] = Field(description="The arguments that may be changed.")


class Shown(_Told):
    """A thread."""

    id: str
    agent: str
    place: dict[str, Any]
    status: ThreadStatus
    turn: Turn
    version: int = Field(description="The number of its events.")
    updated_at: datetime
    pending: Pending | None
    question: dict[str, Any] | None = Field(description="The question that is open: its `step`, and what was asked.")


class ShownWhole(Shown):
    events: list[dict[str, Any]]


class Decided(Shown):
    outcome: str = Field(description="`settled`, or `counted`: it is one of several approvals that it takes.")


class Listed(_Told):
    threads: list[Shown]


class Standing(_Told):
    """The decision that settled a request."""

    approved: bool
    by: str
    at: datetime
    comment: str


class Problem(_Told):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


class NotDecided(Problem):
    outcome: str = Field("", description="`too_late`, `other_request`; empty: there is no request at all.")
    standing: Standing | None = None
