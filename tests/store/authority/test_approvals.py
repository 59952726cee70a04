"""Who may approve what, told as stories over the real loop and inbox, and as a property of whatever people do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import NoReturn

import pytest
import structlog.testing

from agent.loop import Postponed
from agent.model.base import ModelBusy, ModelFailure
from agent.steps import LookAgain, SetReminder, Step
from bot.inbox import Inbox
from bot.team.people import Member, People
from channels.base import SendFailed
from channels.inbound import Refused
from store import keys
from store.deliveries import MessageSent
from store.events import (
    CRON,
    AgentChanged,
    ApprovalDecided,
    ApprovalRequested,
    StepChosen,
    ThreadOpened,
    TriggerReceived,
)
from store.standing import StandingGranted
from store.values import Person, Place
from tests.matrices import explore
from tests.store.authority.pushing import Rules, pushing
from tests.stories.anybody_governed import ANN_BY_MAIL, CAT, DAN, PEOPLE, AnybodyUnderPolicies
from tests.telling.playbook import Push, Touch, World, done
from tests.telling.story import ANN, BOB, EVE, PLACE


async def test_it_takes_two_and_everybody_sees_how_far_it_is() -> None:
    world = await pushing(group="release", quorum=2, asks=True)
    assert world.lines[-2:] == ["requested: push(target: prod)", "room: requested: push(target: prod)"]
    first = await world.approve(ANN)
    assert (first.outcome, first.text) == ("counted", "Counted, 1 of 2 approvals: push target=prod")
    assert await world.run() == ["counted: push, 1 of 2", "room: counted: push, 1 of 2"]
    again = await world.approve(ANN_BY_MAIL)
    assert (again.outcome, again.text) == ("too_late", "Your approval was already counted. Nothing was changed.")
    assert await world.run() == []
    world.model.answers(done())
    assert (await world.approve(BOB)).outcome == "settled"
    assert await world.run() == [
        "settled: push approved by Bob",
        "ran: push(target: prod)",
        "said: Done.",
        "room: settled: push approved by Bob",
    ]


async def test_two_who_vote_at_the_same_moment_are_both_counted() -> None:
    world = await pushing(group="release", quorum=2)
    votes = (world.inbox.decide(world.thread.id, by, approved=True, digest=world.digest) for by in (ANN, BOB))
    outcomes = await asyncio.gather(*votes)
    assert sorted(result.outcome for result in outcomes) == ["counted", "settled"]
    decided = [e for e in (await world.store.load(world.thread.id)).events if isinstance(e, ApprovalDecided)]
    assert [(e.by.member, e.groups) for e in decided] == [("ann", ("release",)), ("bob", ("release",))]


async def test_the_same_click_three_times_is_one_vote() -> None:
    world = await pushing(group="release", quorum=2)
    outcomes = [(await world.approve(ANN)).outcome for _ in range(3)]
    assert outcomes[0] == "counted"
    pending = (await world.store.load(world.thread.id)).pending
    assert pending
    assert [vote.by.member for vote in pending.votes] == ["ann"]


async def test_who_may_not_is_told_who_may_and_it_is_on_record() -> None:
    world = await pushing(group="release", requester_may=False)
    for by in (DAN, CAT, EVE):
        result = await world.approve(by)
        assert result.outcome == "not_entitled"
    assert result.text == (
        "You may not decide on this request. I cannot verify who you are. Your attempt is on record."
    )
    assert (await world.approve(CAT)).text == (
        "You may not decide on this request. Only release may decide it. Your attempt is on record."
    )
    assert sum(isinstance(e, ApprovalDecided) for e in world.thread.events) == 3
    assert world.thread.status == "waiting_for_approval"


async def test_who_asked_may_not_approve_under_any_address() -> None:
    world = World(people=PEOPLE, authority=Rules(group="release", requester_may=False))
    world.model.answers(Push(target="prod"))
    await world.say("push it", by=ANN)
    await world.run()
    assert (await world.approve(ANN_BY_MAIL)).outcome == "not_entitled"
    # Who speaks after it was requested has not asked for it.
    world.model.answers(Push(target="prod"))
    await world.say("what is it for?", by=BOB)
    await world.run()
    assert (await world.approve(BOB)).outcome == "settled"


async def test_what_too_few_may_ever_approve_is_refused_at_once_and_says_why() -> None:
    rules = Rules(group="release", quorum=2)
    rules.unsatisfiable = "It takes 2 of release, and that is Ann."
    world = World(authority=rules)
    world.model.answers(Push(target="prod"), done("Too few may approve that."))
    await world.say("push it")
    assert await world.run() == ["said: Too few may approve that."]
    assert "It takes 2 of release, and that is Ann." in world.model.prompts[-1]


async def test_without_a_policy_nobody_may_approve_and_the_model_is_told() -> None:
    rules = Rules()
    rules.terms = None
    world = World(authority=rules)
    world.model.answers(Push(target="prod"), done("Nobody may approve that here."))
    await world.say("push it")
    assert await world.run() == ["said: Nobody may approve that here."]
    assert "nobody may approve push with these arguments" in world.model.prompts[-1]


async def test_the_requesters_are_passed_to_the_authority() -> None:
    rules = Rules(group="anyone")
    world = World(people=PEOPLE, authority=rules)
    world.model.answers(Push(target="prod"), Push(target="staging"))
    await world.say("push it", by=ANN)
    await world.run()
    await world.say("no, to staging", by=EVE)
    await world.run()
    first, second = rules.call
    assert (first.intent, first.arguments["target"], first.requesters) == ("push", "prod", ("ann", "u1"))
    assert not first.unverified
    assert (second.arguments, second.requesters, second.unverified) == (
        {"target": "staging"},
        ("ann", "u1"),
        True,
    )
    # What was said in somebody's name, and not verified, is not theirs; and whose it is, nobody knows.
    assert (first.strangers, second.strangers) == ((), ("U3 (unverified)",))


async def test_remind_then_widen_then_expire() -> None:
    minutes = {"remind_at": 30, "widen_at": 60, "expires_at": 240}
    at = {name: timedelta(minutes=n) for name, n in minutes.items()}
    world = await pushing(group="release", then="leads", asks=True, **at)
    assert (await world.approve(CAT)).outcome == "not_entitled"
    assert await world.advance(29 * 60) == []
    assert await world.advance(60) == ["reminded: push, for release", "room: reminded: push, for release"]
    assert await world.advance(30 * 60) == [
        "reminded: push, for release or leads",
        "room: reminded: push, for release or leads",
        "room: requested: push(target: prod)",
    ]
    world.model.answers(done("Nobody was there."))
    assert await world.advance(180 * 60) == [
        "settled: push expired",
        "said: Nobody was there.",
        "room: settled: push expired",
        "room: settled: push expired",
    ]
    assert "<approval_expired>" in world.model.prompts[-1]
    late = await world.approve(ANN)
    assert (late.outcome, late.text) == ("expired", "This request has expired; it will not run. Nothing was changed.")
    assert world.desk.ran == []


async def test_a_lead_who_was_refused_first_may_approve_once_it_was_widened() -> None:
    world = await pushing(group="release", then="leads", widen_at=timedelta(minutes=1))
    assert (await world.approve(CAT)).outcome == "not_entitled"
    await world.advance(60)
    assert (await world.approve(CAT)).outcome == "settled"


async def test_somebody_of_no_group_who_was_refused_first_may_approve_once_it_was_widened_to_anyone() -> None:
    world = await pushing(group="release", then="anyone", widen_at=timedelta(minutes=1))
    assert (await world.approve(DAN)).outcome == "not_entitled"
    await world.advance(60)
    assert (await world.approve(DAN)).outcome == "settled"


async def test_nobody_is_reminded_of_what_expired_while_no_worker_was_there() -> None:
    at = {"remind_at": timedelta(minutes=30), "widen_at": timedelta(hours=1), "expires_at": timedelta(hours=4)}
    world = await pushing(group="release", then="leads", **at)
    world.model.answers(done())
    lines = await world.advance(5 * 3600)
    assert lines == ["settled: push expired", "said: Done."]
    fired = [e.timer for e in world.thread.events if e.kind == "timer_fired" and hasattr(e, "timer")]
    assert [timer.split("/")[1] for timer in fired] == ["expire"]


async def test_a_clock_that_jumps_climbs_no_rung_twice() -> None:
    at = {"remind_at": timedelta(minutes=30), "widen_at": timedelta(hours=1), "expires_at": timedelta(hours=4)}
    world = await pushing(group="release", then="leads", **at)
    assert await world.advance(1800) == ["reminded: push, for release"]
    assert await world.advance(-3600) == []
    assert await world.advance(3600) == []
    assert (await world.advance(1800))[0] == "reminded: push, for release or leads"
    await world.advance(-7200)
    world.model.answers(done())
    assert (await world.advance(5 * 3600))[0] == "settled: push expired"
    await world.advance(-4 * 3600)
    # By this clock there is time again; by the log there is none.
    assert (await world.approve(ANN)).outcome in ("too_late", "expired")
    assert world.desk.ran == []


async def test_a_reminder_that_people_had_set_before_a_rejection_asks_again() -> None:
    world = World()
    world.model.answers(SetReminder(in_minutes=10, note="Propose it again."), Push(target="prod"))
    await world.say("push to prod, please, and propose it again in ten minutes")
    await world.run()
    await world.reject()
    world.model.answers(done("As you wish."))
    await world.run()
    world.model.answers(Push(target="prod"))
    assert await world.advance(601) == ["requested: push(target: prod)"]


async def test_a_reminder_that_the_model_sets_after_a_rejection_asks_nobody_again() -> None:
    world = await pushing()
    await world.reject()
    world.model.answers(SetReminder(in_minutes=10, note="Propose it again."), done("As you wish."))
    await world.run()
    world.model.answers(Push(target="prod"), done("I see."))
    assert await world.advance(601) == ["said: I see."]
    assert "This was rejected, without a reason." in world.model.prompts[-1]


async def test_what_was_rejected_without_a_reason_is_not_asked_again_before_somebody_writes() -> None:
    world = await pushing()
    await world.reject(by=BOB)
    world.model.answers(Push(target="prod"), done("As you like."))
    assert (await world.run())[-1] == "said: As you like."
    assert "This was rejected, without a reason." in world.model.prompts[-1]
    world.model.answers(Push(target="prod"))
    await world.say("now, please", by=BOB)
    await world.run()
    assert world.thread.pending


@pytest.mark.parametrize("comment", ["no", "not before lunch"])
async def test_what_was_rejected_with_a_comment_is_not_asked_again_at_once(comment: str) -> None:
    world = await pushing()
    await world.reject(comment, by=BOB)
    world.model.answers(Push(target="prod"), done("As you like."))
    assert (await world.run())[-1] == "said: As you like."
    assert "This was rejected, and nothing has begun since." in world.model.prompts[-1]
    world.model.answers(Push(target="prod"))
    await world.say("now, please", by=BOB)
    await world.run()
    assert world.thread.pending


async def test_what_a_comment_wants_first_begins_and_then_it_is_proposed_again() -> None:
    world = await pushing()
    await world.reject("touch it first", by=BOB)
    world.model.answers(Touch(), Push(target="prod"))
    assert (await world.run())[-2:] == ["ran: touch", "requested: push(target: prod)"]


async def test_another_call_that_only_waits_changes_nothing_about_what_was_rejected() -> None:
    world = await pushing()
    await world.reject("staging first", by=BOB)
    world.model.answers(Push(target="staging"))
    await world.run()
    await world.reject("no", by=BOB)
    world.model.answers(Push(target="prod"), done("I see."))
    assert (await world.run())[-1] == "said: I see."
    world.model.answers(Push(target="staging"))
    await world.say("staging, then", by=BOB)
    await world.run()
    await world.approve(by=BOB)
    world.model.answers(Push(target="prod"))
    assert (await world.run())[-1] == "requested: push(target: prod)"


@pytest.mark.parametrize(
    "waits", [LookAgain(in_minutes=10, reason="as they say"), SetReminder(in_minutes=10, note="Ask.")]
)
async def test_a_comment_may_wish_to_be_asked_again_later(waits: Step) -> None:
    world = await pushing()
    await world.reject("ask again in ten minutes", by=BOB)
    world.model.answers(waits, *([done("I will.")] if isinstance(waits, SetReminder) else []))
    await world.run()
    world.model.answers(Push(target="prod"))
    assert (await world.advance(601))[-1] == "requested: push(target: prod)"


async def test_an_edit_to_what_was_rejected_before_is_a_request_of_its_own() -> None:
    world = await pushing()
    await world.reject(by=BOB)
    world.model.answers(Push(target="staging"))
    await world.run()
    waits = world.thread.pending
    assert waits is not None
    world.thread = await world.inbox.edit(
        world.thread.id, BOB, step_id=waits.step, digest=waits.digest, arguments={"target": "prod"}, proof="test"
    )
    await world.run()
    assert world.thread.pending
    assert world.thread.pending.chosen.arguments == {"target": "prod"}


async def test_what_nobody_decided_is_not_asked_again_before_somebody_writes() -> None:
    world = await pushing(group="release", expires_at=timedelta(hours=1))
    world.model.answers(Push(target="prod"), done("Nobody was there."))
    assert await world.advance(3600) == ["settled: push expired", "said: Nobody was there."]
    assert "Nobody decided on this in time." in world.model.prompts[-1]
    world.model.answers(Push(target="prod"))
    await world.say("now I am here, once more please", by=BOB)
    assert await world.run() == ["requested: push(target: prod)"]


async def test_a_click_at_the_very_end_and_the_expiry_settle_it_once() -> None:
    for order in ("click", "timer"):
        world = await pushing(group="release", expires_at=timedelta(hours=1))
        world.clock.advance(3600)
        world.model.answers(done())
        if order == "timer":
            await world.run()
        assert (await world.approve(ANN)).outcome == "expired"
        await world.run()
        assert world.desk.ran == []
        assert world.thread.state.steps[next(iter(world.thread.state.steps))].status == "expired"


async def test_an_approval_that_lay_too_long_begins_nothing() -> None:
    world = await pushing(group="release", expires_at=timedelta(hours=1))
    await world.approve(ANN)
    await world.pause()
    await world.advance(3600)
    await world.resume()
    world.model.answers(done("It has expired."))
    assert await world.run() == ["settled: push refused by Ann", "said: It has expired."]
    assert world.desk.ran == []


async def test_an_edited_call_is_a_new_request() -> None:
    world = await pushing(group="release", requester_may=False)
    request = world.thread.pending
    assert request is not None
    old = request.digest
    world.thread = await world.inbox.edit(
        world.thread.id, ANN, step_id=request.step, digest=old, arguments={"target": "staging"}, proof="test"
    )
    edit = world.thread.events[-1]
    assert isinstance(edit, StepChosen)
    assert (edit.by, edit.editor, edit.edits, edit.acts) == ("person", PEOPLE.identified(ANN), request.step, True)
    assert await world.run() == ["settled: push changed by Ann", "requested: push(target: staging)"]
    # The old card decides nothing, and who has changed the call has asked for it.
    assert (await world.approve(BOB, step_id=request.step)).outcome == "too_late"
    assert (await world.approve(BOB, digest=old)).outcome == "other_request"
    assert (await world.approve(ANN)).outcome == "not_entitled"
    world.model.answers(done())
    assert (await world.approve(BOB)).outcome == "settled"
    assert (await world.run())[-2:] == ["ran: push(target: staging)", "said: Done."]
    assert "changed_by: Ann" in world.model.prompts[-1]


@pytest.mark.parametrize(
    ("by", "arguments", "digest", "says"),
    [
        (CAT, {"target": "staging"}, "", "Only release may decide it."),
        (EVE, {"target": "staging"}, "", "I cannot verify who you are."),
        (ANN, {"target": "prod"}, "", "Nothing is different"),
        (ANN, {}, "", "Nothing is different"),
        (ANN, {"force": "yes"}, "", "'force' cannot be edited; editable: target."),
        (ANN, {"target": "staging"}, "0123456789abcdef", "That belongs to a different request"),
        (ANN, {"target": "x" * 300_000}, "", "That is too long"),
    ],
)
async def test_what_cannot_be_edited(by: Person, arguments: dict[str, str], digest: str, says: str) -> None:
    world = await pushing(group="release")
    pending = world.thread.pending
    assert pending is not None
    with pytest.raises(Refused) as refused:
        await world.inbox.edit(
            world.thread.id,
            by,
            step_id=pending.step,
            digest=digest or pending.digest,
            arguments=arguments,
            proof="test",
        )
    assert says in str(refused.value)
    assert (await world.store.load(world.thread.id)).pending == pending


async def test_an_edit_that_makes_no_sense_is_told_and_leaves_the_request_as_it_was() -> None:
    world = await pushing(group="release", quorum=2)
    await world.approve(BOB)
    await world.run()
    pending = world.thread.pending
    assert pending is not None
    world.thread = await world.inbox.edit(
        world.thread.id, ANN, step_id="", digest=pending.digest, arguments={"target": "nowhere"}, proof="test"
    )
    asked = len(world.model.prompts)
    assert await world.run() == [
        "noted: The edit by Ann was not possible: There is no target 'nowhere'. Try 'prod'. "
        "The original request is unchanged."
    ]
    assert len(world.model.prompts) == asked
    world.model.answers(done())
    assert (await world.approve(ANN)).outcome == "settled"
    assert await world.run() == ["settled: push approved by Ann", "ran: push(target: prod)", "said: Done."]


async def test_what_is_approved_while_its_change_is_looked_at_is_not_begun() -> None:
    world = await pushing(group="release")
    pending = world.thread.pending
    assert pending is not None

    async def approve() -> None:
        await world.inbox.decide(world.thread.id, BOB, approved=True, digest=pending.digest)

    world.store.before(ApprovalRequested, approve)
    world.thread = await world.inbox.edit(
        world.thread.id, ANN, step_id="", digest=pending.digest, arguments={"target": "staging"}, proof="test"
    )
    lines = await world.run()
    assert lines[-1] == "requested: push(target: staging)"
    assert world.desk.ran == []


async def test_an_approval_and_an_edit_at_the_same_moment() -> None:
    """Whichever is first: never does the edited call run by the approval of the other."""
    for edit_first in (True, False):
        world = await pushing(group="release")
        pending = world.thread.pending
        assert pending is not None
        digest = pending.digest
        edit = world.inbox.edit(
            world.thread.id, ANN, step_id=pending.step, digest=digest, arguments={"target": "staging"}, proof="test"
        )
        approve = world.inbox.decide(world.thread.id, BOB, approved=True, step_id=pending.step, digest=digest)
        calls = [edit, approve] if edit_first else [approve, edit]
        await asyncio.gather(*calls, return_exceptions=True)
        world.model.otherwise = lambda _: done()
        await world.run()
        assert world.desk.ran in ([], ["push(target: prod)"])


async def test_who_was_met_before_anybody_knew_who_they_are_is_still_one_person() -> None:
    """Slack's history names no mail address, and may be slower than the click."""
    unknown = Person(name="Hal", address="U9", trust="third_party")
    known = Person(name="Hal", address="U9", trust="verified", email="hal@example.com", member="hal")
    people = People({"hal": Member(name="Hal", emails=("hal@example.com",), groups=("release",))})
    world = World(people=people, authority=Rules(group="release", requester_may=False))
    world.model.answers(Push(target="prod"))
    await world.say("please push prod", by=unknown)
    await world.run()
    assert (await world.approve(known)).outcome == "not_entitled"

    world = World(people=people, authority=Rules(group="anyone", quorum=2))
    world.model.answers(Push(target="prod"))
    await world.say("please push prod", by=DAN)
    await world.run()
    assert (await world.approve(known)).outcome == "counted"
    # By another address, which the team file does not know and Slack vouches for.
    by_mail = Person(name="Hal", address="hal@example.com", trust="verified")
    assert (await world.approve(by_mail)).outcome == "too_late"
    assert world.thread.status == "waiting_for_approval"


