"""The way in: what people and machines did, appended to the right thread and woken in the same breath.

Every channel, and the CLI, ends here. When one of these returns, the event is durable; only then may a channel
acknowledge. Each of them may be called again with the same event id, after a crash or by a redelivery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.speech import why_not
from bot.fitting import ATTACHMENTS_MAX, NAME_CHARS_MAX, QUOTED_CHARS_MAX, SUBJECT_CHARS_MAX, fitting, with_room
from bot.team.people import People
from channels.inbound import Outcome, Refused, Words
from store import keys
from store.authority.terms import judge
from store.base import Store, ThreadMoved, UnknownThread
from store.codec import EventTooLarge
from store.events import (
    TEXT_CHARS_MAX,
    ApprovalDecided,
    ApprovalRequested,
    DeliveryFailed,
    Event,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    MessageSent,
    StepChosen,
    ThreadCancelled,
    ThreadForked,
    ThreadOpened,
    ThreadPaused,
    ThreadResumed,
    TriggerReceived,
)
from store.keys import OutsideId, thread_id_of
from store.thread import REQUEST_HUMAN_INPUT, StepState, Thread
from store.values import Person, Place

DIGEST_CHARS_MIN = 8


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a decision was taken."""

    outcome: Outcome
    thread: Thread
    step: StepState
    why: str = ""
    """Where the person may not decide, for what reason."""

    @property
    def text(self) -> str:
        standing = self.step.decision
        match self.outcome:
            case "settled":
                return f"{'Approved' if standing and standing.approved else 'Rejected'}: {call_in_words(self.step)}"
            case "counted":
                votes = f"{len(self.step.votes)} of {self.step.terms.quorum}"
                return f"Counted, {votes} approvals: {call_in_words(self.step)}"
            case "too_late" if self.step.status == "requested":
                return "Your approval counts already; nothing was changed."
            case "too_late" if standing:
                verb = "approved" if standing.approved else "rejected"
                return f"Already {verb} by {standing.by.name} at {standing.at:%H:%M} UTC; nothing was changed."
            case "too_late":
                return f"The request is {self.step.status}; nothing was changed."
            case "other_request":
                return "That decision is for another request than the one that stands; nothing was changed."
            case "expired":
                return "The request has expired; nothing was changed."
            case "not_entitled":
                return f"You may not decide this request. {self.why} That you tried is on record."


def _now() -> datetime:
    return datetime.now(UTC)


