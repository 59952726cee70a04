"""People who do what they like, under a policy: who may approve, how many, until when, and once for all.

What a push may begin by is judged here from the events as they were written, without any of the program's own judging.
"""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from agent.authority import ApprovalRule, Authority, CallToApprove
from bot.team.people import Member, People
from channels.inbound import Refused
from store.authority.binding import digest
from store.authority.terms import Terms
from store.events import ApprovalDecided, ApprovalRequested, MessageReceived, StepChosen, TimerFired, ToolStarted
from store.standing import StandingGranted
from store.state import StepState
from store.thread import Thread
from store.values import Person, Place
from tests.stories.anybody import AnybodyDoesAnything
from tests.telling.playbook import Push, Rollout, World
from tests.telling.story import ANN, BOB, EVE

ANN_BY_MAIL = Person(name="Ann A.", address="Ann@example.com", trust="verified")
CAT = Person(name="Cat", address="U4", trust="verified")
DAN = Person(name="Dan", address="U5", trust="verified")
FAY = Person(name="Fay", address="U6", trust="verified")
GUS = Person(name="Gus", address="U7", trust="verified")
GROUPS = {"ann": {"release"}, "bob": {"release"}, "cat": {"leads"}, "fay": {"release"}, "gus": {"release"}}
PEOPLE = People(
    {
        "ann": Member(name="Ann", slack="U1", emails=("ann@example.com",), groups=("release",)),
        "bob": Member(name="Bob", slack="U2", groups=("release",)),
        "cat": Member(name="Cat", slack="U4", groups=("leads",)),
        "fay": Member(name="Fay", slack="U6", groups=("release",)),
        "gus": Member(name="Gus", slack="U7", groups=("release",)),
    }
)
WHO = {"u1": "ann", "ann@example.com": "ann", "u2": "bob", "u4": "cat", "u6": "fay", "u7": "gus"}
EVERYBODY = (ANN, ANN_BY_MAIL, BOB, CAT, DAN, FAY, GUS, FAY, GUS, EVE, ANN.model_copy(update={"trust": "unverified"}))
REMIND, WIDEN, EXPIRE = (timedelta(seconds=n) for n in (20, 40, 90))


def who(person: Person) -> str:
    return WHO.get(person.address.lower(), person.address.lower())


class Release(Authority):
    """Two of the release group, later a lead too, within 90 seconds."""

    def __init__(self) -> None:
        self.requester_may = False
        self.grants: list[StandingGranted] = []

    def rule_for(self, call: CallToApprove) -> ApprovalRule | None:
        if call.arguments.get("target") == "staging" and call.unverified:
            return None
        terms = Terms(
            group="release",
            quorum=2,
            requester_may=self.requester_may,
            requesters=call.requesters,
            remind_at=call.at + REMIND,
            widen_at=call.at + WIDEN,
            then="leads",
            expires_at=call.at + EXPIRE,
        )
        room = (Place(channel="room", address="/C1/"),)
        return ApprovalRule(terms, asks=room, then_asks=(Place(channel="room", address="/U4/"),))

    async def standing_approval(self, call: CallToApprove) -> StandingGranted | None:
        if call.unverified:
            return None
        return next((grant for grant in self.grants if call.at < grant.until), None)