async def test_what_people_call_themselves_says_nothing() -> None:
    world = World(people=PEOPLE, authority=Rules(group="release", requester_may=False))
    world.model.answers(Push(target="prod"))
    await world.say("build 7 is green", by=Person(name="ann", address="", trust="third_party"))
    await world.run()
    assert (await world.approve(ANN)).outcome == "counted", "she has not asked for it; nobody knows who has"
    assert (await world.approve(BOB)).outcome == "settled"


async def test_a_click_that_did_not_count_does_not_keep_a_later_one_from_counting() -> None:
    world = await pushing(group="team")
    ida = Person(name="Ida", address="U9", trust="verified")
    assert (await world.approve(ida)).outcome == "not_entitled"
    known = People({**PEOPLE.members, "ida": Member(name="Ida", slack="U9")})
    inbox = Inbox(world.store.real, people=known, clock=world.clock)
    result = await inbox.decide(world.thread.id, ida, approved=True, digest=world.digest)
    assert result.outcome == "settled"


async def test_an_edit_is_asked_for_also_where_the_thread_rests_with_a_person() -> None:
    world = await pushing(group="release")
    world.model.answers(*[ModelFailure("invalid", "no step in it")] * 3)
    await world.say("how is it going?", by=DAN)
    await world.run()
    assert world.thread.status == "handed_to_human"
    pending = world.thread.pending
    assert pending is not None
    await world.inbox.edit(
        world.thread.id, BOB, step_id="", digest=pending.digest, arguments={"target": "east"}, proof="test"
    )
    world.model.otherwise = lambda _: done("It waits.")
    lines = await world.run()
    assert "requested: push(target: east)" in lines


