"""The events of a thread, one class for each kind.

An event is frozen and named in the past tense. Its `id` is its deduplication key: appending a known id changes nothing,
so what derives its ids from a step (`s4/finished`) may write them again.

All else that is known of a thread is computed from its events (`store.thread`). No I/O, no clock, no class of an agent:
a step is a name and JSON, so a log outlives its code. Of newer logs, unknown kinds become `UnknownEvent`.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import AwareDatetime, JsonValue

from store.arrivals import AnswerOffered, ArrivalDropped, ClickArrived, ClickRead, MessageArrived, WordsPlaced
from store.choices import ChoiceFailed
from store.deliveries import DeliveryFailed, MessageFailed, MessageSent, PlaceRegained
from store.recorded import Acted, Recorded
from store.replies import ReplyDecidedNothing
from store.standing import StandingGranted, StandingRevoked, StandingUsed
from store.triggers import CRON as CRON
from store.triggers import TriggerReceived as TriggerReceived
from store.values import Attachment, CardWords, Effect, Person, Place, Usage

TEXT_CHARS_MAX = 50_000
"""The longest text of one message. The inbox clips longer ones and says so."""

SEEN_AND_HELD = 2
"""The version of the schema that understands `StepChosen.seen` and `holds`. A reader of version 1 would take words for
read, and count a decision on a request that is being edited."""


class ThreadOpened(Recorded):
    """The first event of every thread; its id is `store.keys.OPENED`."""

    kind: Literal["thread_opened"] = "thread_opened"
    agent: str
    place: Place


class ThreadForked(Recorded):
    """Ends the copied part of a fork. Nothing from before it is acted on here: no step, request or message."""

    kind: Literal["thread_forked"] = "thread_forked"
    source: str
    at_event: int
    by: Person


class MessageReceived(Acted):
    """Somebody wrote to the thread."""

    kind: Literal["message_received"] = "message_received"
    sender: Person
    text: str
    subject: str = ""
    attachments: tuple[Attachment, ...] = ()
    answers: str = ""
    """The step whose question this answers; empty for a plain message."""
    quoted: str = ""
    """Removed from the text: quoted history, a signature. Shown to people, not to the model."""
    passes_on: bool = False
    """The subject or the text may hold somebody else's words, as its channel saw. Older logs: False."""
    origin: dict[str, JsonValue] = {}
    """What the channel needs to reply to it (a mail's ids and recipients). Only the channel reads it."""
    clipped_from: int = 0
    """The original length in characters, if it exceeded TEXT_CHARS_MAX; 0: the text is complete."""
    left_out: str = ""
    """What people see of it, or of the conversation before it, and is not in the log, in the channel's own words."""


class MessageEdited(Recorded):
    """The author edited a message. Takes effect only if the agent has not acted on the message yet."""

    kind: Literal["message_edited"] = "message_edited"
    message: str
    """Its event id."""
    text: str
    passes_on: bool = False
    """The text holds somebody else's words now, as its channel saw. Older logs: False."""


class MessageDeleted(Recorded):
    """The author deleted a message. Takes effect only if the agent has not acted on the message yet."""

    kind: Literal["message_deleted"] = "message_deleted"
    message: str


class StepChosen(Recorded):
    """The next step, chosen by the model, by code or by a person. Supersedes a chosen step that has not begun."""

    kind: Literal["step_chosen"] = "step_chosen"
    step: str
    intent: str
    arguments: dict[str, JsonValue] = {}
    effect: Effect | None = None
    """What the step does, as its class said at the time. None: it runs a tool. `store.state` handles older logs."""
    by: Literal["model", "code", "person"] = "model"
    seen: int = 0
    """The model's prompt held so many events, and people wrote more before it answered. 0: it held all before this.
    Otherwise `v` is SEEN_AND_HELD."""
    edits: str = ""
    """The step that a person edited into this one instead of approving it."""
    holds: bool = False
    """An edit: until it has a request of its own or is refused, nobody decides the edited one. `v` is SEEN_AND_HELD."""
    editor: Person | None = None
    on_behalf_of: tuple[Person, ...] = ()
    """Who wants it, as code has found out. Older logs: nobody."""
    proof: str = ""
    """How the editor was authenticated, as in `ApprovalDecided`."""
    acts: bool = False
    """It may change something outside, as its class said at the time."""
    third_party: bool = False
    """What it looks up holds text of third parties, as its class said at the time. Older logs: False."""
    begun: bool = False
    """A read-only tool, started by this very event: its first attempt has no `ToolStarted`."""
    closes: bool = False
    """A question whose buttons are removed once it no longer needs an answer."""
    until: AwareDatetime | None = None
    """The step waits until then and runs nothing."""
    model: str = ""
    usage: Usage | None = None


