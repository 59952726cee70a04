"""Short names for events, so that a test reads as the story of a thread.

    thread(message(), chosen("s1", acts=True), requested("s1"), approved("s1", by=BOB))

Ids are derived as the program derives them, so an event that is told twice is the same event.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from store import keys
from store.arrivals import (
    AnswerOffered,
    ArrivalDropped,
    ClickAct,
    ClickArrived,
    ClickRead,
    MessageArrived,
    OpenQuestion,
    WordsPlaced,
)
from store.authority.terms import Terms
from store.choices import ChoiceFailed
from store.codec import encode
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
from store.replies import ReplyDecidedNothing
from store.standing import StandingGranted, StandingRevoked, StandingUsed
from store.thread import (
    Thread,
)
from store.values import Person, Place

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
LATER = AT + timedelta(minutes=5)
PLACE = Place(channel="terminal", address="desk")
ANN = Person(name="Ann", address="U1", trust="verified")
BOB = Person(name="Bob", address="U2", trust="verified")
EVE = Person(name="Eve", address="U3", trust="unverified")


def thread(*events: Event, thread_id: str = "t1") -> Thread:
    """Opened, and then these events."""
    return Thread(thread_id).extended([opened(), *events])


def opened(agent: str = "deploy", place: Place = PLACE) -> ThreadOpened:
    return ThreadOpened(id=keys.OPENED, at=AT, agent=agent, place=place)


def message(event_id: str = "m1", text: str = "deploy v3, please", *, by: Person = ANN, **more: Any) -> MessageReceived:
    return MessageReceived(id=event_id, at=AT, sender=by, text=text, **more)


def edited(event_id: str = "m1", text: str = "deploy v4, please", number: int = 1) -> MessageEdited:
    return MessageEdited(id=f"{event_id}/edited/{number}", at=AT, message=event_id, text=text)


def deleted(event_id: str = "m1") -> MessageDeleted:
    return MessageDeleted(id=f"{event_id}/deleted", at=AT, message=event_id)


def trigger(event_id: str = "cron/nightly/1", name: str = "nightly") -> TriggerReceived:
    return TriggerReceived(id=event_id, at=AT, source="cron", name=name)


def chosen(step: str, intent: str = "push", *, acts: bool = False, **arguments: Any) -> StepChosen:
    return StepChosen(id=f"{step}/chosen", at=AT, step=step, intent=intent, arguments=arguments, acts=acts)


def asked(step: str) -> StepChosen:
    return chosen(step, "request_human_input", question="Which tag?")


def listed(step: str, *tasks: tuple[str, str]) -> StepChosen:
    """Each task with the intent that does it."""
    shown = [{"title": title, "does": intent} for title, intent in tasks or (("Push it", "push"), ("Look", "look"))]
    return chosen(step, "show_tasks", tasks=shown).model_copy(update={"effect": "lists"})


def done(step: str) -> StepChosen:
    return chosen(step, "done_for_now", message="It is out.")


def told(step: str) -> StepChosen:
    return chosen(step, "send_update", message="It is under way.")


def nothing_to_do(step: str) -> StepChosen:
    return chosen(step, "nothing_to_do")


def withdrew(step: str) -> StepChosen:
    return chosen(step, "withdraw_request", reason="no longer wanted")


def edit_of(step: str, by: Person = ANN, **arguments: Any) -> StepChosen:
    """A person's edit of the call that waits."""
    edits: dict[str, Any] = {"by": "person", "edits": step, "editor": by, "acts": True, "holds": True, "v": 2}
    return chosen(f"{step}e0123456789ab", target="east", **arguments).model_copy(update=edits)


def said_over(event: StepChosen, seen: int) -> StepChosen:
    """Chosen by the model when it had read so many events, although more was written before it answered."""
    return event.model_copy(update={"seen": seen, "v": 2})


def choice_failed(
    number: int = 1,
    reason: Literal["invalid", "refused", "truncated", "unavailable", "outdated"] = "invalid",
    retry_at: datetime | None = None,
) -> ChoiceFailed:
    return ChoiceFailed(id=f"c{number}/failed", at=AT, reason=reason, error="no step in it", retry_at=retry_at)