async def test_any_number_of_edits_keeps_its_step_short() -> None:
    world = await pushing(group="release")
    for number in range(40):
        pending = world.thread.pending
        assert pending is not None
        digest = pending.digest
        target = "east" if number % 2 else "west"
        await world.inbox.edit(
            world.thread.id, BOB, step_id="", digest=digest, arguments={"target": target}, proof="test"
        )
        await world.run()
    pending = world.thread.pending
    assert pending is not None
    assert len(pending.step) < 20
    world.model.answers(done())
    assert (await world.approve(ANN)).outcome == "settled"


async def test_what_a_person_has_changed_is_asked_for_even_where_the_tool_would_not() -> None:
    class Sometimes(Push):
        """Push; to staging without an approval."""

        def needs_approval(self) -> bool:
            return self.target == "prod"

    world = World(people=PEOPLE, authority=Rules(group="release"), tools=(Sometimes,))
    world.model.answers(Sometimes(target="prod"))
    await world.say("push it", by=DAN)
    await world.run()
    pending = world.thread.pending
    assert pending is not None
    await world.inbox.edit(
        world.thread.id, BOB, step_id="", digest=pending.digest, arguments={"target": "staging"}, proof="test"
    )
    assert (await world.run())[-1] == "requested: sometimes(target: staging)"
    assert world.desk.ran == []