class AnybodyUnderPolicies(AnybodyDoesAnything):
    def make_world(self, **more: Any) -> World:
        self.authority = Release()
        return World(**more, people=PEOPLE, authority=self.authority, rooms=["room"])

    @rule(may=st.booleans())
    def the_team_changes_its_mind(self, may: bool) -> None:
        self.authority.requester_may = may

    @rule(by=st.sampled_from(EVERYBODY), approves=st.booleans())
    def anybody_decides(self, by: Person, approves: bool) -> None:
        self.do(self.world.approve(by=by) if approves else self.world.reject("no", by=by))

    @rule(
        votes=st.lists(st.sampled_from(EVERYBODY), min_size=1, max_size=4),
        seconds=st.sampled_from([0, 0, 25, 45, 89, 90, 91]),
        asks=st.sampled_from([DAN, CAT, ANN]),
    )
    def a_push_is_asked_for_and_voted_on(self, votes: list[Person], seconds: int, asks: Person) -> None:
        self.world.model.answers(Push(target="prod"))
        self.do(self.world.say("push it", by=asks))
        self.runs()
        self.world.clock.advance(seconds)
        for by in votes:
            self.do(self.world.approve(by=by))
        self.runs()

    @rule(
        then=st.sampled_from(["a lead approves it", "it is edited and approved"]), late=st.sampled_from([0, 45, 60, 90])
    )
    def a_push_goes_a_long_way(self, then: str, late: int) -> None:
        self.a_push_is_asked_for_and_voted_on([FAY], 0, DAN)
        if then == "it is edited and approved":
            self.somebody_edits(BOB, "east")
            self.runs()
            self.do(self.world.approve(by=FAY))
        self.world.clock.advance(late)
        self.runs()
        self.do(self.world.approve(by=CAT))
        self.do(self.world.approve(by=GUS))
        self.runs()

    @rule(by=st.sampled_from(EVERYBODY), where=st.sampled_from(["prod", "staging", "nowhere", ""]))
    def somebody_edits(self, by: Person, where: str) -> None:
        pending = self.world.thread.pending
        if pending:
            self.do(
                self.world.inbox.edit(
                    self.world.thread.id,
                    by,
                    step_id=pending.step,
                    digest=pending.digest,
                    arguments={"target": where},
                    proof="test",
                )
            )

    @rule(by=st.sampled_from([ANN, BOB]), then=st.sampled_from(["approves", "pauses"]))
    def somebody_edits_before_code_asks(self, by: Person, then: str) -> None:
        for step in (Rollout(), Push(target="prod")):
            self.world.model.answers(step)
            self.do(self.world.say("do it", by=DAN))
            self.runs()

        async def edits() -> None:
            self.world.thread = await self.world.store.load(self.world.thread.id)
            if pending := self.world.thread.pending:
                arguments, step_id = {"target": "east"}, pending.step
                with contextlib.suppress(Refused):
                    await self.world.inbox.edit(
                        self.world.thread.id,
                        by,
                        step_id=step_id,
                        digest=pending.digest,
                        arguments=arguments,
                        proof="test",
                    )
            await self.person(then, FAY)()

        self.world.desk.during("rollout", edits)
        self.world.clock.advance(10)
        self.runs()

    @rule(seconds=st.sampled_from([10, 60]))
    def a_lead_grants(self, seconds: int) -> None:
        now = self.world.clock()
        number = len(self.authority.grants)
        self.authority.grants.append(
            StandingGranted(
                id=f"g{number}",
                at=now,
                agent="ops",
                intent="push",
                by=CAT.model_copy(update={"member": "cat"}),
                groups=("leads",),
                until=now + timedelta(seconds=seconds),
            )
        )

    @rule()
    def a_lead_revokes(self) -> None:
        self.authority.grants.clear()

    def check_approval(self, before: Thread, step: StepState, new: ToolStarted) -> None:
        story = [e for e in before.events if getattr(e, "step", "") == step.id]
        request = next(e for e in story if isinstance(e, ApprovalRequested))
        chosen = next(e for e in story if isinstance(e, StepChosen))
        assert request.digest == digest(before.id, chosen, request.facts, request.policy)
        decisions = [
            e
            for e in story
            if isinstance(e, ApprovalDecided) and e.digest == request.digest and e.by.trust == "verified"
        ]
        if grant := request.policy.get("standing"):
            self.reached["push started by a standing approval"] += 1
            [decision] = [e for e in decisions if e.standing]
            [granted] = [g for g in self.authority.grants if g.id == grant == decision.standing]
            assert new.at < granted.until
            assert not before.state.unverified
            return
        self.reached["push started by a quorum"] += 1
        until = datetime.fromisoformat(str(request.policy["expires_at"]))
        assert new.at < until
        widened = [e for e in before.events if isinstance(e, TimerFired) and e.timer == f"{step.id}/widen/0"]
        wide_from = before.events.index(widened[0]) if widened else before.version
        asked = before.events[: before.events.index(request)]
        spoke = {who(e.sender) for e in asked if isinstance(e, MessageReceived)}
        spoke |= {who(e.editor) for e in asked if isinstance(e, StepChosen) and e.editor}
        people = set()
        for decision in decisions:
            groups = GROUPS.get(who(decision.by), set())
            allowed = {"release", "leads"} if before.events.index(decision) > wide_from else {"release"}
            if not groups & allowed or decision.standing or decision.at >= until:
                continue
            if not decision.approved:
                raise AssertionError(f"{decision.id} had rejected it")
            if request.policy.get("requester_may") is False and who(decision.by) in spoke:
                continue
            people.add(who(decision.by))
            if len(people) == 2:
                break
        assert len(people) == 2, f"only {people} had approved it"
        self.reached["edited push started"] += bool(chosen.editor)
        self.reached["push started by a lead"] += "cat" in people