class ApprovalRequested(Recorded):
    """A person must decide before the step runs. Durable before it is shown to anybody."""

    kind: Literal["approval_requested"] = "approval_requested"
    step: str
    digest: str
    """Over the call and all that is shown and bound with it: see `store.authority.binding.digest`."""
    facts: dict[str, JsonValue] = {}
    """What the tool looked up for the approver and is then bound to (the full SHA behind a tag, say)."""
    title: str = ""
    """What is asked for, on one line, as its tool says it. Older logs: empty."""
    dangers: tuple[str, ...] = ()
    """The keys of the facts that warn people."""
    card: CardWords = CardWords()
    policy: dict[str, JsonValue] = {}
    """Who may decide, and until when: `store.authority.terms.Terms`."""
    configuration: dict[str, str] | None = None
    """The hash of each part of what the call would run with (`store.authority.binding.hashed`). None: an older log."""
    rules: str = ""
    """The hash of the team's rules and people by which the policy was made."""
    asks: tuple[Place, ...] = ()
    """Where the request is shown besides the thread's own place."""
    then_asks: tuple[Place, ...] = ()
    """Where it is shown in addition after an escalation, when more people may decide."""
    approvers: tuple[Person, ...] = ()
    """Some of the people who may decide, so that others know whom to ask. Display only."""
    editable: tuple[str, ...] = ()
    """The arguments that a person may edit instead of approving."""
    tells: bool = False
    """A standing approval decides it, and `asks` are told of it without having been asked. Older logs: False."""


class ApprovalDecided(Acted):
    """Somebody approved or rejected. A decision that does not count changes nothing, but stays on record."""

    kind: Literal["approval_decided"] = "approval_decided"
    step: str
    digest: str
    approved: bool
    by: Person
    comment: str = ""
    proof: str = ""
    """How the person was authenticated: `terminal`, a Slack user id, a signed link, an aligned mail."""
    way: str = ""
    """By which way it came: `store.authority.terms.Way`. Empty: in older logs."""
    groups: tuple[str, ...] = ()
    """The person's groups in the team file at the time."""
    standing: str = ""
    """The standing approval (`StandingGranted.id`) that decided. Empty: the person looked at this very request."""
    by_message: bool = False
    """It came as a message, which gets no immediate answer: if it changes nothing, the person is notified."""


class ToolStarted(Recorded):
    """Written before the tool runs. If no ending follows, it is unknown whether the tool did its work."""

    kind: Literal["tool_started"] = "tool_started"
    step: str
    attempt: int
    repeatable: bool = False
    host: str = ""
    """The machine of the worker that begins it, so that people know where it may still be going on."""
    rules: str = ""
    """As in `ApprovalRequested`, of the moment at which its approvals were judged again. Empty: it needed none."""


class ToolNotBegun(Recorded):
    """The tool whose start is recorded did not begin: its worker noticed that it had lost the right to."""

    kind: Literal["tool_not_begun"] = "tool_not_begun"
    step: str
    start: int
    """Which start of the step: see `StepState.starts`."""
    why: str


class ToolWaiting(Recorded):
    """The tool is not done and runs again later. No process waits in the meantime."""

    kind: Literal["tool_waiting"] = "tool_waiting"
    step: str
    attempt: int
    until: AwareDatetime
    note: str = ""
    shown: bool = False
    """People see a progress message, which later says how it ended."""


class ToolFinished(Recorded):
    kind: Literal["tool_finished"] = "tool_finished"
    step: str
    result: JsonValue = None
    error: str = ""
    """Short, for people and the model. Empty: the tool succeeded."""
    hint: str = ""
    """What the model could do instead. Older logs have it in `error`."""


class ToolInterrupted(Recorded):
    """The tool was started and its outcome is unknown. Repeating it is not safe, so a person is asked."""

    kind: Literal["tool_interrupted"] = "tool_interrupted"
    step: str
    why: str


class StepRefused(Recorded):
    """Code refused to begin the step: unknown intent, invalid arguments, a failed check, a changed digest."""

    kind: Literal["step_refused"] = "step_refused"
    step: str
    error: str
    hint: str = ""
    """As in `ToolFinished`."""
    unknown: str = ""
    """The value of an argument that names nothing, so that people have to say what they mean. Older logs: empty."""