async def test_a_request_does_not_outlive_the_agent_that_made_it() -> None:
    world = await pushing(group="release")
    await world.log(AgentChanged(id="to-other/agent", at=world.clock(), agent="ops", reason="the tests failed"))
    world.model.otherwise = lambda _: done()
    assert (await world.approve(ANN)).outcome == "too_late"
    assert "settled: push superseded" in await world.run()
    assert world.desk.ran == []


async def test_places_that_do_not_answer_keep_nobody_here_waiting() -> None:
    world = await pushing(group="release", asks=True)
    world.rooms["room"].fails_with = SendFailed("slow down", 5)
    world.model.answers(done())
    await world.approve(ANN)
    lines = await world.run()
    assert lines == ["settled: push approved by Ann", "ran: push(target: prod)", "said: Done."]
    world.rooms["room"].fails_with = None
    assert await world.advance(10) == ["room: settled: push approved by Ann"]


async def test_a_busy_model_holds_no_message_for_another_place_back() -> None:
    async def busy(_: str) -> NoReturn:
        raise ModelBusy(1)

    world = World(people=PEOPLE, authority=Rules(group="release", asks=True), rooms=["room"])
    world.model.answers(Push(target="prod"), busy, busy)
    world.store.after(ApprovalRequested, lambda: world.say("how is it going?", by=DAN))
    await world.say("push it", by=DAN)
    with pytest.raises(Postponed):
        await world.run()
    assert world.lines == ["requested: push(target: prod)", "room: requested: push(target: prod)"]


