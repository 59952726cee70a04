"""The facts that a thread is made of.

An event is frozen, named in the past tense, and its `id` is its deduplication key: appending a known id changes
nothing. Events that belong to a step derive their ids from it (`s4/finished`), so writing one again is a no-op.

Everything else that the program knows about a thread is computed from these (see `store.thread`). Nothing here reads
a clock, does I/O, or knows an agent's classes: a step is kept as a name and JSON, so a log outlives the code that
wrote it. A log written by a newer version loads too: unknown fields are kept, unknown kinds become `UnknownEvent`.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import AwareDatetime, Field, JsonValue, field_validator

from store.text import without_half_surrogates
from store.values import Attachment, Fact, Person, Place, Usage

SCHEMA_VERSION = 1
"""Written on every event. Raise it when an old reader would misunderstand a new event, not when a field is added."""


TEXT_CHARS_MAX = 50_000
"""The longest text that one message may hold; the way in clips what a channel brings and says so."""

CRON = "cron"
"""`TriggerReceived.source` of the team's own schedules."""


Effect = Literal[
    "says",  # tells people the outcome, and rests
    "updates",  # tells people something, and goes on
    "asks",  # asks people, and rests until they answer
    "rests",
    "withdraws",  # takes back what waits for a decision
    "waits",  # goes on at a time
    "reminds",  # is woken at a time, and goes on with the rest meanwhile
    "runs",
]
"""What a step does once it is chosen."""