class Inbox:
    def __init__(self, store: Store, *, people: People | None = None, clock: Callable[[], datetime] = _now) -> None:
        self._store = store
        self._people = people or People()
        self._clock = clock

    async def thread_at(self, place: Place, spot: str = "") -> str:
        """As in `channels.inbound`. A thread's own place comes first; what is noted for the spot, after it."""
        thread_id = thread_id_of(place)
        if await self._store.exists(thread_id):
            return thread_id
        return await self._store.recall(_held_at(place.channel, spot)) if spot else ""

    async def goes_on_at(self, channel: str, spot: str, thread_id: str) -> bool:
        if not await self._store.exists(thread_id):
            return False
        # Where it was noted meanwhile, it is the same: a message is said for one thread.
        await self._store.note(_held_at(channel, spot), thread_id, instead_of="")
        return True

    async def message(self, place: Place, words: Words, *, agent: str) -> str:
        """As in `channels.inbound`. Nothing is read, so it costs the same however long the thread is."""
        earlier = (
            Words(Person(name=e.name, address=e.address, trust="third_party"), e.text, e.event_id) for e in words.before
        )
        return await self._open(place, agent, *(self._heard(place.channel, one) for one in (*earlier, words)))

    async def reply(self, thread_id: str, channel: str, words: Words) -> bool:
        return await self._store.post(thread_id, self._heard(channel, words), opens=False)

    async def came_back(
        self, thread_id: str, channel: str, *, key: str, recipient: str, error: str, event_id: str
    ) -> None:
        event = DeliveryFailed(
            id=str(OutsideId(channel, event_id)),
            at=self._clock(),
            key=key,
            recipient=recipient[:NAME_CHARS_MAX],
            error=error[:SUBJECT_CHARS_MAX],
        )
        await self._store.post(thread_id, event, opens=False)

    async def edited(self, thread_id: str, channel: str, *, event_id: str, text: str, edit_id: str) -> bool:
        """As in `channels.inbound`. Whether that still counts, the thread says."""
        message = str(OutsideId(channel, event_id))
        fitting = self._message(Words(Person(name=""), text, event_id), message).text
        event = MessageEdited(id=keys.edited(message, edit_id), at=self._clock(), message=message, text=fitting)
        return await self._store.post(thread_id, event, opens=False)

    async def deleted(self, thread_id: str, channel: str, *, event_id: str) -> bool:
        message = str(OutsideId(channel, event_id))
        event = MessageDeleted(id=keys.deleted(message), at=self._clock(), message=message)
        return await self._store.post(thread_id, event, opens=False)

    async def trigger(self, place: Place, trigger: TriggerReceived, *, agent: str) -> str:
        """As `message`, for what a machine did."""
        outside = str(OutsideId(trigger.source, trigger.id))
        return await self._open(place, agent, trigger.model_copy(update={"id": outside}))

    async def _open(self, place: Place, agent: str, *events: Event) -> str:
        thread_id, at = thread_id_of(place), events[-1].at
        await self._store.post(thread_id, ThreadOpened(id=keys.OPENED, at=at, agent=agent, place=place), *events)
        return thread_id

    async def say(self, thread_id: str, sender: Person, text: str, *, event_id: str = "") -> Thread:
        """Go on with a thread. Raises UnknownThread, Refused."""
        thread = await self._conversation(thread_id)
        if thread.state.cancelled:
            text = f"Thread {thread_id} was cancelled. Start a new one with `bot send --agent {thread.agent}`."
            raise Refused(text, "moved")
        outside = str(OutsideId(thread.place.channel, event_id)) if event_id else keys.new("m")
        return await self._store.append(thread, self._message(Words(sender, text, event_id), outside))

    async def answer(
        self, thread_id: str, sender: Person, text: str = "", *, step: str = "", number: int = -1
    ) -> Thread:
        """Answer the open question, in words or with the choice of that number (from 0).

        `step`: the question that was seen; another one is not answered by it, and the same person's second click on
        it is the same answer. Raises UnknownThread, Refused when it is not open.
        """
        thread = await self._conversation(thread_id)
        question = thread.step(thread.state.question)
        event_id = keys.answered(step, sender.address or sender.name) if step else keys.new("m")
        if step and any(event.id == event_id for event in thread.events):
            return thread
        if question is None or question.chosen.intent != REQUEST_HUMAN_INPUT or thread.state.cancelled:
            text = f"Thread {thread_id} has no open question (it is {thread.status}). `bot send` writes to it."
            raise Refused(text, "unknown")
        if step and step != question.id:
            raise Refused("That question needs no answer any more.", "moved")
        if number >= 0:
            options = question.chosen.arguments.get("options")
            choices = options.get("choices") if isinstance(options, dict) else None
            if not isinstance(choices, list) or number >= len(choices):
                raise Refused("That question has no such choice.", "unknown")
            text = str(choices[number])
        event = self._message(Words(sender, text, event_id), event_id, answers=question.id)
        try:
            return await self._store.append(thread, event, if_unmoved=True)
        except ThreadMoved:
            # Somebody may have answered meanwhile: of two at the same moment one answers.
            return await self.answer(thread_id, sender, text, step=step, number=number)

    async def decide(
        self,
        thread_id: str,
        by: Person,
        *,
        approved: bool,
        comment: str = "",
        step_id: str = "",
        digest: str = "",
        proof: str = "",
        by_message: bool = False,
    ) -> Settlement:
        """Decide on a request; the log's fold judges, so that of any number at the same moment one settles it.

        Without `step_id` it is the one that waits. `digest` is what the person saw (its first 8 digits or more): where
        given, it must be that of the request. Raises UnknownThread, and Refused where there is no request at all.
        """
        thread = await self._store.load(thread_id)
        step = thread.step(step_id) if step_id else thread.pending or _last_requested(thread)
        if step is None or step.request is None:
            raise Refused(f"Thread {thread_id} has nothing to approve or reject (it is {thread.status}).", "unknown")
        request = step.request
        if digest and (len(digest) < DIGEST_CHARS_MIN or not request.digest.startswith(digest)):
            return Settlement("other_request", thread, step)
        by = self._people.identified(by)
        groups = self._people.groups_of(by)
        may = f"{by.member} {groups} {step.widened}" if by.member or groups or step.widened else ""
        decision = ApprovalDecided(
            id=keys.decided(step.id, approved=approved, trust=by.trust, who=by.address or by.name, may=may),
            at=self._clock(),
            step=step.id,
            digest=request.digest,
            approved=approved,
            by=by,
            groups=groups,
            comment=comment[:TEXT_CHARS_MAX],
            proof=proof,
            by_message=by_message,
        )
        thread = await self._store.append(thread, with_room(decision))
        step = thread.state.steps[step.id]

        def is_ours(other: ApprovalDecided | None) -> bool:
            return other is not None and other.id == decision.id and other.at == decision.at

        if is_ours(step.decision):
            return Settlement("settled", thread, step)
        if any(map(is_ours, step.votes)):
            return Settlement("counted", thread, step)
        judgement = judge(request, step.terms, decision, widened=step.widened)
        if judgement == "valid" or (judgement == "expired" and step.status not in ("requested", "expired")):
            return Settlement("too_late", thread, step)
        return Settlement(judgement, thread, step, why_not(step, by, approved=approved))

    async def editable(self, thread_id: str, *, step_id: str, digest: str) -> tuple[str, Mapping[str, str]]:
        try:
            pending = (await self._store.load(thread_id)).pending
        except UnknownThread:
            return "", {}
        request = pending.request if pending and pending.id == step_id else None
        if pending is None or request is None or not request.digest.startswith(digest):
            return "", {}
        arguments = ((name, pending.chosen.arguments.get(name)) for name in request.editable)
        return pending.chosen.intent, {name: text for name, text in arguments if isinstance(text, str)}

    async def edit(
        self, thread_id: str, by: Person, *, step_id: str, digest: str, arguments: Mapping[str, str], proof: str
    ) -> Thread:
        """Change the call that waits, instead of approving it: that is another call, with a request of its own.

        `digest` as in `decide`, `arguments` those that change. Raises UnknownThread, Refused.
        """
        thread = await self._store.load(thread_id)
        by = self._people.identified(by)
        while True:
            step = thread.step(step_id) if step_id else thread.pending
            if step is None or step.request is None or step.status != "requested":
                text = f"Thread {thread_id} has no such request that waits (it is {thread.status})."
                raise Refused(text, "expired" if step and step.status == "expired" else "unknown")
            if len(digest) < DIGEST_CHARS_MIN or not step.request.digest.startswith(digest):
                raise Refused("That is for another request than the one that stands; nothing was changed.", "moved")
            chosen = self._edited(step, step.request, by, arguments, proof)
            try:
                return await self._store.append(thread, chosen, if_unmoved=True)
            except EventTooLarge as error:
                raise Refused(f"That is too long: {error}") from None
            except ThreadMoved as moved:
                thread = moved.thread

    def _edited(
        self, step: StepState, request: ApprovalRequested, by: Person, arguments: Mapping[str, str], proof: str
    ) -> StepChosen:
        now = self._clock()
        # To change it is to decide that it shall not run like this.
        trial = ApprovalDecided(
            id="trial",
            at=now,
            step=step.id,
            digest=request.digest,
            approved=False,
            by=by,
            groups=self._people.groups_of(by),
        )
        match judge(request, step.terms, trial, widened=step.widened):
            case "expired":
                raise Refused("The request has expired; nothing was changed.", "expired")
            case "not_entitled":
                text = f"You may not change this request. {why_not(step, by, approved=False)}"
                raise Refused(text, "not_entitled")
            case _:
                pass
        if unknown := [name for name in arguments if name not in request.editable]:
            can = ", ".join(request.editable) or "nothing"
            raise Refused(f"{unknown[0][:NAME_CHARS_MAX]!r} cannot be changed here; what can is: {can}.")
        changed = {**step.chosen.arguments, **{name: text.strip() for name, text in arguments.items()}}
        if changed == step.chosen.arguments:
            raise Refused("Nothing is different from what stands in the request.")
        new = keys.edit_of(step.id, repr(sorted(arguments.items())))
        return StepChosen(
            id=keys.chosen(new),
            at=now,
            step=new,
            intent=step.chosen.intent,
            arguments=changed,
            by="person",
            edits=step.id,
            editor=by,
            proof=proof,
            acts=True,
        )

    async def pause(self, thread_id: str, by: Person) -> Thread:
        thread = await self._alive(thread_id)
        if thread.state.paused:
            raise Refused(f"Thread {thread_id} is paused already.", "moved")
        return await self._store.append(thread, ThreadPaused(id=keys.new("pause"), at=self._clock(), by=by))

    async def resume(self, thread_id: str, by: Person) -> Thread:
        thread = await self._alive(thread_id)
        if not thread.state.paused:
            raise Refused(f"Thread {thread_id} is not paused (it is {thread.status}).", "moved")
        return await self._store.append(thread, ThreadResumed(id=keys.new("resume"), at=self._clock(), by=by))

    async def cancel(self, thread_id: str, by: Person, reason: str = "") -> Thread:
        thread = await self._alive(thread_id)
        event = ThreadCancelled(id=keys.new("cancel"), at=self._clock(), by=by, reason=reason[:TEXT_CHARS_MAX])
        return await self._store.append(thread, event)

    async def fork(self, thread_id: str, at: int, by: Person, place: Place) -> Thread:
        """A new thread at `place` with the first `at` events of this one; nothing that was under way is in it."""
        source = await self._conversation(thread_id)
        if not 1 <= at <= source.version:
            raise Refused(f"Thread {thread_id} has {source.version} events; --at takes 1 to {source.version}.")
        now = self._clock()
        # Where its messages were is not where those of the copy go.
        copied = [
            e.model_copy(update={"place": None}) if isinstance(e, MessageSent) else e for e in source.events[1:at]
        ]
        opened = source.events[0].model_copy(update={"place": place, "at": now})
        ended = ThreadForked(id=keys.forked(thread_id, at), at=now, source=thread_id, at_event=at, by=by)
        try:
            return await self._store.append(Thread(thread_id_of(place)), opened, *copied, ended, if_unmoved=True)
        except ThreadMoved:
            raise Refused(f"There is a thread at {place.channel}:{place.address} already.") from None

    async def _conversation(self, thread_id: str) -> Thread:
        thread = await self._store.load(thread_id)
        if not thread.agent:
            raise Refused(f"{thread_id} is a record, with nobody in it to talk to.")
        return thread

    async def _alive(self, thread_id: str) -> Thread:
        thread = await self._conversation(thread_id)
        if thread.state.cancelled:
            raise Refused(f"Thread {thread_id} was cancelled already.", "moved")
        return thread

    def _heard(self, channel: str, words: Words) -> MessageReceived:
        return self._message(words, str(OutsideId(channel, words.event_id)))

    def _message(self, words: Words, event_id: str, *, answers: str = "") -> MessageReceived:
        text = words.text
        return fitting(
            MessageReceived(
                id=event_id,
                at=self._clock(),
                sender=self._people.identified(words.sender),
                subject=words.subject[:SUBJECT_CHARS_MAX],
                text=text[:TEXT_CHARS_MAX],
                clipped_from=len(text) if len(text) > TEXT_CHARS_MAX else 0,
                attachments=words.attachments[:ATTACHMENTS_MAX],
                answers=answers,
                quoted=words.quoted[:QUOTED_CHARS_MAX],
                origin=dict(words.origin),
            )
        )


def _held_at(channel: str, spot: str) -> str:
    """The name of the note that says which thread goes on at this spot."""
    return f"{channel}/held/{spot}"


def call_in_words(step: StepState) -> str:
    arguments = ", ".join(f"{name}: {value}" for name, value in step.chosen.arguments.items())
    return f"{step.chosen.intent} ({arguments})" if arguments else step.chosen.intent


def _last_requested(thread: Thread) -> StepState | None:
    return next((step for step in reversed(thread.state.steps.values()) if step.request), None)