async def test_where_something_could_not_be_said_is_told() -> None:
    world = World(people=PEOPLE, authority=Rules(group="release", asks=True), rooms=["room"])
    world.rooms["room"].fails_with = SendFailed("That channel is archived.")
    world.model.answers(Push(target="prod"))
    await world.say("push it", by=DAN)
    lines = await world.run()
    assert lines[0] == "requested: push(target: prod)"
    assert "I could not send a message in room:/C1/ (That channel is archived)." in lines[1]


async def test_a_record_is_nobody_to_talk_to() -> None:
    world = await pushing(group="release")
    now = world.clock()
    opened = ThreadOpened(id=keys.OPENED, at=now, agent="", place=Place(channel="terminal", address="standing"))
    await world.store.post("standing", opened, grant(world))
    for call in (
        world.inbox.say("standing", ANN, "hello"),
        world.inbox.cancel("standing", ANN),
        world.inbox.pause("standing", ANN),
        world.inbox.fork("standing", 1, ANN, PLACE),
    ):
        with pytest.raises(Refused, match="a record, not a conversation"):
            await call


async def test_the_conversation_stays_where_it_is_held() -> None:
    """A mail to the group would quote it, and be written to all who were in copy here."""
    world = await pushing(group="release", asks=True)
    [elsewhere] = world.rooms["room"].so_far.values()
    assert [event.kind for event in elsewhere] == ["approval_requested"]
    [here] = [events for key, events in world.channel.so_far.items() if key.endswith("/card")]
    assert [event.kind for event in here][1:2] == ["message_received"]
    assert here[-1] == elsewhere[-1]


