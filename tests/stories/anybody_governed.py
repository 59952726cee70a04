"""People who do what they like, under a policy: who may approve, how many, until when, and once for all.

They write in every way there is, under every identity there is: of the team, of nobody's, unproven, passed on. What a
push may begin by is judged here from the events as they were written and from what the model was shown, without any of
the program's own judging.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import rule

from agent.authority import ApprovalRule, Authority, CallToApprove
from bot.team.people import Member, People
from channels.inbound import EarlierMessage, Refused
from store.authority.binding import digest_of
from store.authority.terms import Terms
from store.events import (
    CRON,
    ApprovalDecided,
    ApprovalRequested,
    StepChosen,
    TimerFired,
    ToolStarted,
    TriggerReceived,
)
from store.standing import StandingGranted
from store.state import StepState
from store.thread import Thread
from store.values import Attachment, Person, Place
from tests.stories.anybody import AnybodyDoesAnything
from tests.telling.playbook import Push, Rollout, Touch, World
from tests.telling.story import ANN, BOB, EVE

ANN_BY_MAIL = Person(name="Ann A.", address="Ann@example.com", trust="verified")
CAT = Person(name="Cat", address="U4", trust="verified")
DAN = Person(name="Dan", address="U5", trust="verified")
FAY = Person(name="Fay", address="U6", trust="verified")
GUS = Person(name="Gus", address="U7", trust="verified")
TOKEN = Person(name="api", address="api", trust="verified")
ANN_AT_HOME = Person(name="Ann", address="ann@home.example", trust="verified")
IN_ANNS_NAME = ANN.model_copy(update={"trust": "unverified"})
SOMEBODY = Person(name="somebody", trust="third_party")
"""Who wrote what was passed on, nobody knows."""
GROUPS = {
    **{name: {"team", "release"} for name in ("ann", "bob", "fay", "gus")},
    "cat": {"team", "leads"},
    "dan": {"team"},
}
QUORUM = {"release": 2, "team": 1, "leads": 1}
PEOPLE = People(
    {
        "ann": Member(name="Ann", slack="U1", emails=("ann@example.com",), groups=("release",)),
        "bob": Member(name="Bob", slack="U2", groups=("release",)),
        "cat": Member(name="Cat", slack="U4", groups=("leads",)),
        "dan": Member(name="Dan", slack="U5"),
        "fay": Member(name="Fay", slack="U6", groups=("release",)),
        "gus": Member(name="Gus", slack="U7", groups=("release",)),
    }
)
WHO = {"u1": "ann", "ann@example.com": "ann", "u2": "bob", "u4": "cat", "u5": "dan", "u6": "fay", "u7": "gus"}
EVERYBODY = (ANN, ANN_BY_MAIL, BOB, CAT, DAN, FAY, GUS, FAY, GUS, EVE, IN_ANNS_NAME, TOKEN, ANN_AT_HOME)
REMIND, WIDEN, EXPIRE = (timedelta(seconds=n) for n in (20, 40, 90))


def who(person: Person) -> str:
    return WHO.get(person.address.lower(), person.address.lower())


@dataclass(frozen=True)
class Team:
    """What the team file and the target's owners say at one time."""

    groups: Mapping[str, set[str]] = field(default_factory=lambda: GROUPS)
    """Of everybody who is in the team file."""
    setup: int = 0
    """Changes with what a push would run."""

    def may_be_anybody(self, author: Person) -> bool:
        """Whether one of the team may have written it under this name. Who was known then is known for good."""
        return author.trust == "unverified" or not (author.member or who(author) in self.groups)

    @property
    def people(self) -> People:
        members = {
            key: replace(PEOPLE.members[key], groups=tuple(sorted(of - {"team"}))) for key, of in self.groups.items()
        }
        return People(members)