class TimerFired(Recorded):
    kind: Literal["timer_fired"] = "timer_fired"
    timer: str
    by: str = ""
    """What ended a wait early: news from outside, after which the tool looks for itself. Empty: its time had come."""


class AgentChanged(Recorded):
    """Another agent takes over the thread."""

    kind: Literal["agent_changed"] = "agent_changed"
    agent: str
    reason: str = ""


class HandedToHuman(Recorded):
    """A limit was reached or too much went wrong. The agent stops until a person writes."""

    kind: Literal["handed_to_human"] = "handed_to_human"
    limit: str
    """The name of the limit, as in `agent.definition.Limits`."""
    reason: str


class EventsLost(Recorded):
    """The store had lost events of this thread, and a worker that remembered them wrote them back. The agent stops."""

    kind: Literal["events_lost"] = "events_lost"
    restored: int
    """How many events, just before this one, were written back."""
    conflicting: tuple[JsonValue, ...] = ()
    """Remembered events that could not be written back, since others stand in their place; as in the log."""
    numbered_from: int = 0
    """From here on, ids that hold a number (`store.keys.step_at`) hold at least this one: lower ones may be taken."""


class ThreadUnserved(Recorded):
    """No worker that looked at the thread could serve it for a while. It goes on as soon as one can."""

    kind: Literal["thread_unserved"] = "thread_unserved"
    why: str
    set_aside: tuple[str, ...] = ()
    """Arrived, and not readable (`State.arrivals`): it holds up nothing more, and a worker that can still reads it."""
    holds: bool = False
    """Nothing begins because of that, until it is read, or a person writes, decides or resumes. Older logs: False."""
    place: Place | None = None
    """Where people are told; None: at the thread's own place."""


class ThreadPaused(Recorded):
    kind: Literal["thread_paused"] = "thread_paused"
    by: Person


class ThreadResumed(Recorded):
    kind: Literal["thread_resumed"] = "thread_resumed"
    by: Person


class ThreadCancelled(Recorded):
    """Nothing new begins. A tool that runs already is recorded when it ends."""

    kind: Literal["thread_cancelled"] = "thread_cancelled"
    by: Person
    reason: str = ""


class WorkStopped(Acted):
    """A person stopped what is under way, and the open request is withdrawn. The next words go on.
    What has begun outside goes on to its end, which is recorded and told."""

    kind: Literal["work_stopped"] = "work_stopped"
    by: Person


class ThreadReopened(Recorded):
    """A cancelled thread goes on with the next message. What was cancelled stays cancelled."""

    kind: Literal["thread_reopened"] = "thread_reopened"
    by: Person


class FeedbackGiven(Recorded):
    """Somebody said whether a message of the agent helped. A note for people: nothing follows from it."""

    kind: Literal["feedback_given"] = "feedback_given"
    step: str
    """The step that said it."""
    by: Person
    helpful: bool


class UnknownEvent(Recorded):
    """One that this version cannot read. It is shown, but no agent acts on a thread that holds one."""

    raw: JsonValue = None


KnownEvent = (
    ThreadOpened
    | ThreadForked
    | MessageArrived
    | ClickArrived
    | ClickRead
    | ArrivalDropped
    | AnswerOffered
    | WordsPlaced
    | MessageReceived
    | MessageEdited
    | MessageDeleted
    | TriggerReceived
    | StepChosen
    | ChoiceFailed
    | ApprovalRequested
    | ApprovalDecided
    | ReplyDecidedNothing
    | ToolStarted
    | ToolNotBegun
    | ToolWaiting
    | ToolFinished
    | ToolInterrupted
    | StepRefused
    | TimerFired
    | MessageSent
    | MessageFailed
    | DeliveryFailed
    | PlaceRegained
    | AgentChanged
    | HandedToHuman
    | EventsLost
    | ThreadUnserved
    | ThreadPaused
    | ThreadResumed
    | ThreadCancelled
    | WorkStopped
    | ThreadReopened
    | FeedbackGiven
    | StandingGranted
    | StandingRevoked
    | StandingUsed
)
Event = KnownEvent | UnknownEvent
"""A closed union: every table keyed by the kind of event has a row for each of these."""

KINDS: dict[str, type[KnownEvent]] = {cls.model_fields["kind"].default: cls for cls in get_args(KnownEvent)}