class Recorded(Fact):
    """What every event has."""

    kind: str
    id: str = Field(min_length=1, max_length=512)
    at: AwareDatetime
    """When we recorded it, by the recording machine's clock."""
    v: int = SCHEMA_VERSION

    @field_validator("id", mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        # Ids come from outside too (a Message-ID, say), and the one that deduplicates must be the one in the log.
        return without_half_surrogates(value) if isinstance(value, str) else value


class ThreadOpened(Recorded):
    """The first event of every thread; its id is `store.keys.OPENED`."""

    kind: Literal["thread_opened"] = "thread_opened"
    agent: str
    place: Place


class ThreadForked(Recorded):
    """Ends the copied part of a fork. No step, request or message from before it is still to be acted on here."""

    kind: Literal["thread_forked"] = "thread_forked"
    source: str
    at_event: int
    by: Person


class MessageReceived(Recorded):
    """Somebody wrote to the thread."""

    kind: Literal["message_received"] = "message_received"
    sender: Person
    text: str
    subject: str = ""
    attachments: tuple[Attachment, ...] = ()
    answers: str = ""
    """The step whose question this was given as an answer to; empty for a plain message."""
    quoted: str = ""
    """What was taken off the text: the history that it quotes, a signature. People see it; the model does not."""
    origin: dict[str, JsonValue] = {}
    """What its channel has to know of it to answer it (a mail's ids and recipients). Nobody else reads it."""
    clipped_from: int = 0
    """Characters that the text had, where it was longer than TEXT_CHARS_MAX; 0: it is whole."""


class MessageEdited(Recorded):
    """The author changed a message. It counts where nobody has acted on that message yet."""

    kind: Literal["message_edited"] = "message_edited"
    message: str
    """Its event id."""
    text: str


class MessageDeleted(Recorded):
    """The author took a message back. It counts where nobody has acted on that message yet."""

    kind: Literal["message_deleted"] = "message_deleted"
    message: str
    """Its event id."""


class TriggerReceived(Recorded):
    """A machine started or woke the thread: a schedule, a webhook."""

    kind: Literal["trigger_received"] = "trigger_received"
    source: str
    name: str
    data: dict[str, JsonValue] = {}


class StepChosen(Recorded):
    """The next step, chosen by the model or by code. Supersedes a chosen step that has not begun."""

    kind: Literal["step_chosen"] = "step_chosen"
    step: str
    intent: str
    arguments: dict[str, JsonValue] = {}
    effect: Effect | None = None
    """What it does, as the step's class said then. None: it runs; of logs from before this field, see `store.state`."""
    by: Literal["model", "code", "person"] = "model"
    edits: str = ""
    """The step whose call a person changed into this one, instead of approving it."""
    editor: Person | None = None
    proof: str = ""
    """How we know who it was; as in `ApprovalDecided`."""
    acts: bool = False
    """It may change the world (needs approval, or is not repeatable), as the code of that day said."""
    begun: bool = False
    """It only looks, so it was started as it was chosen: there is no `ToolStarted` for its first attempt."""
    closes: bool = False
    """A question whose buttons are taken away when it needs no answer any more."""
    until: AwareDatetime | None = None
    """It waits until then, and has nothing to run."""
    model: str = ""
    usage: Usage | None = None


class ChoiceFailed(Recorded):
    """The model was asked and gave no usable step."""

    kind: Literal["choice_failed"] = "choice_failed"
    reason: Literal["invalid", "refused", "truncated", "unavailable", "outdated"]
    """`outdated`: it was usable, but somebody had spoken meanwhile; it is not counted as an error."""
    error: str = ""
    retry_at: AwareDatetime | None = None
    """Ask again then (the endpoint is down or rate-limits); None: at once."""
    model: str = ""
    usage: Usage | None = None


class ApprovalRequested(Recorded):
    """A person must decide before the step runs. Durable before anybody is shown it."""

    kind: Literal["approval_requested"] = "approval_requested"
    step: str
    digest: str
    """Over intent, arguments, facts and policy: see `store.authority.binding.digest`."""
    facts: dict[str, JsonValue] = {}
    """What the tool found out for the person to see, and is then bound to (the full SHA behind a tag, say)."""
    policy: dict[str, JsonValue] = {}
    """Who may decide, and until when: `store.authority.terms.Terms`."""
    asks: tuple[Place, ...] = ()
    """Where it is shown beside the thread's own place."""
    then_asks: tuple[Place, ...] = ()
    """Where it is shown too once more people may decide."""
    approvers: tuple[Person, ...] = ()
    """Some of those who may decide, by name, for people to know whom to ask. Nothing is judged by it."""
    editable: tuple[str, ...] = ()
    """The arguments that a person may change instead of approving."""


class ApprovalDecided(Recorded):
    """Somebody said yes or no. Those that count settle the request; others change nothing and are kept."""

    kind: Literal["approval_decided"] = "approval_decided"
    step: str
    digest: str
    approved: bool
    by: Person
    comment: str = ""
    proof: str = ""
    """How we know who it was: `terminal`, a Slack user id, a signed link, an aligned mail."""
    groups: tuple[str, ...] = ()
    """That the person was in, as the team file said then."""
    standing: str = ""
    """The standing approval (`StandingGranted.id`) that gave it; empty: the person looked at this very request."""
    by_message: bool = False
    """It came as a message, to which nobody could answer at once: where it settles nothing, that person is told."""


class ToolStarted(Recorded):
    """Written before the tool runs. Without an ending after it, nobody knows whether the tool did its work."""

    kind: Literal["tool_started"] = "tool_started"
    step: str
    attempt: int
    repeatable: bool = False


class ToolWaiting(Recorded):
    """The tool looked and has to look again later. Nothing waits in a process meanwhile."""

    kind: Literal["tool_waiting"] = "tool_waiting"
    step: str
    attempt: int
    until: AwareDatetime
    note: str = ""
    shown: bool = False
    """People are shown that it is under way, and then how it ended."""


class ToolFinished(Recorded):
    kind: Literal["tool_finished"] = "tool_finished"
    step: str
    result: JsonValue = None
    error: str = ""
    """Short, for the model to act on; empty: it succeeded."""


class ToolInterrupted(Recorded):
    """The tool was started and its end is not known; it cannot be repeated safely, so a person is asked."""

    kind: Literal["tool_interrupted"] = "tool_interrupted"
    step: str
    why: str


class StepRefused(Recorded):
    """Code did not let the step begin: unknown intent, invalid arguments, a failed check, a changed digest."""

    kind: Literal["step_refused"] = "step_refused"
    step: str
    error: str


class TimerFired(Recorded):
    kind: Literal["timer_fired"] = "timer_fired"
    timer: str


class MessageSent(Recorded):
    """What was owed to the people under this key has gone out."""

    kind: Literal["message_sent"] = "message_sent"
    key: str
    receipt: str = ""
    """The channel's own reference to it (a Slack ts, a Message-ID)."""
    place: Place | None = None
    """Where the thread is held from now on: it was opened where nothing stood yet, and hangs from this message."""


class MessageFailed(Recorded):
    """A message could not be sent."""

    kind: Literal["message_failed"] = "message_failed"
    key: str
    attempt: int
    error: str
    retry_at: AwareDatetime | None = None
    """None: it will not be tried again."""
    elsewhere: bool = False
    """The person who asked is told so where they can be reached."""


class DeliveryFailed(Recorded):
    """A message that had gone out came back: the other side could not deliver it."""

    kind: Literal["delivery_failed"] = "delivery_failed"
    key: str
    """As in `MessageSent`."""
    recipient: str
    error: str


class AgentChanged(Recorded):
    """Another agent goes on with the thread."""

    kind: Literal["agent_changed"] = "agent_changed"
    agent: str
    reason: str = ""


class HandedToHuman(Recorded):
    """A limit was reached or too much went wrong; the agent rests until a person speaks."""

    kind: Literal["handed_to_human"] = "handed_to_human"
    limit: str
    """The name of the limit, as in `agent.definition.Limits`."""
    reason: str


class ThreadPaused(Recorded):
    kind: Literal["thread_paused"] = "thread_paused"
    by: Person


class ThreadResumed(Recorded):
    kind: Literal["thread_resumed"] = "thread_resumed"
    by: Person


class ThreadCancelled(Recorded):
    """Nothing is begun any more. What runs already is noted when it ends."""

    kind: Literal["thread_cancelled"] = "thread_cancelled"
    by: Person
    reason: str = ""


class StandingGranted(Recorded):
    """Calls of one kind are approved from now on, for a while, by somebody who may say so. In the log `standing`."""

    kind: Literal["standing_granted"] = "standing_granted"
    agent: str
    intent: str
    scope: str = ""
    """Which of the policies for its intent holds for it, as the tool says (an environment, say)."""
    policy: dict[str, JsonValue] = {}
    """What the team file said of such calls then. It holds only while that is the same."""
    by: Person
    groups: tuple[str, ...] = ()
    until: AwareDatetime
    reason: str = ""
    proof: str = ""


class StandingRevoked(Recorded):
    kind: Literal["standing_revoked"] = "standing_revoked"
    grant: str
    by: Person
    proof: str = ""


class UnknownEvent(Recorded):
    """An event that this version cannot read. It is shown; a thread that holds one is not acted on."""

    raw: JsonValue = None


KnownEvent = (
    ThreadOpened
    | ThreadForked
    | MessageReceived
    | MessageEdited
    | MessageDeleted
    | TriggerReceived
    | StepChosen
    | ChoiceFailed
    | ApprovalRequested
    | ApprovalDecided
    | ToolStarted
    | ToolWaiting
    | ToolFinished
    | ToolInterrupted
    | StepRefused
    | TimerFired
    | MessageSent
    | MessageFailed
    | DeliveryFailed
    | AgentChanged
    | HandedToHuman
    | ThreadPaused
    | ThreadResumed
    | ThreadCancelled
    | StandingGranted
    | StandingRevoked
)
Event = KnownEvent | UnknownEvent
"""Closed: whatever asks for the kind of an event has a row for each of these."""

KINDS: dict[str, type[KnownEvent]] = {cls.model_fields["kind"].default: cls for cls in get_args(KnownEvent)}