class Release(Authority):
    """Two of the release group, or one of the team or of the leads, later a lead too, within 90 seconds."""

    def __init__(self) -> None:
        self.requester_may = False
        self.group = "release"
        self.grants: list[StandingGranted] = []
        self.people = PEOPLE

    def identified(self, person: Person) -> Person:
        return self.people.identified(person)

    def decider(self, person: Person, at: datetime) -> Person | None:
        return self.people.decider(person, at)

    def groups_of(self, person: Person) -> tuple[str, ...]:
        return self.people.groups_of(person)

    def rule_for(self, call: CallToApprove) -> ApprovalRule | None:
        if call.arguments.get("target") == "staging" and call.unverified:
            return None
        terms = Terms(
            group=self.group,
            quorum=QUORUM[self.group],
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
        if call.unverified or "leads" not in self.people.groups_of(self.people.identified(CAT)):
            return None
        return next((grant for grant in self.grants if call.at < grant.until), None)


class AnybodyUnderPolicies(AnybodyDoesAnything):
    opener: ClassVar[Person] = DAN

    def make_world(self, **more: Any) -> World:
        self.authority = Release()
        self.team = [(0, Team())]
        """Each with the number of events that there were when it came to be so."""
        self.granted: list[StandingGranted] = []
        self.revoked: dict[str, int] = {}
        """Each with the number of events that there were then."""
        self.woken = 0
        return World(**more, people=PEOPLE, authority=self.authority, rooms=["room"])

    def text_of(self, author: Person) -> str:
        """By an author who is in the team file, or not, at this time."""
        known = who(author) if who(author) in self.team_now.groups else ""
        return super().text_of(author.model_copy(update={"member": known}))

    @rule(may=st.booleans(), group=st.sampled_from([*QUORUM]))
    def the_team_changes_its_mind(self, may: bool, group: str) -> None:
        self.every_event_was_allowed_when_it_was_written()
        self.authority.requester_may = may
        self.authority.group = group

    @rule(key=st.sampled_from([*GROUPS]), groups=st.sampled_from([None, (), ("leads",), ("release",)]))
    def somebody_gets_other_groups_or_leaves(self, key: str, groups: tuple[str, ...] | None) -> None:
        those = {name: of for name, of in self.team_now.groups.items() if name != key}
        self.team_becomes(groups=those if groups is None else {**those, key: {"team", *groups}})

    @rule()
    def everybody_is_back_where_they_were(self) -> None:
        self.team_becomes(groups=GROUPS)

    @rule()
    def a_push_would_run_something_else(self) -> None:
        self.team_becomes(setup=self.team_now.setup + 1)

    @property
    def team_now(self) -> Team:
        return self.team[-1][1]

    def team_when(self, index: int) -> Team:
        """As it was when the event with this index was written."""
        return [team for since, team in self.team if since <= index][-1]

    def team_becomes(self, **change: Any) -> None:
        self.every_event_was_allowed_when_it_was_written()
        team = replace(self.team_now, **change)
        self.team.append((self.seen.version, team))
        self.authority.people = team.people
        self.world.people_become(team.people)
        self.world.desk.setup = {"setup": team.setup} if team.setup else {}

    @rule(
        by=st.sampled_from(EVERYBODY),
        how=st.sampled_from(["writes", "attaches", "was there before", "passes on", "edits"]),
        goes_on=st.booleans(),
    )
    def somebody_is_heard(self, by: Person, how: str, goes_on: bool) -> None:
        """In every way in which words reach the model."""
        by = by if by.trust == "verified" or self.strangers else BOB
        somebody = SOMEBODY if self.strangers else by
        match how:
            case "attaches":
                file = Attachment(name="a.txt", text=self.text_of(somebody)) if self.strangers else Attachment(name="a")
                self.says("see this", by, attachments=(file,))
            case "was there before" if self.strangers:
                text = self.text_of(by.model_copy(update={"trust": "third_party"}))
                self.says("you heard it", BOB, earlier=(EarlierMessage(by.name, by.address, text, text),))
            case "passes on" if self.strangers:
                text = self.text_of(SOMEBODY)
                self.says("see below", by, earlier=(EarlierMessage("quoted", "", text, text),))
            case "edits":
                self.says("wait", by)
                text = f"rather so, {self.text_of(by)}"
                said, place = f"m{self.world.said}", self.world.place
                self.do(
                    self.world.inbox.edited(self.world.thread.id, place.channel, event_id=said, text=text, edit_id="1")
                )
            case _:
                self.says("listen", by)
        if goes_on:
            self.a_call_is_chosen()

    @rule(what=st.sampled_from(["a schedule", "a hook", "a delivery report"]))
    def a_machine_is_heard(self, what: str) -> None:
        world = self.world
        match what:
            case "a schedule":
                self.woken += 1
                monday = TriggerReceived(id=f"monday/{self.woken}", at=world.clock(), source=CRON, name="monday")
                self.do(world.inbox.trigger(world.place, monday, agent="ops"))
            case "a delivery report" if self.strangers:
                key, text = "s1/say", self.text_of(SOMEBODY)
                failed = world.inbox.delivery_failed
                self.do(failed(world.thread.id, "mail", key=key, recipient="x", error=text, event_id=text))
            case _:
                self.do(world.trigger("merged"))
        self.a_call_is_chosen()

    def a_call_is_chosen(self) -> None:
        self.world.model.forget()
        self.world.model.answers(Push(target="prod"), Touch())
        self.runs()

    @rule(
        asks=st.sampled_from(EVERYBODY),
        proposes=st.sampled_from([ANN, FAY, CAT]),
        votes=st.lists(st.sampled_from([ANN, FAY, BOB]), min_size=1, max_size=2),
        words=st.booleans(),
    )
    def somebody_says_no_and_what_to_do_instead(
        self, asks: Person, proposes: Person, votes: list[Person], words: bool
    ) -> None:
        self.a_push_is_asked_for_and_voted_on([], 0, asks)
        self.world.model.forget()
        self.world.model.answers(Push(target="west"))
        self.do(self.world.reject(f"west instead, {self.text_of(proposes)}" if words else "", by=proposes))
        self.runs()
        for by in (proposes, *votes):
            self.do(self.world.approve(by=by))
        self.runs()

    @rule(by=st.sampled_from(EVERYBODY), approves=st.booleans())
    def anybody_decides(self, by: Person, approves: bool) -> None:
        comment = f"well, {self.text_of(by)}"
        self.do(self.world.approve(by, comment) if approves else self.world.reject(comment, by=by))

    @rule(
        votes=st.lists(st.sampled_from(EVERYBODY), min_size=1, max_size=4),
        seconds=st.sampled_from([0, 0, 25, 45, 89, 90, 91]),
        asks=st.sampled_from([DAN, DAN, CAT, ANN, TOKEN, ANN_AT_HOME]),
        group=st.sampled_from([*QUORUM]),
    )
    def a_push_is_asked_for_and_voted_on(
        self, votes: list[Person], seconds: int, asks: Person, group: str = "release"
    ) -> None:
        self.the_team_changes_its_mind(self.authority.requester_may, group)
        self.world.model.forget()
        self.world.model.answers(Push(target="prod"))
        self.says("push it", asks)
        self.runs()
        self.world.clock.advance(seconds)
        for by in votes:
            self.do(self.world.approve(by=by))
        self.runs()

    @rule(
        votes=st.permutations([ANN, BOB, FAY, GUS]),
        change=st.sampled_from(["leaves", "changes groups", "setup", "it takes two", "it takes a lead", "nothing"]),
        group=st.sampled_from(["team", "release"]),
        again=st.booleans(),
    )
    def a_push_is_approved_and_before_it_runs_something_changes(
        self, votes: list[Person], change: str, group: str, again: bool
    ) -> None:
        self.authority.requester_may = False
        self.everybody_is_back_where_they_were()
        self.a_push_is_asked_for_and_voted_on([], 0, DAN, group)
        for by in votes[: QUORUM[group]]:
            self.do(self.world.approve(by=by))
        voter = who(votes[0])
        match change:
            case "leaves":
                self.somebody_gets_other_groups_or_leaves(voter, None)
            case "changes groups":
                self.somebody_gets_other_groups_or_leaves(voter, ("leads",))
            case "setup":
                self.a_push_would_run_something_else()
            case "it takes two":
                self.the_team_changes_its_mind(False, "release")
            case "it takes a lead":
                self.the_team_changes_its_mind(False, "leads")
            case _:
                pass
        self.reached["approved, then something changed"] += self.world.thread.pending is None and change != "nothing"
        if again:  # What does not hold any more is asked anew.
            self.world.model.forget()
            self.world.model.answers(Push(target="prod"))
        self.runs()
        for by in votes[-2:]:
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
            self.says("do it", DAN)
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
        grant = StandingGranted(
            id=f"g{len(self.granted)}",
            at=now,
            agent="ops",
            intent="push",
            by=CAT.model_copy(update={"member": "cat"}),
            groups=("leads",),
            until=now + timedelta(seconds=seconds),
            reason=f"release day, {self.text_of(CAT)}",
        )
        self.granted.append(grant)
        self.authority.grants.append(grant)

    @rule()
    def a_lead_revokes(self) -> None:
        self.do(self.revokes())

    async def revokes(self) -> None:
        log = await self.world.store.real.load(self.world.thread.id)
        self.revoked |= dict.fromkeys((grant.id for grant in self.authority.grants), log.version)
        self.authority.grants.clear()

    @rule(seconds=st.sampled_from([10, 60]))
    def a_lead_revokes_before_what_it_approved_begins(self, seconds: int) -> None:
        self.a_lead_grants(seconds)
        self.world.store.after(ApprovalDecided, self.revokes)
        self.a_push_is_asked_for_and_voted_on([], 0, DAN)

    def check_approval(self, before: Thread, step: StepState, new: ToolStarted) -> None:
        story = [e for e in before.events if getattr(e, "step", "") == step.id]
        request = next(e for e in story if isinstance(e, ApprovalRequested))
        chosen = next(e for e in story if isinstance(e, StepChosen))
        assert request.digest == digest_of(before.id, chosen, request)
        decisions = [
            e
            for e in story
            if isinstance(e, ApprovalDecided) and e.digest == request.digest and e.by.trust == "verified"
        ]
        asked_at = before.events.index(request)
        assert self.team_when(asked_at).setup == self.team_now.setup, "it runs something else than what was shown"
        authors = self.authors(before, chosen)
        shown_apart, apart_now = request.policy.get("requester_may") is False, not self.authority.requester_may
        apart = shown_apart or apart_now
        behind = {who(author) for author in authors if author.trust != "unverified"}
        team = self.team_now
        maybe_anybody = apart and any(team.may_be_anybody(author) for author in authors)
        self.reached[f"{step.chosen.intent} begun for a stranger"] += maybe_anybody
        if grant := request.policy.get("standing"):
            self.reached["push started by a standing approval"] += 1
            [decision] = [e for e in decisions if e.standing]
            [granted] = [g for g in self.granted if g.id == grant == decision.standing]
            assert new.at < granted.until
            assert before.version < self.revoked.get(granted.id, before.version + 1), "it was revoked before"
            assert "leads" in team.groups.get("cat", ()), "who granted it may not any more"
            assert not self.is_doubtful(before, chosen)
            assert not maybe_anybody, "it may be the own call of who granted it"
            assert not (apart and who(granted.by) in behind), "who granted it has asked for it"
            return
        shown, today = str(request.policy["group"]), self.authority.group
        self.reached[f"push started by a quorum of {QUORUM[shown]}"] += 1
        needed = max(QUORUM[shown], 2 if maybe_anybody else 1)
        counting = self.entitled(before, request, decisions, needed)
        then = {who(e.by) for e in counting} - (behind if shown_apart else set())
        assert len(then) >= needed, f"only {then} had approved it"
        wide = [e for e in counting if e.at >= request.at + WIDEN]
        still = {
            who(e.by)
            for e in counting
            if team.groups.get(who(e.by), set()) & {today, *(["leads"] if e in wide else [])}
        }
        assert len(still - (behind if apart else set())) >= max(needed, QUORUM[today]), (
            f"only {still} may approve it today"
        )
        self.reached["edited push started"] += bool(chosen.editor)
        self.reached["push started by a lead"] += "cat" in still
        self.reached["push started by a team that has changed"] += self.team_when(asked_at) != team
        proposed = [e for e in before.events if isinstance(e, ApprovalDecided) and not e.approved and e.comment]
        self.reached["push started after a proposal"] += any(who(e.by) in behind for e in proposed)

    def entitled(
        self, before: Thread, request: ApprovalRequested, decisions: list[ApprovalDecided], needed: int
    ) -> list[ApprovalDecided]:
        """The approvals by who was entitled then, by the rule that was shown, in time.

        Raises where somebody had rejected it.
        """
        group, until = str(request.policy["group"]), datetime.fromisoformat(str(request.policy["expires_at"]))
        widened = [e for e in before.events if isinstance(e, TimerFired) and e.timer == f"{request.step}/widen/0"]
        wide_from = before.events.index(widened[0]) if widened else before.version
        found: list[ApprovalDecided] = []
        for decision in decisions:
            index = before.events.index(decision)
            groups = self.team_when(index).groups.get(who(decision.by), set())
            allowed = {group, "leads"} if index > wide_from else {group}
            if not groups & allowed or decision.standing or decision.at >= until:
                continue
            if decision.approved:
                found.append(decision)
            elif len({who(e.by) for e in found}) < needed:
                raise AssertionError(f"{decision.id} had rejected it")
        return found
