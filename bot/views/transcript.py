"""A thread as readable text: entries for a terminal, or Markdown.

All foreign text goes through `visible`, so that it cannot control the terminal. It changes no thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.speech.messages import outgoing, question
from agent.speech.outcomes import uncounted_in_words
from agent.speech.requests import approval, ended, reminded
from bot.views.entry import Entry
from bot.views.results import arguments_in_words, summary
from channels.messages import HEADLINE_CHARS_MAX, ListedTask, Tasks, Text
from channels.plain import fields
from store.arrivals import AnswerOffered, ArrivalDropped, ClickArrived, ClickRead, MessageArrived, WordsPlaced
from store.choices import ChoiceFailed
from store.deliveries import DeliveryFailed, MessageFailed, MessageSent, PlaceRegained
from store.events import (
    AgentChanged,
    ApprovalDecided,
    ApprovalRequested,
    Event,
    EventsLost,
    FeedbackGiven,
    HandedToHuman,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    StepChosen,
    StepRefused,
    ThreadCancelled,
    ThreadForked,
    ThreadOpened,
    ThreadPaused,
    ThreadReopened,
    ThreadResumed,
    ThreadUnserved,
    TimerFired,
    ToolFinished,
    ToolInterrupted,
    ToolNotBegun,
    ToolStarted,
    ToolWaiting,
    TriggerReceived,
    UnknownEvent,
    WorkStopped,
)
from store.keys import TimerKey
from store.outbox import Unsent
from store.replies import ReplyDecidedNothing
from store.standing import StandingGranted, StandingRevoked, StandingUsed
from store.state import StepState
from store.tasks import tasks_of
from store.text import call_in_words, instant, one_line, visible
from store.thread import Thread

DETAIL_CHARS_MAX = 100


def entries(thread: Thread, start: int = 0, *, everything: bool = False) -> list[Entry]:
    """The entries for the events from `start` on. `everything`: including bookkeeping."""
    found, then = [], thread.at(start)
    for event in thread.events[start:]:
        before, then = then, then.extended([event])
        entry = ROWS[type(event)](_Moment(before, then), event) or _bookkeeping(event)
        if everything or entry.kind != "note":
            found.append(entry.made_safe())
    return found


@dataclass(frozen=True, slots=True)
class _Moment:
    """The thread just before and just after an event."""

    before: Thread
    then: Thread

    @property
    def index(self) -> int:
        return self.before.version

    def intent(self, step_id: str) -> str:
        step = self.then.step(step_id)
        return step.chosen.intent if step else step_id


# The rows: one for each kind of event; None where it is bookkeeping


def _bookkeeping(event: Event) -> Entry:
    return Entry("note", "log", f"{event.kind} {event.id}")


def _nothing(at: _Moment, event: Event) -> None:
    return None


def _message(at: _Moment, event: MessageReceived) -> Entry:
    parts = [event.subject, event.text, *(f"[{file.name}]" for file in event.attachments)]
    if event.clipped_from:
        parts.append(f"[… the first {len(event.text):,} of {event.clipped_from:,} characters]")
    if event.left_out:
        parts.append(f"[not shown here: {event.left_out}]")
    who, trust = event.sender.name or event.sender.address, event.sender.trust
    who += "" if trust == "verified" else f" ({trust.replace('_', ' ')})"
    return Entry("person", who, "\n".join(filter(None, parts)))


def _edited(at: _Moment, event: MessageEdited) -> Entry:
    return Entry("person", "edited", event.text)


def _deleted(at: _Moment, event: MessageDeleted) -> Entry:
    return Entry("note", "log", f"{event.message} was deleted by its author")


def _trigger(at: _Moment, event: TriggerReceived) -> Entry:
    return Entry("person", event.source, "\n".join([event.name, *fields(event.data, "  ")]))


def _chosen(at: _Moment, event: StepChosen) -> Entry:
    match StepState(event).effect:
        case "says" | "updates":
            return Entry.of("bot", Text(str(event.arguments.get("message", ""))))
        case "asks":
            return Entry.of("bot", question(event))
        case "lists":
            listed = (ListedTask(task.title, task.state) for task in tasks_of(at.then.state, event.step))
            return Entry.of("bot", Tasks(tuple(listed)))
        case _:
            pass
    call = call_in_words(event.intent, arguments_in_words(event.arguments))
    if event.by == "person":
        return Entry("decision", event.editor.name if event.editor else "somebody", f"✏️ edited it: {call}")
    return Entry("step", "code" if event.by == "code" else "agent", call)


def _choice_failed(at: _Moment, event: ChoiceFailed) -> Entry:
    return Entry("note" if event.reason == "outdated" else "problem", "model", _failure_in_words(event))


def _finished(at: _Moment, event: ToolFinished) -> Entry:
    if event.error:
        return Entry("problem", at.intent(event.step), event.error)
    step = at.then.step(event.step)
    return Entry("step", at.intent(event.step), summary(event.result, known=step.chosen.arguments if step else {}))


def _interrupted(at: _Moment, event: ToolInterrupted) -> Entry:
    return Entry("problem", at.intent(event.step), f"outcome unknown: {event.why}")


def _not_begun(at: _Moment, event: ToolNotBegun) -> Entry:
    return Entry("note", at.intent(event.step), f"not begun: {event.why}")


def _refused(at: _Moment, event: StepRefused) -> Entry:
    return Entry("problem", at.intent(event.step), event.error)


def _requested(at: _Moment, event: ApprovalRequested) -> Entry | None:
    step = at.then.step(event.step)
    if step is None or step.request is None or step.request.asked != event:
        return None
    return Entry.of("request", approval(at.then, step.request))


def _decided(at: _Moment, event: ApprovalDecided) -> Entry:
    step = at.then.step(event.step)
    verb = "approved" if event.approved else "rejected"
    comment = f" — {visible(event.comment)}" if event.comment else ""
    if step is None or step.request is None:
        return Entry("problem", event.by.name, f"{verb} it{comment}: there was no request. Nothing was changed.")
    outcome, request = step.request.outcomes[event.id], step.request
    if outcome not in ("settled", "counted"):
        tried = f"tried to {'approve' if event.approved else 'reject'} it{comment}"
        why = uncounted_in_words(step, outcome, event.by, approved=event.approved, way=event.way)
        return Entry("problem", event.by.name, f"{tried}; it does not count: {why}")
    what = one_line(step.request.asked.title, HEADLINE_CHARS_MAX) or step.chosen.intent
    text = f"{'✅' if event.approved else '❌'} {verb}: {what}"
    if event.approved and request.terms.quorum > 1 and not event.standing:
        text += f" ({len(request.votes)} of {request.terms.quorum})"
    if event.standing:
        text += " by a standing approval"
    return Entry("decision", event.by.name, f"{text} at {instant(event.at)}{comment}")


def _fired(at: _Moment, event: TimerFired) -> Entry | None:
    """A reminder, an escalation or the expiry of a request."""
    key = TimerKey.parse(event.timer)
    if key is None or key.kind not in ("remind", "widen", "expire"):
        return None
    before, step = at.before.step(key.about), at.then.step(key.about)
    if before is None or before.status != "requested" or step is None or step.request is None:
        return None
    if key.kind == "expire":
        return Entry.of("decision", approval(at.then, step.request, ended(at.then, step)))
    return Entry.of("request", approval(at.then, step.request, reminded(step.request)))


def _granted(at: _Moment, event: StandingGranted) -> Entry:
    call = call_in_words(" ".join(filter(None, (event.intent, event.scope))), event.when)
    reason = f" — {event.reason}" if event.reason else ""
    return Entry("decision", event.by.name, f"✅ approved {call} by {event.agent} until {instant(event.until)}{reason}")


def _used(at: _Moment, event: StandingUsed) -> Entry:
    return Entry("note", "bot", f"{event.step} of {event.thread} took a use of the standing approval {event.grant}")


def _revoked(at: _Moment, event: StandingRevoked) -> Entry:
    return Entry("decision", event.by.name, f"❌ revoked the standing approval {event.grant}")


def _sent(at: _Moment, event: MessageSent) -> Entry | None:
    """A notice that no other entry reports."""
    unsent = at.before.state.outbox.get(event.key)
    if unsent is None or unsent.kind not in ("notice", "edit_ended"):
        return None
    if isinstance(at.before.events[unsent.event], ThreadCancelled | WorkStopped | ThreadReopened):
        return None
    return Entry.of("bot", outgoing(at.before, unsent))


def _message_failed(at: _Moment, event: MessageFailed) -> Entry:
    ending = " It will be retried." if event.retry_at else " It will not be retried."
    return Entry("problem", "channel", visible(event.error) + ending)


def _came_back(at: _Moment, event: DeliveryFailed) -> Entry:
    return Entry("problem", "channel", visible(f"A message to {event.recipient} bounced: {event.error}"))


def _regained(at: _Moment, event: PlaceRegained) -> Entry:
    return Entry("note", "channel", "I can post here again")


def _handed(at: _Moment, event: HandedToHuman | EventsLost) -> Entry:
    return Entry.of("bot", outgoing(at.then, Unsent("handed_to_human", at.index)))


def _unserved(at: _Moment, event: ThreadUnserved) -> Entry:
    return Entry.of("bot", outgoing(at.then, Unsent("unserved", at.index)))


def _agent_changed(at: _Moment, event: AgentChanged) -> Entry:
    text = f"the agent {event.agent!r} takes over: {visible(event.reason)}"
    for step in at.before.open_steps("requested", "approved"):
        call = one_line(step.request.title, HEADLINE_CHARS_MAX) if step.request else step.chosen.intent
        text += f"\nthe request is closed because of that, and nothing was run: {call}"
    return Entry("step", "code", text)


def _paused(at: _Moment, event: ThreadPaused) -> Entry:
    return Entry("person", event.by.name, "paused the thread")


def _resumed(at: _Moment, event: ThreadResumed) -> Entry:
    return Entry("person", event.by.name, "resumed the thread")


def _cancelled(at: _Moment, event: ThreadCancelled) -> Entry:
    reason = f": {event.reason}" if event.reason else ""
    return Entry("person", event.by.name, f"cancelled the thread{visible(reason)}")


def _stopped(at: _Moment, event: WorkStopped) -> Entry:
    return Entry("person", event.by.name, "stopped what was under way; the next words go on")


def _reopened(at: _Moment, event: ThreadReopened) -> Entry:
    return Entry("person", event.by.name, "reopened the thread; what was cancelled stays cancelled")


def _forked(at: _Moment, event: ThreadForked) -> Entry:
    return Entry("step", event.by.name, f"forked this from {event.source} after its event {event.at_event}")


def _reply_decided_nothing(at: _Moment, event: ReplyDecidedNothing) -> Entry:
    reads_as = "" if event.reads_as == "neither" else f" but reads as {event.reads_as}"
    why = f" ({event.details})" if event.details else ""
    return Entry("person", event.by.name, f"wrote a reply that decided nothing{why}{reads_as}: {event.words}")


def _offered(at: _Moment, event: AnswerOffered) -> Entry:
    return Entry("person", event.to.name, f"wrote what may answer a question of another thread: {visible(event.words)}")


def _placed(at: _Moment, event: WordsPlaced) -> Entry:
    where = f"the question in thread {event.thread}" if event.thread else "no question, but something new"
    return Entry("person", event.by.name, f"said that these words answer {where}")


def _feedback(at: _Moment, event: FeedbackGiven) -> Entry:
    step = at.then.step(event.step)
    said = one_line(str(step.chosen.arguments.get("message", "")), DETAIL_CHARS_MAX) if step else event.step
    return Entry(
        "person", event.by.name, f"{'found this helpful' if event.helpful else 'did not find this helpful'}: {said}"
    )


def _unknown(at: _Moment, event: UnknownEvent) -> Entry:
    return Entry("problem", event.kind, "this version cannot read the event; see it with `bot show --json`")


ROWS: Mapping[type[Event], Callable[[_Moment, Any], Entry | None]] = {
    ThreadOpened: _nothing,
    ThreadForked: _forked,
    MessageArrived: _nothing,
    ClickArrived: _nothing,
    ClickRead: _nothing,
    ArrivalDropped: _nothing,
    AnswerOffered: _offered,
    WordsPlaced: _placed,
    MessageReceived: _message,
    MessageEdited: _edited,
    MessageDeleted: _deleted,
    TriggerReceived: _trigger,
    StepChosen: _chosen,
    ChoiceFailed: _choice_failed,
    ApprovalRequested: _requested,
    ApprovalDecided: _decided,
    ReplyDecidedNothing: _reply_decided_nothing,
    ToolStarted: _nothing,
    ToolNotBegun: _not_begun,
    ToolWaiting: _nothing,
    ToolFinished: _finished,
    ToolInterrupted: _interrupted,
    StepRefused: _refused,
    TimerFired: _fired,
    MessageSent: _sent,
    MessageFailed: _message_failed,
    DeliveryFailed: _came_back,
    PlaceRegained: _regained,
    AgentChanged: _agent_changed,
    HandedToHuman: _handed,
    EventsLost: _handed,
    ThreadUnserved: _unserved,
    FeedbackGiven: _feedback,
    ThreadPaused: _paused,
    ThreadResumed: _resumed,
    ThreadCancelled: _cancelled,
    WorkStopped: _stopped,
    ThreadReopened: _reopened,
    StandingGranted: _granted,
    StandingRevoked: _revoked,
    StandingUsed: _used,
    UnknownEvent: _unknown,
}
"""A test ensures that every kind of event has a row."""


# Small parts


def _failure_in_words(event: ChoiceFailed) -> str:
    reason = "The model is away" if event.reason == "unavailable" else event.reason
    text = f"{reason}: {visible(event.error)}" if event.error else f"{reason}."
    return f"{text} I will ask again at {instant(event.retry_at)}." if event.retry_at else text