def unavailable(number: int, *, after_seconds: float = 0.0) -> ChoiceFailed:
    """The model is away: at first, or still so long after it was at first."""
    event = choice_failed(number, "unavailable")
    return event.model_copy(update={"at": AT + timedelta(seconds=after_seconds), "counted": False})


def requested(step: str, digest: str = "", **more: Any) -> ApprovalRequested:
    """`more`: fields of the event, such as `asks`; and those of its `Terms`, such as `quorum`."""
    terms = Terms(**{name: more.pop(name) for name in list(more) if name in Terms.model_fields})
    policy = terms.model_dump(mode="json", exclude_defaults=True)
    return ApprovalRequested(
        id=f"{step}/requested", at=AT, step=step, digest=digest or f"digest of {step}", policy=policy, **more
    )


def approved(step: str, by: Person = ANN, digest: str = "", **more: Any) -> ApprovalDecided:
    return _decided(step, by, digest, approved=True, **more)


def rejected(step: str, by: Person = ANN, digest: str = "", **more: Any) -> ApprovalDecided:
    return _decided(step, by, digest, approved=False, **more)


def _decided(step: str, by: Person, digest: str, *, approved: bool, **more: Any) -> ApprovalDecided:
    verdict = "yes" if approved else "no"
    return ApprovalDecided(
        id=f"{step}/decided/{verdict}/{by.trust}/{by.address}",
        step=step,
        digest=digest or f"digest of {step}",
        approved=approved,
        by=by,
        **{"at": AT, **more},
    )


def looks_again(step: str, until: datetime = LATER, *, intent: str = "look_again") -> StepChosen:
    arguments: dict[str, Any] = {"in_minutes": 5, "reason": "the tests are running"}
    return chosen(step, intent, **arguments).model_copy(update={"until": until})


def granted(number: int = 1) -> StandingGranted:
    return StandingGranted(id=f"g{number}", at=AT, agent="deploy", intent="push", by=ANN, until=LATER)


def revoked(number: int = 1) -> StandingRevoked:
    return StandingRevoked(id=f"g{number}/revoked", at=AT, grant=f"g{number}", by=ANN)


def used(number: int = 1) -> StandingUsed:
    return StandingUsed(id=f"g{number}/used/1f2e3d4c5b6a", at=AT, grant=f"g{number}", thread="tabc", step="s1")


def started(step: str, attempt: int = 1, *, repeatable: bool = False) -> ToolStarted:
    return ToolStarted(id=f"{step}/started/{attempt}", at=AT, step=step, attempt=attempt, repeatable=repeatable)


def not_begun(step: str, start: int = 1) -> ToolNotBegun:
    return ToolNotBegun(id=f"{step}/notbegun/{start}", at=AT, step=step, start=start, why="its machine stood still")


def events_lost(*conflicting: Event) -> EventsLost:
    raw = tuple(json.loads(encode(event)) for event in conflicting)
    return EventsLost(id="lost/0a1b2c3d4e5f", at=AT, restored=2, conflicting=raw)


def replied_unclearly(
    step: str, *, by: Person = ANN, reads_as: Literal["approval", "rejection", "neither"] = "approval"
) -> ReplyDecidedNothing:
    return ReplyDecidedNothing(
        id=f"from/email/{by.address}:{step}:{reads_as}",
        at=AT,
        step=step,
        digest="d1",
        by=by,
        place=Place(channel="room", address="/alone/"),
        words="LGTM",
        reads_as=reads_as,
    )


def arrived(name: str = "m1", text: str = "Hello.") -> MessageArrived:
    return MessageArrived(id=f"{name}/arrived", at=AT, channel="room", becomes=name, text=text, payload={})


def offered(name: str = "m1", *, to: Person = ANN) -> AnswerOffered:
    questions = tuple(OpenQuestion(thread=f"t{n}", step=f"s{n}", question=f"Which, {n}?") for n in (1, 2))
    return AnswerOffered(id=f"{name}/offered", at=AT, becomes=name, to=to, words="v2", questions=questions)


def placed(name: str = "m1", thread: str = "", *, by: Person = ANN) -> WordsPlaced:
    step = thread.replace("t", "s")
    return WordsPlaced(id=f"{name}/placed", at=AT, becomes=name, by=by, thread=thread, step=step)