async def test_where_nothing_waits_there_is_nothing_to_edit() -> None:
    world = World()
    world.model.answers(done())
    await world.say("hello")
    await world.run()
    for step_id in ("", "s1"):
        with pytest.raises(Refused, match="has no such open request"):
            await world.inbox.edit(
                world.thread.id, ANN, step_id=step_id, digest="0" * 64, arguments={"target": "staging"}, proof="test"
            )


async def test_a_request_that_is_not_the_one_that_waits_is_not_edited() -> None:
    world = await pushing(group="release")
    assert world.thread.pending
    with pytest.raises(Refused, match="has no such open request"):
        await world.inbox.edit(
            world.thread.id,
            ANN,
            step_id="s99",
            digest=world.thread.pending.digest,
            arguments={"target": "staging"},
            proof="test",
        )


async def test_a_copy_of_a_thread_is_held_where_it_was_asked_for() -> None:
    world = await pushing(group="release")
    elsewhere = Place(channel="terminal", address="T1/C1/1.1")
    await world.log(MessageSent(id="x/sent", at=world.clock(), key="x", place=elsewhere))
    copy = await world.inbox.fork(world.thread.id, world.thread.version, ANN, Place(channel="terminal", address="copy"))
    assert copy.place.address == "copy"


async def test_a_copy_does_not_go_where_there_is_a_thread_already() -> None:
    world = await pushing(group="release")
    taken = Place(channel="terminal", address="taken")
    there = await world.inbox.fork(world.thread.id, 1, ANN, taken)
    with pytest.raises(Refused, match="There is a thread at terminal:taken already"):
        await world.inbox.fork(world.thread.id, world.thread.version, BOB, taken)
    assert (await world.store.load(there.id)).events == there.events


