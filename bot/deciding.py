"""Deciding on a request and editing it: the part of the inbox shared by the CLI, the API, the pages and the channels.

A decision is appended first and then judged by the fold, so that of several at the same moment exactly one settles the
request. This module does not judge, and writes no text (that is `agent.speech.outcomes`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agent.reporting import report
from agent.speech.outcomes import outcome_in_words, why_not
from bot.fitting import fitting_decision
from bot.team.people import People
from channels.inbound import Refused
from store import keys
from store.arrivals import Arrived, ClickArrived
from store.authority.terms import Way
from store.base import Store, ThreadMoved, UnknownThread
from store.codec import EventTooLarge
from store.events import SEEN_AND_HELD, TEXT_CHARS_MAX, ApprovalDecided, Event, StepChosen, ThreadUnserved
from store.names import called
from store.state import Outcome, Request, StepState
from store.text import one_line
from store.thread import Thread
from store.values import Person

DIGEST_CHARS_MIN = 8
CLICKS_SECONDS_MAX = 5.0
"""How long an approval waits for older clicks on its request to be judged, one of which may reject it."""
OLDER_CLICK_UNREAD = (
    "Somebody pressed a button of this request before you, and I cannot read that click: it may reject it. Nothing was "
    "changed. If you want to approve all the same, do it once more."
)


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """A decision and its outcome."""

    outcome: Outcome
    thread: Thread
    step: StepState
    by: Person
    approved: bool
    way: str = ""

    @property
    def text(self) -> str:
        paused = self.thread.state.paused
        return outcome_in_words(self.step, self.outcome, self.by, approved=self.approved, way=self.way, paused=paused)

    @property
    def counts(self) -> bool:
        return self.outcome in ("settled", "counted")


class Deciding:
    def __init__(self, store: Store, people: People, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._people = people
        self._clock = clock

    async def _append(self, thread: Thread, *events: Event, if_unmoved: bool = False) -> Thread:
        """Append, and report what was new. Raises as `Store.append` does."""
        after = await self._store.append(thread, *events, if_unmoved=if_unmoved)
        report(events, after, thread.version)
        return after

    async def decide(
        self,
        thread_id: str,
        by: Person,
        *,
        approved: bool,
        digest: str,
        comment: str = "",
        step_id: str = "",
        proof: str = "",
        way: Way | Literal[""] = "",
        by_message: bool = False,
        clicked: ClickArrived | None = None,
    ) -> DecisionResult:
        """Decide on a request, by default the one that waits.

        `digest` (its first 8 digits or more) is that of the request that the person saw; no other one is decided.
        `clicked`: the click by which they did; None: they do it now. Raises UnknownThread, and Refused if there is no
        request at all, or if an older click on it is not judged, which may reject it, and they were not told of that.
        """
        thread = await self._store.load(thread_id)
        if approved and clicked is None:
            thread = await self._after_older_clicks(thread)
        if approved and clicked and _did_not_know_of_older_clicks(thread, clicked):
            raise Refused(OLDER_CLICK_UNREAD, "moved")
        last = thread.last_request
        step = thread.step(step_id or (last.step if last else ""))
        if step is None or step.request is None:
            raise Refused(f"Thread {thread_id} has nothing to approve or reject (it is {thread.status}).", "unknown")
        if not _is_digest_of(step.request, digest):
            return DecisionResult("other_request", thread, step, by, approved, way)
        by = self._people.identified(by)
        decision = self._decision(
            step.request, by, approved, comment, proof, way, by_message=by_message, edits=_ended_edits(thread, step.id)
        )
        if clicked:
            decision = decision.model_copy(update={"at": clicked.at, "click": clicked.id})
        decision = fitting_decision(decision)
        thread = await self._append(thread, decision)
        step = thread.state.steps[step.id]
        return DecisionResult(_outcome(thread, decision), thread, step, by, approved, way)

    async def _after_older_clicks(self, thread: Thread) -> Thread:
        """The thread once all clicks that decide and arrived before are judged. Raises Refused."""
        if not _clicks_unread(thread):
            return thread
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLICKS_SECONDS_MAX), contextlib.aclosing(self._store.follow(thread)) as news:
                async for moved in news:
                    if any(one in thread.unread and _may_reject(one) for one in moved.aside):
                        raise Refused(OLDER_CLICK_UNREAD, "moved")  # They have not been told of it.
                    if not _clicks_unread(moved):
                        return moved
        raise Refused(
            "Somebody pressed a button of this request before, and it is not known yet who. Nothing was changed. "
            "Please try again in a moment. If no worker can read that click, I say so in a few minutes, and you can "
            "decide; if I say nothing, no worker runs (`bot run`).",
            "moved",
        )

    def _decision(
        self,
        request: Request,
        by: Person,
        approved: bool,
        comment: str,
        proof: str,
        way: str,
        *,
        by_message: bool,
        edits: tuple[str, ...],
    ) -> ApprovalDecided:
        groups = self._people.groups_of(by)
        may = f"{by.member} {groups} {request.widened}" if by.member or groups or request.widened else ""
        if edits:  # A decision that did not count during an edit must count when it is made again.
            may = f"{may} {edits}"
        if request.terms.decide_by:  # So must one that is made again by a way that counts.
            may = f"{may} {way}"
        return ApprovalDecided(
            id=keys.decided(request.step, approved=approved, trust=by.trust, who=by.address or by.name, may=may),
            at=self._clock(),
            step=request.step,
            digest=request.digest,
            approved=approved,
            by=by,
            groups=groups,
            comment=comment[:TEXT_CHARS_MAX],
            proof=proof,
            way=way,
            by_message=by_message,
        )

    async def editable(self, thread_id: str, *, step_id: str, digest: str) -> tuple[str, Mapping[str, str]]:
        """The intent of the call that waits, and its editable arguments; both empty if there is no such request."""
        try:
            pending = (await self._store.load(thread_id)).pending
        except UnknownThread:
            return "", {}
        if pending is None or pending.step != step_id or not _is_digest_of(pending, digest):
            return "", {}
        return pending.chosen.intent, pending.editable

    async def edit(
        self,
        thread_id: str,
        by: Person,
        *,
        step_id: str,
        digest: str,
        arguments: Mapping[str, str],
        proof: str,
        way: Way | Literal[""] = "",
        clicked: ClickArrived | None = None,
    ) -> Thread:
        """Edit the call that waits instead of approving it: that makes a new call with its own request.

        `digest` and `clicked` as in `decide`; `arguments` are the changed ones. Raises UnknownThread, Refused.
        """
        thread = await self._store.load(thread_id)
        by = self._people.identified(by)
        while True:
            pending, named = thread.pending, thread.step(step_id)
            if pending is None or (step_id and pending.step != step_id):
                text = f"Thread {thread_id} has no such open request (it is {thread.status})."
                raise Refused(text, "expired" if named and named.status == "expired" else "unknown")
            if not _is_digest_of(pending, digest):
                raise Refused("That belongs to a different request. Nothing was changed.", "moved")
            before = _ended_edits(thread, pending.step)
            at = clicked.at if clicked else self._clock()
            chosen = self._edited(pending, by, arguments, proof, way, before=before, now=at)
            if (edit := thread.state.open_edit) and edit.id != chosen.step:
                who = called(edit.chosen.editor) if edit.chosen.editor else "Somebody"
                later = " I am paused, so I will check that edit once somebody resumes me."
                text = f"{who} has just edited this request.{later if thread.state.paused else ''}"
                text += " A new request follows, or a message why it is not possible. Nothing was changed."
                raise Refused(text, "moved")
            try:
                return await self._append(thread, chosen, if_unmoved=True)
            except EventTooLarge as error:
                raise Refused(f"That is too long: {error}") from None
            except ThreadMoved as moved:
                thread = moved.thread

    def _edited(
        self,
        request: Request,
        by: Person,
        arguments: Mapping[str, str],
        proof: str,
        way: str,
        *,
        before: tuple[str, ...],
        now: datetime,
    ) -> StepChosen:
        # An edit rejects the call as it is, so it needs the right to reject.
        match request.verdict(by, self._people.groups_of(by), now, approved=False, way=way):
            case "expired":
                raise Refused("The request has expired. Nothing was changed.", "expired")
            case "not_entitled":
                why = why_not(request, by, approved=False, way=way)
                raise Refused(f"You may not edit this request. {why}", "not_entitled")
            case "valid":
                pass
        if unknown := [name for name in arguments if name not in request.asked.editable]:
            can = ", ".join(request.asked.editable) or "nothing"
            raise Refused(f"{one_line(unknown[0], 100)!r} cannot be edited; editable: {can}.")
        chosen = request.chosen
        changed = {**chosen.arguments, **{name: text.strip() for name, text in arguments.items()}}
        if changed == chosen.arguments:
            raise Refused("Nothing is different from the request.")
        # The same edit after it was refused is another try.
        step_id = keys.edit_of(request.step, repr(sorted(arguments.items())) + (repr(before) if before else ""))
        return StepChosen(
            id=keys.chosen(step_id),
            at=now,
            step=step_id,
            intent=chosen.intent,
            arguments=changed,
            effect=chosen.effect,
            by="person",
            edits=request.step,
            editor=by,
            proof=proof,
            acts=True,
            third_party=chosen.third_party,
            holds=True,
            v=SEEN_AND_HELD,
        )


def _ended_edits(thread: Thread, step_id: str) -> tuple[str, ...]:
    """The edits of this request that came to nothing."""
    edits = (edit for edit in thread.state.steps.values() if edit.chosen.holds and edit.chosen.edits == step_id)
    return tuple(edit.id for edit in edits if edit.status != "chosen")


def _is_digest_of(request: Request, digest: str) -> bool:
    return len(digest) >= DIGEST_CHARS_MIN and request.digest.startswith(digest)


def _outcome(thread: Thread, decision: ApprovalDecided) -> Outcome:
    """The fold's outcome. A repeated click of the same person is in the log once, and counts as too late."""
    request = thread.state.steps[decision.step].request
    assert request is not None
    first = next(event for event in thread.events if event.id == decision.id)
    outcome = request.outcomes[decision.id]
    return "too_late" if first.at != decision.at and outcome in ("settled", "counted") else outcome


def _clicks_unread(thread: Thread) -> bool:
    """Whether somebody has decided or edited by a click that nobody has judged yet, and that is not set aside."""
    return any(map(_may_reject, thread.unread))


def _did_not_know_of_older_clicks(thread: Thread, clicked: ClickArrived) -> bool:
    """Whether such a click arrived before this one and is set aside, and people were told of it only after this one."""
    at = thread.events.index(clicked)
    told = {key for event in thread.events[at:] if isinstance(event, ThreadUnserved) for key in event.set_aside}
    return any(_may_reject(one) and one.id in told and thread.state.arrivals[one.id] < at for one in thread.aside)


def _may_reject(arrived: Arrived) -> bool:
    return isinstance(arrived, ClickArrived) and arrived.act in ("decides", "edits")