def clicked(name: str = "c1", act: ClickAct = "decides") -> ClickArrived:
    return ClickArrived(id=f"{name}/arrived", at=AT, channel="room", act=act, payload={})


def click_read(name: str = "c1") -> ClickRead:
    return ClickRead(id=f"{name}/arrived/read", at=AT, click=f"{name}/arrived")


def dropped(name: str = "m1") -> ArrivalDropped:
    return ArrivalDropped(id=f"{name}/dropped", at=AT, becomes=name)


def rated(step: str, *, by: Person = ANN, helpful: bool = True) -> FeedbackGiven:
    return FeedbackGiven(id=f"from/slack/{by.address}:{step}", at=AT, step=step, by=by, helpful=helpful)


def unserved(*aside: str) -> ThreadUnserved:
    """`aside`: what has arrived and cannot be read."""
    why = "No worker here can read it." if aside else "No worker here knows the agent 'ops'."
    event_id = f"u{4 + len(aside)}/unserved"
    return ThreadUnserved(id=event_id, at=AT, why=why, set_aside=aside, holds=bool(aside))


def waits(step: str, attempt: int = 1, until: datetime = LATER) -> ToolWaiting:
    return ToolWaiting(id=f"{step}/waiting/{attempt}", at=AT, step=step, attempt=attempt, until=until)


def finished(step: str, result: Any = "ok") -> ToolFinished:
    return ToolFinished(id=f"{step}/finished", at=AT, step=step, result=result)


def failed(step: str, error: str = "No tag 'v3'.") -> ToolFinished:
    return ToolFinished(id=f"{step}/finished", at=AT, step=step, error=error)


def interrupted(step: str) -> ToolInterrupted:
    return ToolInterrupted(id=f"{step}/interrupted", at=AT, step=step, why="its worker was stopped")


def refused(step: str) -> StepRefused:
    return StepRefused(id=f"{step}/refused", at=AT, step=step, error="unknown intent")


def fired(timer: str) -> TimerFired:
    return TimerFired(id=f"{timer}/fired", at=LATER, timer=timer)


def sent(key: str) -> MessageSent:
    return MessageSent(id=f"{key}/sent", at=AT, key=key)


def not_sent(key: str, attempt: int = 1, retry_at: datetime | None = LATER) -> MessageFailed:
    return MessageFailed(
        id=f"{key}/failed/{attempt}", at=AT, key=key, attempt=attempt, error="no answer", retry_at=retry_at
    )


def came_back(key: str, number: int = 1, recipient: str = "ann@example.com") -> DeliveryFailed:
    return DeliveryFailed(id=f"bounce/{key}/{number}", at=AT, key=key, recipient=recipient, error="no such mailbox")


def regained(number: int = 1) -> PlaceRegained:
    return PlaceRegained(id=f"joined/{number}", at=AT)


def handed_over_to(agent: str) -> AgentChanged:
    return AgentChanged(id=f"to-{agent}/agent", at=AT, agent=agent)


def handed_to_human(number: int = 1) -> HandedToHuman:
    return HandedToHuman(id=f"h{number}/handed", at=AT, limit="errors_in_row", reason="Three errors in a row.")


def paused(number: int = 1) -> ThreadPaused:
    return ThreadPaused(id=f"pause/{number}", at=AT, by=ANN)


def resumed(number: int = 1) -> ThreadResumed:
    return ThreadResumed(id=f"resume/{number}", at=AT, by=ANN)


def cancelled() -> ThreadCancelled:
    return ThreadCancelled(id="cancel/1", at=AT, by=ANN)


def stopped(number: int = 1) -> WorkStopped:
    return WorkStopped(id=f"from/slack/stop:{number}", at=AT, by=ANN)


def reopened(number: int = 1) -> ThreadReopened:
    return ThreadReopened(id=f"reopen/{number}", at=AT, by=ANN)


def forked() -> ThreadForked:
    return ThreadForked(id="fork/t0/9", at=AT, source="t0", at_event=9, by=ANN)


def from_the_future() -> UnknownEvent:
    return UnknownEvent(kind="thread_merged", id="merge/1", at=AT, raw={"kind": "thread_merged", "id": "merge/1"})