@pytest.mark.parametrize(("digits", "outcome"), [(7, "other_request"), (8, "settled")])
async def test_the_first_digits_of_a_digest_name_a_request_if_they_are_enough(digits: int, outcome: str) -> None:
    world = await pushing(group="release")
    assert world.thread.pending
    result = await world.approve(ANN, digest=world.thread.pending.digest[:digits])
    assert result.outcome == outcome


def grant(world: World, seconds: float = 3600) -> StandingGranted:
    now = world.clock()
    return StandingGranted(
        id="g1",
        at=now,
        agent="ops",
        intent="push",
        by=CAT.model_copy(update={"member": "cat"}),
        groups=("leads",),
        until=now + timedelta(seconds=seconds),
        reason="release day",
    )


async def test_a_standing_approval_settles_it_at_once_and_says_so() -> None:
    rules = Rules(group="release", quorum=2)
    world = World(people=PEOPLE, authority=rules)
    rules.grant = grant(world)
    world.model.answers(Push(target="prod"), done())
    await world.say("push it", by=DAN)
    assert await world.run() == [
        "settled: push approved by Cat: release day",
        "ran: push(target: prod)",
        "said: Done.",
    ]
    [request] = [e for e in world.thread.events if isinstance(e, ApprovalRequested)]
    [decision] = [e for e in world.thread.events if isinstance(e, ApprovalDecided)]
    assert request.policy["standing"] == decision.standing == "g1"
    assert decision.proof == "standing approval g1, until 2026-11-20 10:00 UTC"


