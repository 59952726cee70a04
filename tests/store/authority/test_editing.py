"""An approver edits a call instead of approving it: until that is asked for or refused, nothing else is decided."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.speech.messages import outgoing
from channels.inbound import Refused
from channels.messages import Notice
from store import keys
from store.codec import encode
from store.events import (
    ApprovalRequested,
    Event,
    HandedToHuman,
    StepChosen,
    StepRefused,
)
from store.state import Request
from store.thread import Thread
from store.values import Person
from tests.store.authority.pushing import pushing
from tests.telling.anything import any_story
from tests.telling.edits import assert_an_open_edit_holds
from tests.telling.playbook import Rollout, World, done
from tests.telling.story import ANN, AT, BOB, EVE, chosen, edit_of, events_lost, handed_over_to, requested

CHECKING = (
    "Your decision was not counted, because somebody has just edited this request: push target=prod. I am checking "
    "the edited call. If it is possible, a new request follows; please decide on that one. If it is not, I will say "
    "so; then please decide on this request again."
)
CHECKING_LATER = CHECKING.replace(
    "I am checking the edited call.", "I am paused, so I will check the edited call once somebody resumes me."
)
IMPOSSIBLE = "The edit by Ann was not possible: There is no target 'nowhere'. Try 'prod'. "


async def edited(world: World, target: str, by: Person = ANN, request: Request | None = None) -> None:
    pending = request or world.thread.pending
    assert pending
    world.thread = await world.inbox.edit(
        world.thread.id, by, step_id=pending.step, digest=pending.digest, arguments={"target": target}, proof="test"
    )


@pytest.mark.parametrize("point", [ApprovalRequested, StepRefused])
@pytest.mark.parametrize("approved", [True, False])
async def test_what_is_decided_while_an_edit_is_checked_does_not_count_and_the_person_is_told(
    point: type[ApprovalRequested | StepRefused], approved: bool
) -> None:
    world = await pushing(group="release")
    told = []

    async def decide() -> None:
        told.append(await world.inbox.decide(world.thread.id, BOB, approved=approved, digest=world.digest))

    world.store.before(point, decide)
    await edited(world, "staging" if point is ApprovalRequested else "nowhere")
    lines = await world.run()
    [result] = told
    assert (result.outcome, result.text, result.counts) == ("being_edited", CHECKING, False)
    assert world.desk.ran == []
    pending = world.thread.pending
    assert pending
    assert (pending.decision, pending.votes) == (None, ())
    if point is ApprovalRequested:
        assert lines == ["settled: push changed by Ann", "requested: push(target: staging)"]
    else:
        assert lines == [
            f"noted: {IMPOSSIBLE}The original request is unchanged. "
            "Not counted in the meantime: the decision by Bob. Please decide again."
        ]


async def test_a_decision_that_did_not_count_counts_when_it_is_made_again() -> None:
    world = await pushing(group="release")
    for _ in range(2):
        await edited(world, "nowhere")
        assert [(await world.approve(BOB)).outcome for _ in range(2)] == ["being_edited", "being_edited"]
        await world.run()
    world.model.answers(done())
    assert (await world.approve(BOB)).outcome == "settled"
    assert (await world.run())[:2] == ["settled: push approved by Bob", "ran: push(target: prod)"]


async def test_an_edit_is_left_to_workers_that_know_what_it_holds() -> None:
    world = await pushing(group="release")
    await edited(world, "staging")
    assert [event.v for event in world.thread.events if event.v > 1] == [2]
    assert encode(world.thread.events[-1]).startswith(b'{"v":2,"kind":"step_chosen",')


async def test_an_edit_that_was_not_possible_can_be_tried_again() -> None:
    world = await pushing(group="release")
    for _ in range(2):
        await edited(world, "nowhere")
        assert await world.run() == [f"noted: {IMPOSSIBLE}The original request is unchanged."]


async def test_votes_from_before_an_edit_stand_when_it_is_not_possible() -> None:
    world = await pushing(group="release", quorum=2)
    await world.approve(BOB)
    world.clock.advance(1)
    await edited(world, "nowhere")
    assert (await world.approve(BOB)).outcome == "too_late"
    await world.run()
    assert (await world.approve(BOB)).outcome == "too_late"
    assert (await world.approve(ANN)).outcome == "settled"


async def test_who_may_not_decide_is_told_that_also_while_an_edit_is_checked() -> None:
    world = await pushing(group="release")
    await edited(world, "staging")
    assert (await world.approve(EVE)).outcome == "not_entitled"
    assert (await world.approve(BOB, digest="0123456789")).outcome == "other_request"


async def test_a_decision_by_message_is_answered_in_the_thread() -> None:
    world = await pushing(group="release")
    await edited(world, "staging")
    await world.approve(BOB, by_message=True)
    assert f"noted: push: {CHECKING}" in await world.run()


async def test_an_edit_while_another_is_checked_is_refused_and_the_same_one_is_the_same() -> None:
    world = await pushing(group="release")
    request = world.thread.pending
    await edited(world, "staging")
    with pytest.raises(Refused, match="Ann has just edited this request") as refused:
        await edited(world, "east", BOB, request)
    assert refused.value.reason == "moved"
    await edited(world, "staging", request=request)
    assert sum(isinstance(event, StepChosen) and bool(event.edits) for event in world.thread.events) == 1


async def test_wherever_the_card_was_shown_people_hear_that_the_edit_was_not_possible() -> None:
    world = await pushing(group="release", asks=True)
    await edited(world, "nowhere")
    said = f"noted: {IMPOSSIBLE}The original request is unchanged."
    assert await world.run() == [said, f"room: {said}"]


async def test_a_request_that_expired_while_its_edit_was_checked_is_not_called_open() -> None:
    world = await pushing(group="release", expires_at=timedelta(hours=1))
    await edited(world, "nowhere")
    world.model.answers(done("Nobody was there."))
    lines = await world.advance(3600)
    assert f"noted: {IMPOSSIBLE}This request has expired; it will not run." in lines


async def test_what_is_said_before_an_edit_is_read_after_it() -> None:
    """The person who edits answers nobody."""
    world = await pushing(group="release")
    await world.trigger("nightly", task="look at it")
    await edited(world, "staging")
    world.model.answers(done("I looked at it."))
    assert await world.run() == [
        "settled: push changed by Ann",
        "requested: push(target: staging)",
        "said: I looked at it.",
    ]


async def test_it_is_the_agents_turn_while_an_edit_is_checked() -> None:
    world = await pushing(group="release")
    await edited(world, "staging")
    assert (world.thread.status, world.thread.turn) == ("working", "agent")
    await world.run()
    assert world.thread.status == "waiting_for_approval"


UNCHANGED = "The original request is unchanged."
STOPPED = f"The edit by Ann was not checked, because I stopped and need a person. {UNCHANGED}"


def handed_over(now: Thread) -> Event:
    return HandedToHuman(id=keys.handed_over(now.version), at=AT, limit="errors_in_row", reason="Three errors.")


@pytest.mark.parametrize("ends", [handed_over, lambda _: events_lost()])
async def test_an_edit_ends_when_the_thread_is_handed_to_people_and_they_can_decide(
    ends: Callable[[Thread], Event],
) -> None:
    world = await pushing(group="release", asks=True)
    await edited(world, "staging")
    assert (await world.approve(BOB)).outcome == "being_edited"
    await world.log(ends(world.thread))
    lines = await world.run()
    told = f"noted: {STOPPED} Not counted in the meantime: the decision by Bob. Please decide again."
    assert told in lines
    assert f"room: {told}" in lines
    world.model.answers(done())
    assert (await world.approve(BOB)).outcome == "settled"
    assert (await world.run())[:2] == ["settled: push approved by Bob", "ran: push(target: prod)"]


async def test_an_edit_that_ended_at_a_hand_over_can_be_tried_again() -> None:
    world = await pushing(group="release")
    await edited(world, "staging")
    await world.log(handed_over(world.thread))
    await world.run()
    await edited(world, "staging")
    assert await world.run() == ["settled: push changed by Ann", "requested: push(target: staging)"]


async def test_while_the_thread_is_paused_people_are_told_that_nobody_checks_the_edit() -> None:
    world = await pushing(group="release")
    request = world.thread.pending
    await edited(world, "staging")
    await world.pause()
    assert await world.run() == []
    result = await world.approve(BOB, by_message=True)
    assert (result.outcome, result.text) == ("being_edited", CHECKING_LATER)
    assert await world.run() == [f"noted: push: {CHECKING_LATER}"]
    with pytest.raises(Refused, match="I am paused, so I will check that edit once somebody resumes me"):
        await edited(world, "east", BOB, request)
    await world.resume()
    assert "requested: push(target: staging)" in await world.run()


async def test_a_question_that_code_asks_meanwhile_does_not_end_an_edit() -> None:
    world = await pushing(Rollout(), group="release")
    world.desk.during("rollout", lambda: edited(world, "staging"))
    lines = await world.advance(10)
    assert lines == [
        "ran: rollout",
        "asked: I do not know how rollout ended. Did it happen?",
        "settled: push changed by Ann",
        "requested: push(target: staging)",
    ]
    assert world.thread.state.question


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (chosen("s9", "look"), f"something else was chosen in the meantime. {UNCHANGED}"),
        (
            chosen("s9", "look", acts=True),
            "something else was chosen in the meantime. This request is superseded, so there is nothing left to "
            "decide.",
        ),
        (
            handed_over_to("verify"),
            "another agent took over. This request is superseded, so there is nothing left to decide.",
        ),
    ],
)
async def test_whatever_ends_an_edit_people_are_told(event: Event, says: str) -> None:
    """A worker may append these where it writes back what the store had lost."""
    world = await pushing(group="release", asks=True)
    await edited(world, "staging")
    await world.log(event)
    assert said_of(world) == [f"The edit by Ann was not checked, because {says}"] * 2


def said_of(world: World) -> list[str]:
    """What people are to be told of an edit."""
    unsent = (unsent for _, unsent in world.thread.state.outbox.items() if unsent.kind == "edit_ended")
    said = [outgoing(world.thread, each) for each in unsent]
    return [each.text for each in said if isinstance(each, Notice)]


@given(any_story, st.data())
def test_whatever_happened_nothing_is_decided_while_an_edit_is_open(
    story: tuple[Event, ...], data: st.DataObject
) -> None:
    now = Thread("t1")
    asks = data.draw(st.sampled_from([(), (chosen("s1", acts=True), requested("s1", "d1"))]))
    for event in (*story[:2], *asks, *story[2:]):
        if now.pending and now.state.open_edit is None and data.draw(st.integers(0, 3)) == 0:
            now = now.extended([edit_of(now.pending.step)])
        before, now = now, now.extended([event])
        assert_an_open_edit_holds(before, now, event)