async def test_what_must_be_shown_to_people_is_not_approved_beforehand() -> None:
    class Gated(Push):
        """Push, never without a look."""

        def takes_standing_approval(self) -> bool:
            return False

    rules = Rules(group="release")
    world = World(people=PEOPLE, authority=rules, tools=(Gated,))
    rules.grant = grant(world).model_copy(update={"intent": "gated"})
    world.model.answers(Gated(target="prod"))
    await world.say("push it", by=DAN)
    assert await world.run() == ["requested: gated(target: prod)"]
    assert world.desk.ran == []


async def test_a_standing_approval_that_was_revoked_begins_nothing() -> None:
    rules = Rules(group="release")
    world = World(people=PEOPLE, authority=rules)
    rules.grant = grant(world)
    world.model.answers(Push(target="prod"), done("It was revoked."))

    async def revoke() -> None:
        rules.grant = None

    world.store.after(ApprovalRequested, revoke)
    await world.say("push it", by=DAN)
    settled = [f"settled: push {end} by Cat: release day" for end in ("approved", "refused")]
    assert await world.run() == [*settled, "said: It was revoked."]
    assert world.desk.ran == []


async def test_outreach_asks_before_it_acts() -> None:
    world = World(people=PEOPLE, authority=Rules(group="release"))
    world.model.answers(Touch(), done())
    event = TriggerReceived(id="monday/1", at=world.clock(), source=CRON, name="monday", data={"task": "touch it"})
    world.thread = await world.store.load(await world.inbox.trigger(PLACE, event, agent="ops"))
    assert await world.run() == ["requested: touch"]
    await world.approve(ANN)
    assert await world.run() == ["settled: touch approved by Ann", "ran: touch", "said: Done."]
    # Once somebody has spoken, it acts on their words.
    world.model.answers(Touch(), done())
    await world.say("and once more", by=ANN)
    assert await world.run() == ["ran: touch", "said: Done."]


async def test_it_looks_again_later_and_nothing_sleeps_meanwhile() -> None:
    world = World()
    world.model.answers(LookAgain(in_minutes=20, reason="the tests run"))
    await world.say("tell me when the tests have passed")
    assert await world.run() == []
    assert (world.thread.status, world.thread.turn) == ("waiting", "clock")
    assert await world.advance(19 * 60) == []
    world.model.answers(done("They have passed."))
    assert await world.advance(60) == ["said: They have passed."]
    assert "<time_is_up>\nstep: look_again\nin_minutes: 20\nreason: the tests run\n" in world.model.prompts[-1]


async def test_it_is_heard_while_it_waits_and_still_looks_again() -> None:
    world = World()
    world.model.answers(LookAgain(in_minutes=20, reason="the tests run"))
    await world.say("tell me when the tests have passed")
    await world.run()
    world.model.answers(done("Not yet."))
    await world.say("and?")
    assert await world.run() == ["said: Not yet."]
    assert "waits: look_again" in world.model.prompts[-1]
    world.model.answers(done("They have passed."))
    assert await world.advance(20 * 60) == ["said: They have passed."]


async def test_it_reminds_itself_and_goes_on_until_then() -> None:
    world = World()
    world.model.answers(SetReminder(in_minutes=24 * 60, note="Ask whether v3 is still fine."), done("I will."))
    await world.say("ask me tomorrow how v3 does")
    assert await world.run() == ["said: I will."]
    assert world.thread.turn == "nobody"
    world.model.answers(done("Is v3 still fine?"))
    assert await world.advance(24 * 3600) == ["said: Is v3 still fine?"]


@pytest.fixture
def stage() -> Iterator[None]:
    with asyncio.Runner() as runner, structlog.testing.capture_logs():
        AnybodyUnderPolicies.runner = runner
        yield


@pytest.mark.hypothesis
@pytest.mark.usefixtures("stage")
def test_whatever_people_do_a_push_begins_only_by_a_valid_sufficient_and_unexpired_approval_of_exactly_it() -> None:
    interesting = {
        *(
            "push started by a quorum of 1",
            "push started by a quorum of 2",
            "push started by a standing approval",
            "push started by a lead",
            "push started after a proposal",
            "push begun for a stranger",
            "doubted and started",
            "approved, then something changed",
            "push started by a team that has changed",
        ),
        *("edited push started", "step expired", "step approved", "step rejected"),
    }
    explore(AnybodyUnderPolicies, interesting, AnybodyUnderPolicies.reached)
