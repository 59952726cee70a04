"""The loop, told as dialogues: what people and the model say, and what comes of it."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from inline_snapshot import snapshot

from agent.definition import Limits
from agent.model.base import ModelFailure
from agent.steps import HandOver, Step, Wait
from channels.base import Card, SendFailed
from channels.inbound import Refused
from store.base import LeaseLost
from store.events import (
    TEXT_CHARS_MAX,
    ApprovalRequested,
    ChoiceFailed,
    MessageReceived,
    MessageSent,
    StepChosen,
    ToolStarted,
)
from store.thread import Thread
from store.values import Person, Place
from tests.telling.playbook import (
    NOTHING,
    Broken,
    BrokenLook,
    Flaky,
    Look,
    Push,
    Slow,
    Stuck,
    StuckLook,
    Touch,
    World,
    ask,
    done,
    killed,
    ops,
    update,
    withdraw,
)
from tests.telling.story import ANN, BOB, EVE, approved, from_the_future, requested

PROD = Push(target="prod")
STAGING = Push(target="staging")


async def asked_to_push(world: World, *later: Step) -> None:
    """Ann asks for a push, and its card is out."""
    world.model.answers(PROD, *later)
    await world.say("push to prod, please")
    assert await world.run() == ["requested: push(target: prod)"]


# As it is meant to be


async def test_a_question_is_answered() -> None:
    world = World()
    world.model.answers(Look(), done("All is well."))
    await world.say("how is it?")
    assert await world.run() == ["ran: look", "said: All is well."]
    assert world.thread.status == "done"


async def test_a_tool_that_needs_approval_runs_after_it() -> None:
    world = World()
    await asked_to_push(world, done("It is out."))
    assert world.thread.status == "waiting_for_approval"
    await world.approve()
    assert await world.run() == ["settled: push approved by Ann", "ran: push(target: prod)", "said: It is out."]
    assert (world.thread.status, world.kinds) == (
        "done",
        snapshot(
            [
                "thread_opened",
                "message_received",
                "step_chosen",
                "approval_requested",
                "message_sent",
                "approval_decided",
                "message_sent",
                "tool_started",
                "tool_finished",
                "step_chosen",
                "message_sent",
            ]
        ),
    )


async def test_the_card_shows_what_is_then_run() -> None:
    world = World()
    await asked_to_push(world, done())
    card = next(message for message in world.channel.sent.values() if isinstance(message, Card))
    assert (card.arguments, card.facts, card.requested_by) == (
        {"target": "prod"},
        {"revision": "newest for prod"},
        "Ann",
    )
    world.desk.facts = {"revision": "one that nobody saw"}
    await world.approve(digest=card.digest)
    await world.run()
    assert world.thread.state.steps["s2"].result == {"pushed": "newest for prod"}


async def test_a_rejection_is_read_and_planned_anew() -> None:
    world = World()
    await asked_to_push(world, STAGING, PROD, done("Both are out."))
    await world.reject("staging first", by=BOB)
    assert await world.run() == ["settled: push rejected by Bob: staging first", "requested: push(target: staging)"]
    assert "approved: false\ncomment: staging first" in world.model.prompts[-1]
    await world.approve()
    assert await world.run() == [
        "settled: push approved by Ann",
        "ran: push(target: staging)",
        "requested: push(target: prod)",
    ]
    await world.approve()
    assert await world.run() == [
        "settled: push approved by Ann",
        "ran: push(target: prod)",
        "said: Both are out.",
    ]


async def test_a_rejection_needs_no_reason() -> None:
    world = World()
    await asked_to_push(world, done("Then not."))
    await world.reject()
    assert await world.run() == ["settled: push rejected by Ann", "said: Then not."]
    assert "comment" not in world.model.prompts[-1]


async def test_a_question_to_a_person_waits_for_the_answer() -> None:
    world = World()
    world.model.answers(
        ask("Which target?"), lambda prompt: done("Fine.") if "answers: Which target?" in prompt else Look()
    )
    await world.say("push, please")
    assert await world.run() == ["asked: Which target?"]
    assert world.thread.status == "waiting_for_answer"
    await world.answer("prod")
    assert await world.run() == ["said: Fine."]


async def test_people_are_told_in_between_and_the_work_goes_on() -> None:
    world = World()
    world.model.answers(Look(), update("So far, so good."), Touch(), done("Done."))
    await world.say("look and touch")
    assert await world.run() == ["ran: look", "said: So far, so good.", "ran: touch", "said: Done."]


async def test_words_that_are_not_for_us_are_answered_by_nobody() -> None:
    world = World()
    world.model.answers(NOTHING)
    await world.say("thanks, Bob!", by=EVE)
    assert await world.run() == []
    assert (world.thread.status, len(world.model.prompts)) == ("done", 1)


async def test_a_trigger_wakes_the_agent_like_a_person() -> None:
    world = World()
    world.model.answers(done("Seen."))
    await world.trigger("nightly", task="look at it")
    assert await world.run() == ["said: Seen."]
    assert "source: hook\nname: nightly\ntask: look at it" in world.model.prompts[0]


# Who decides, on what, and how often


async def test_a_second_approval_changes_nothing() -> None:
    world = World()
    await asked_to_push(world, done())
    assert (await world.approve()).outcome == "settled"
    world.clock.advance(1)
    again = await world.approve()
    other = await world.approve(by=BOB)
    assert {again.outcome, other.outcome} == {"too_late"}
    assert other.text == "Already approved by Ann at 2026-11-20 09:00 UTC. Nothing was changed."
    assert await world.run() == ["settled: push approved by Ann", "ran: push(target: prod)", "said: Done."]
    assert max(world.desk.keys.values()) == 1


async def test_a_rejection_after_the_approval_changes_nothing() -> None:
    world = World()
    await asked_to_push(world, done())
    await world.approve()
    assert (await world.reject("no!", by=BOB)).outcome == "too_late"
    assert "ran: push(target: prod)" in await world.run()


async def test_an_approval_of_another_request_changes_nothing() -> None:
    world = World()
    await asked_to_push(world)
    assert (await world.approve(digest="0123456789abcdef")).outcome == "other_request"
    assert await world.run() == []
    assert world.thread.status == "waiting_for_approval"


async def test_an_approval_of_a_request_that_was_replaced_changes_nothing() -> None:
    world = World()
    await asked_to_push(world, STAGING)
    await world.say("staging instead")
    assert await world.run() == ["settled: push superseded", "requested: push(target: staging)"]
    late = await world.approve(step_id="s2")
    assert (late.outcome, late.text) == (
        "too_late",
        "This request is superseded: there is nothing to decide any more. Nothing was changed.",
    )
    assert await world.run() == []


@pytest.mark.parametrize("trust", ["unverified", "third_party", "forwarded"])
async def test_the_approval_of_a_stranger_changes_nothing_and_is_on_record(trust: str) -> None:
    world = World()
    await asked_to_push(world)
    stranger = Person.model_validate({"name": "Ann", "address": "U1", "trust": trust})
    assert (await world.approve(by=stranger)).outcome == "not_entitled"
    assert await world.run() == []
    assert (world.thread.status, world.kinds[-1]) == ("waiting_for_approval", "approval_decided")
    assert (await world.approve(by=ANN)).outcome == "settled"


async def test_the_approval_of_a_stranger_is_not_shown_to_the_model_as_a_decision() -> None:
    world = World()
    await asked_to_push(world, NOTHING)
    await world.approve(by=EVE)
    await world.say("go!", by=EVE)
    await world.run()
    assert "<human_response>" not in world.model.prompts[-1]


async def test_nobody_can_decide_where_nothing_was_asked() -> None:
    world = World()
    world.model.answers(done())
    await world.say("hello")
    await world.run()
    with pytest.raises(Refused, match="nothing to approve or reject"):
        await world.approve()


async def test_a_call_that_is_not_the_one_that_was_approved_does_not_run() -> None:
    world = World()
    await world.say("push to prod")
    # Somebody with access to the log wrote a request whose facts are not what its digest was taken of.
    chosen = StepChosen(id="s2/chosen", at=world.clock(), step="s2", intent="push", arguments={"target": "prod"})
    forged = requested("s2").model_copy(update={"facts": {"revision": "evil"}})
    await world.log(chosen, forged, approved("s2"))
    world.model.answers(done("It was refused."))
    assert await world.run() == [
        "requested: push(target: prod)",
        "settled: push approved by Ann",
        "settled: push refused by Ann",
        "said: It was refused.",
    ]
    assert "It is not what was approved." in world.model.prompts[-1]


async def test_a_call_that_cannot_be_prepared_is_refused_before_anybody_is_asked() -> None:
    world = World()
    world.model.answers(Push(target="nowhere"), done("No such target."))
    await world.say("push to nowhere")
    assert await world.run() == ["said: No such target."]
    assert "There is no target 'nowhere'. Try 'prod'." in world.model.prompts[-1]


async def test_facts_with_characters_that_cannot_be_stored_can_be_approved() -> None:
    world = World()
    world.desk.facts = {"subject": "half a pair: \ud83d", "size": float("inf")}
    await asked_to_push(world, done("It is out."))
    await world.approve()
    assert await world.run() == ["settled: push approved by Ann", "ran: push(target: prod)", "said: It is out."]


async def test_a_request_that_is_too_large_to_be_shown_is_refused() -> None:
    world = World()
    world.desk.facts = {"diff": "x" * 300_000}
    world.model.answers(PROD, done("Too large."))
    await world.say("push")
    assert await world.run() == ["said: Too large."]
    assert "Too large to be shown whole" in world.model.prompts[-1]


# Errors


async def test_the_model_reads_the_error_of_a_tool_and_solves_it() -> None:
    world = World()
    world.model.answers(Flaky(how="left"), Flaky(how="right"), done("It works."))
    await world.say("do it")
    assert await world.run() == ["ran: flaky(how: left)", "ran: flaky(how: right)", "said: It works."]
    assert "<flaky>\nhow: left\nerror: Not 'left'. Try 'right'.\n</flaky>" in world.model.prompts[1]


async def test_an_error_without_words_is_an_error() -> None:
    world = World()
    world.model.answers(Flaky(how="mute"), done("It failed."))
    await world.say("do it")
    await world.run()
    assert world.thread.state.steps["s2"].status == "failed"


async def test_three_errors_in_a_row_hand_over_to_a_person_whose_word_resumes() -> None:
    world = World()
    world.model.answers(*[Flaky(how=way) for way in ("left", "up", "down")])
    await world.say("do it")
    lines = await world.run()
    assert lines[-1] == (
        "noted: I stopped here and need a person: 3 errors came one after the other. The last one: Not 'down'. "
        "Try 'right'. Write to me and I will go on."
    )
    assert world.thread.status == "handed_to_human"
    world.model.answers(Flaky(how="right"), done("It works."))
    await world.say("hold it right")
    assert await world.run() == ["ran: flaky(how: right)", "said: It works."]


async def test_success_in_between_forgives_earlier_errors() -> None:
    world = World()
    for _ in range(3):
        world.model.answers(Flaky(how="left"), Flaky(how="up"), Look())
    world.model.answers(done("At last."))
    await world.say("do it")
    assert (await world.run())[-1] == "said: At last."


@pytest.mark.parametrize("reason", ["invalid", "refused", "truncated"])
async def test_a_useless_answer_is_told_to_the_model_which_is_asked_again(reason: str) -> None:
    world = World()
    world.model.answers(ModelFailure(reason, "Field required."), done("Sorry."))  # type: ignore[arg-type]
    await world.say("do it")
    assert await world.run() == ["said: Sorry."]
    assert f"<error>\nyour_answer_was: {reason}\nerror: Field required.\n</error>" in world.model.prompts[1]


async def test_three_useless_answers_hand_over_to_a_person() -> None:
    world = World()
    world.model.answers(*[ModelFailure("invalid", "No.")] * 3)
    await world.say("do it")
    (line,) = await world.run()
    assert line.startswith("noted: I stopped here and need a person: 3 errors")


async def test_an_answer_that_is_too_large_to_keep_is_a_useless_one() -> None:
    world = World()
    world.model.answers(done("字" * 100_000), done("Shorter."))
    await world.say("tell me all")
    assert await world.run() == ["said: Shorter."]
    assert "your_answer_was: invalid" in world.model.prompts[1]


async def test_an_endpoint_that_asks_to_slow_down_is_asked_again_when_it_said() -> None:
    world = World()
    world.model.answers(ModelFailure("unavailable", "429", retry_after_seconds=30), done("Here I am."))
    await world.say("hello?")
    assert await world.run() == []
    assert world.thread.status == "waiting"
    assert await world.advance(29) == []
    assert await world.advance(1) == ["said: Here I am."]
    assert "429" not in world.model.prompts[-1]


async def test_a_message_asks_the_model_again_before_its_time() -> None:
    world = World()
    world.model.answers(ModelFailure("unavailable", "503"), done("Here I am."))
    await world.say("hello?")
    assert await world.run() == []
    await world.say("anybody there?")
    assert await world.run() == ["said: Here I am."]


async def test_an_endpoint_that_stays_away_hands_over_to_a_person() -> None:
    world = World()
    world.model.answers(*[ModelFailure("unavailable", "no route to the model")] * 3)
    await world.say("hello?")
    assert await world.run() == []
    assert await world.advance(2) == []
    (line,) = await world.advance(8)
    assert "no route to the model" in line


async def test_a_tool_that_breaks_and_may_be_repeated_is_an_error() -> None:
    world = World()
    world.model.answers(BrokenLook(), done("It is broken."))
    await world.say("look")
    assert await world.run() == ["ran: broken_look", "said: It is broken."]
    assert "error: 'RuntimeError: the wire was cut'" in world.model.prompts[1].replace('"', "'")


@pytest.mark.parametrize(
    ("tool", "why"), [(Broken(), "RuntimeError: the wire was cut"), (Stuck(), "It took longer than 0.01 s.")]
)
async def test_when_nobody_knows_whether_it_happened_a_person_is_asked(tool: Step, why: str) -> None:
    world = World()
    world.model.answers(tool, done("I see."))
    await world.say("do it")
    ran, asked = await world.run()
    assert (ran, asked) == (
        f"ran: {tool.intent}",
        f"asked: I was interrupted while {tool.intent} was under way. Did it happen?",
    )
    assert world.thread.status == "waiting_for_answer"
    await world.answer("no")
    assert await world.run() == ["said: I see."]
    assert f"<outcome_unknown>\nstep: {tool.intent}\nerror: " in world.model.prompts[-1]
    assert why in world.model.prompts[-1]
    assert list(world.desk.keys.values()) == [1]


async def test_a_tool_that_takes_too_long_and_may_be_repeated_is_an_error() -> None:
    world = World()
    world.model.answers(StuckLook(), done("It is stuck."))
    await world.say("look")
    assert await world.run() == ["ran: stuck_look", "said: It is stuck."]
    assert "error: It took longer than 0.01 s." in world.model.prompts[1]


# Limits


async def test_steps_of_a_turn_are_limited() -> None:
    world = World(limits=Limits(steps_per_turn=3))
    world.model.answers(Look(), Look(), Look())
    await world.say("look around")
    assert (await world.run())[3:] == [
        "noted: I stopped here and need a person: 3 steps were taken and it is not done. Write to me and I will go on."
    ]
    world.model.answers(Look(), done("Enough."))
    await world.say("go on")
    assert await world.run() == ["ran: look", "said: Enough."]


async def test_events_of_a_thread_are_limited() -> None:
    world = World(limits=Limits(events_per_thread=6))
    world.model.answers(Look(), Look())
    await world.say("look around")
    *_, last = await world.run()
    assert last == (
        "noted: I stopped here and need a person: "
        "This thread holds 6 events, which is its limit. Please open a new one."
    )
    await world.say("go on")
    (again,) = await world.run()
    assert again.endswith("which is its limit. Please open a new one.")


async def test_waiting_is_limited_too() -> None:
    class Forever(Slow):
        async def work(self, call: object, desk: object) -> object:  # type: ignore[override]
            return Wait(0)

    world = World(limits=Limits(events_per_thread=60), tools=(Forever,))
    world.model.answers(Forever())
    await world.say("wait for it")
    lines = await world.run()
    assert "which is its limit" in lines[-1]
    assert world.thread.version < 70


async def test_a_result_that_is_too_large_is_dropped_and_the_model_told_so() -> None:
    world = World()
    world.desk.result = ["x" * 1_000] * 200
    world.model.answers(Look(), done("Too much."))
    await world.say("look")
    assert await world.run() == ["ran: look", "said: Too much."]
    assert "It was done; its result of 200," in world.model.prompts[1]
    assert len(world.model.prompts[1]) < 2_000


async def test_a_result_that_cannot_be_written_is_dropped_and_the_model_told_so() -> None:
    world = World()
    world.desk.result = object()  # type: ignore[assignment]
    world.model.answers(Look(), done("Hm."))
    await world.say("look")
    await world.run()
    assert "It was done, but its result could not be kept" in world.model.prompts[1]


async def test_a_message_that_is_too_long_is_clipped_and_its_author_told_so() -> None:
    world = World()
    world.model.answers(done("Long."))
    await world.say("x" * (TEXT_CHARS_MAX + 1))
    assert await world.run() == [
        "noted: Your message has 50,001 characters; I read the first 50,000 of them. Please send the rest in smaller "
        "parts if I need it.",
        "said: Long.",
    ]


async def test_a_message_of_characters_that_take_many_bytes_is_clipped_not_lost() -> None:
    world = World()
    world.model.answers(done("Strange."))
    await world.say("\x01" * TEXT_CHARS_MAX)
    noted, said = await world.run()
    assert noted.startswith("noted: Your message has 50,000 characters; I read the first 25,000 of them.")
    assert said == "said: Strange."


# Ids from outside


@pytest.mark.parametrize(
    "event_id", ["s2/started/1", "s2/finished", "s2/chosen", "opened", "s2", "m1/notice/sent", "x" * 512]
)
async def test_the_id_of_a_message_cannot_stand_in_the_way_of_an_event_of_ours(event_id: str) -> None:
    world = World()
    world.model.answers(Touch(), done("Touched."))
    await world.say("touch it", event_id=event_id)
    assert await world.run() == ["ran: touch", "said: Touched."]
    await world.pause()
    await world.say("x", event_id=event_id + "2")
    assert await world.run() == ["noted: You wrote this while I was paused. I read it once somebody resumes me."]


async def test_the_id_of_a_message_cannot_stand_in_the_way_of_what_answers_another_message() -> None:
    world = World()
    world.model.answers(done("Yes."))
    await world.say("hello?", event_id="a")
    await world.pause()
    await world.say("hello??", event_id="b")
    await world.say("hello???", event_id="b/notice/sent")
    assert await world.run() == ["noted: You wrote this while I was paused. I read it once somebody resumes me."] * 2
    assert not world.thread.state.outbox


async def test_a_message_that_is_delivered_twice_is_one_message() -> None:
    world = World()
    for event_id in ("<abc/def@mail>", "Ev123"):
        world.model.answers(done("Yes."))
        await world.say("hello?", event_id=event_id)
        assert await world.run() == ["said: Yes."]
        before = world.thread.version
        await world.say("hello?", event_id=event_id)
        assert (await world.run(), world.thread.version) == ([], before)


# Telling people


async def test_a_channel_that_fails_is_tried_again() -> None:
    world = World()
    world.channel.next(SendFailed("slow down", 5), ConnectionError("reset"))
    world.model.answers(done("Hello."))
    await world.say("hello?")
    assert await world.run() == []
    assert await world.advance(4) == []
    assert await world.advance(1) == []  # the second attempt fails without saying for how long
    assert await world.advance(4) == ["said: Hello."]
    assert not world.thread.state.outbox


async def test_what_was_sent_before_the_worker_died_is_not_said_twice() -> None:
    world = World()
    world.model.answers(done("Hello."))
    await world.say("hello?")
    world.store.before(MessageSent, killed)
    assert await world.run() == ["said: Hello.", "killed"]
    assert await world.run() == []
    assert ([*world.thread.state.outbox], world.channel.tries.total()) == ([], 2)


async def test_a_channel_that_fails_for_good_is_given_up_and_the_log_says_so() -> None:
    world = World()
    world.channel.fails_with = SendFailed("This thread was deleted.")
    world.model.answers(done("Hello."))
    await world.say("hello?")
    assert await world.run() == []
    kinds = [kind for kind in world.kinds if kind.startswith("message_")]
    assert kinds == ["message_received", "message_failed", "message_failed"], "that it failed was told nowhere either"
    world.channel.fails_with = None
    world.model.answers(done("Hello again."))
    await world.say("hello??")
    assert await world.run() == ["said: Hello again."]
    assert "<message_not_delivered>\nerror: This thread was deleted.\n" in world.model.prompts[-1]


async def test_a_channel_that_never_recovers_is_given_up_after_some_attempts() -> None:
    world = World(limits=Limits(send_attempts=3))
    world.channel.fails_with = ConnectionError("no route")
    world.model.answers(done("Hello."))
    await world.say("hello?")
    await world.run()
    for _ in range(4):
        await world.advance(60)
    assert (list(world.channel.tries.values()), world.thread.timers) == ([3, 3], {}), "the answer, and that it failed"


async def test_who_asked_hears_elsewhere_of_what_could_not_be_said() -> None:
    world = World()
    world.channel.next(SendFailed("The channel is archived."))
    world.model.answers(done("Hello."))
    await world.say("hello?")
    (told,) = await world.run()
    assert told.startswith("told elsewhere: I could not say something in terminal:desk (The channel is archived).")


async def test_a_request_that_nobody_could_be_shown_is_refused() -> None:
    world = World()
    world.channel.next(SendFailed("The channel is archived."))
    world.model.answers(PROD, done("I cannot ask you."))
    await world.say("push to prod")
    told, said = await world.run()
    assert told.startswith("told elsewhere: ")
    assert said == "said: I cannot ask you."
    settlement = await world.inbox.decide(world.thread.id, ANN, approved=True)
    assert settlement.outcome == "too_late"
    assert await world.run() == []


async def test_a_channel_that_does_not_come_back_is_given_up_and_tried_again() -> None:
    world = World(limits=Limits(send_seconds=0.01))
    world.model.answers(done("Hello."))
    await world.say("hello?")
    world.channel.next(asyncio.Event().wait)
    assert await world.run() == []
    assert await world.advance(60) == ["said: Hello."]


async def test_a_thread_on_a_channel_that_is_not_there_says_so_in_its_log() -> None:
    world = World(place=Place(channel="pigeon", address="roof"))
    world.model.answers(done("Hello."))
    await world.say("hello?")
    assert await world.run() == []
    assert "The channel 'pigeon' is not set up in this process." in str(world.thread.events[-1])


async def test_a_request_can_be_decided_before_its_card_went_out() -> None:
    world = World()
    world.channel.next(SendFailed("slow down", 5))
    world.model.answers(PROD, done("It is out."))
    await world.say("push to prod")
    assert await world.run() == []
    await world.approve()
    # The work goes on; what is told of it keeps its order.
    assert await world.run() == ["ran: push(target: prod)"]
    assert await world.advance(5) == [
        "requested: push(target: prod)",
        "settled: push approved by Ann",
        "said: It is out.",
    ]


# People speak in between


async def test_a_message_that_arrives_while_the_model_thinks_is_read_before_anything_is_done() -> None:
    world = World()

    async def while_thinking(_: str) -> Step:
        await world.say("no, wait!", by=BOB)
        return Touch()

    world.model.answers(while_thinking, done("I wait."))
    await world.say("touch it")
    assert await world.run() == ["said: I wait."]
    assert "no, wait!" in world.model.prompts[1]
    outdated = [event for event in world.thread.events if isinstance(event, ChoiceFailed)]
    assert [(event.reason, event.usage is not None) for event in outdated] == [("outdated", True)]
    assert "outdated" not in world.model.prompts[1]


async def test_a_message_between_the_choice_and_the_start_is_read_first() -> None:
    world = World()
    world.model.answers(Touch(), done("I wait."))
    await world.say("touch it")
    world.store.before(ToolStarted, lambda: world.say("no, wait!", by=BOB))
    assert await world.run() == ["said: I wait."]
    assert "no, wait!" in world.model.prompts[1]


async def test_a_message_between_the_approval_and_the_start_is_read_first() -> None:
    world = World()
    await asked_to_push(world, withdraw("Bob said so"), done("I wait."))
    await world.approve()
    world.store.before(ToolStarted, lambda: world.say("no, wait!", by=BOB))
    assert await world.run() == ["settled: push approved by Ann", "settled: push withdrawn by Ann", "said: I wait."]


async def test_a_message_while_the_request_is_prepared_is_read_first() -> None:
    world = World()
    world.model.answers(PROD, done("I wait."))
    await world.say("push to prod")
    world.store.before(ApprovalRequested, lambda: world.say("no, wait!"))
    assert await world.run() == ["said: I wait."]


async def test_a_message_while_a_tool_runs_is_read_after_it() -> None:
    world = World()
    world.model.answers(Touch(), done("Too late, Bob."))
    await world.say("touch it")
    world.desk.during("touch", lambda: world.say("no, wait!", by=BOB))
    assert await world.run() == ["ran: touch", "said: Too late, Bob."]
    assert len(world.model.prompts) == 2


async def test_words_are_read_by_the_model_before_an_approved_step_begins_also_where_code_chooses_first() -> None:
    def look_once_per_message(thread: Thread) -> Step | None:
        words = sum(isinstance(event, MessageReceived) for event in thread.events)
        looks = sum(step.chosen.by == "code" for step in thread.state.steps.values())
        return Look() if looks < words else None

    world = World(plan=look_once_per_message)
    world.model.answers(PROD)
    await world.say("push to prod")
    assert await world.run() == ["ran: look", "requested: push(target: prod)"]
    await world.approve()
    await world.say("no, wait!", by=BOB)
    world.model.answers(withdraw(), done("I wait."))
    assert await world.run() == [
        "settled: push approved by Ann",
        "ran: look",
        "settled: push withdrawn by Ann",
        "said: I wait.",
    ]


async def test_after_words_that_change_nothing_the_approved_step_begins() -> None:
    world = World()
    await asked_to_push(world, NOTHING, done("It is out."))
    await world.approve()
    await world.say("nice!", by=BOB)
    assert await world.run() == ["settled: push approved by Ann", "ran: push(target: prod)", "said: It is out."]


async def test_words_are_answered_while_a_request_waits() -> None:
    world = World()
    await asked_to_push(world, done("It waits for approval."))
    await world.say("what is going on?", by=BOB)
    assert await world.run() == ["said: It waits for approval."]
    assert "waits_for_approval: push target=prod" in world.model.prompts[-1]
    assert world.thread.status == "waiting_for_approval"


async def test_the_same_call_again_keeps_the_request_that_stands() -> None:
    world = World()
    await asked_to_push(world, PROD, done("It is out."))
    await world.say("push to prod!!")
    assert await world.run() == ["noted: That is what I asked approval for above; I am waiting for the decision."]
    await world.approve()
    assert await world.run() == ["settled: push approved by Ann", "ran: push(target: prod)", "said: It is out."]


async def test_a_request_is_withdrawn() -> None:
    world = World()
    await asked_to_push(world, withdraw(), done("All right."))
    await world.say("never mind")
    assert await world.run() == ["settled: push withdrawn", "said: All right."]
    assert (await world.approve(step_id="s2")).outcome == "too_late"
    assert await world.run() == []


# Pausing and cancelling


@pytest.mark.parametrize("point", [StepChosen, ToolStarted])
async def test_what_is_paused_before_a_tool_begins_does_not_begin_it(point: type[StepChosen | ToolStarted]) -> None:
    world = World()
    world.model.answers(Touch())
    await world.say("touch it")
    world.store.before(point, world.pause)
    assert await world.run() == []
    world.model.answers(*([Touch()] if point is StepChosen else []), done("Touched."))
    await world.resume()
    assert await world.run() == ["ran: touch", "said: Touched."]


@pytest.mark.parametrize("point", [StepChosen, ApprovalRequested, ToolStarted])
async def test_what_is_cancelled_before_a_tool_begins_never_begins_it(
    point: type[StepChosen | ApprovalRequested | ToolStarted],
) -> None:
    world = World()
    world.model.answers(Touch() if point is ToolStarted else PROD)
    await world.say("do it")
    world.store.before(point, lambda: world.cancel("wrong thread"))
    assert await world.run() == ["noted: Cancelled by Ann: wrong thread. Nothing more is begun."]
    assert world.thread.status == "cancelled"


async def test_an_approved_step_is_cancelled_before_it_begins() -> None:
    world = World()
    await asked_to_push(world)
    await world.approve()
    world.store.before(ToolStarted, world.cancel)
    lines = await world.run()
    assert "ran: push(target: prod)" not in lines
    assert lines[1:] == ["settled: push cancelled by Ann", "noted: Cancelled by Ann. Nothing more is begun."]


async def test_a_tool_that_runs_when_the_thread_is_cancelled_is_noted_and_nothing_follows() -> None:
    world = World()
    world.model.answers(Touch())
    await world.say("touch it")
    world.desk.during("touch", world.cancel)
    assert await world.run() == ["ran: touch", "noted: Cancelled by Ann. Nothing more is begun."]
    assert (world.thread.state.steps["s2"].status, world.thread.status) == ("finished", "cancelled")


async def test_a_cancelled_thread_says_so_to_whoever_writes() -> None:
    world = World()
    world.model.answers(done())
    await world.say("hello")
    await world.run()
    await world.cancel()
    await world.run()
    await world.say("hello?")
    assert await world.run() == [
        "noted: This thread was cancelled, so I do not act on it any more. Please start a new one."
    ]
    assert await world.run() == []


async def test_what_is_said_while_paused_is_read_when_it_resumes() -> None:
    world = World()
    world.model.answers(done("Hello."))
    await world.say("hello")
    await world.pause()
    assert await world.run() == []
    await world.say("hello?")
    assert await world.run() == ["noted: You wrote this while I was paused. I read it once somebody resumes me."]
    await world.resume()
    assert await world.run() == ["said: Hello."]


async def test_a_notice_of_a_pause_that_is_over_does_not_say_that_it_is_paused() -> None:
    world = World()
    world.model.answers(done("Hello."))
    await world.say("hello")
    await world.pause()
    await world.say("hello?")
    await world.resume()
    assert await world.run() == [
        "noted: You wrote this while I was paused. I read it once somebody resumes me.",
        "said: Hello.",
    ]


async def test_an_approval_during_a_pause_counts_when_it_resumes() -> None:
    world = World()
    await asked_to_push(world, done("It is out."))
    await world.pause()
    await world.approve()
    assert await world.run() == ["settled: push approved by Ann"]
    await world.resume()
    assert await world.run() == ["ran: push(target: prod)", "said: It is out."]


# Waiting


async def test_a_tool_waits_without_a_process() -> None:
    world = World()
    world.model.answers(Slow(), done("At last."))
    await world.say("wait for it")
    assert await world.run() == ["ran: slow"]
    assert world.thread.status == "waiting"
    assert await world.advance(9) == []
    assert await world.advance(1) == ["ran: slow"]
    assert await world.advance(10) == ["ran: slow", "said: At last."]
    assert "result: done at last" in world.model.prompts[-1]


async def test_words_are_answered_while_a_tool_waits() -> None:
    world = World()
    world.model.answers(Slow(), done("Still waiting."), done("At last."))
    await world.say("wait for it")
    await world.run()
    await world.say("and?", by=BOB)
    assert await world.run() == ["said: Still waiting."]
    assert "under_way: slow" in world.model.prompts[-1]
    await world.advance(10)
    assert await world.advance(10) == ["ran: slow", "said: At last."]


async def test_words_during_a_tool_after_which_code_waits_are_read_at_once() -> None:
    def then_wait(thread: Thread) -> Step | None:
        intents = [step.chosen.intent for step in thread.state.steps.values() if step.status != "superseded"]
        return Slow() if "touch" in intents and "slow" not in intents else None

    world = World(plan=then_wait)
    world.model.answers(Touch(), done("I cannot stop it."))
    await world.say("touch it")
    world.desk.during("touch", lambda: world.say("stop!", by=BOB))
    assert await world.run() == ["ran: touch", "ran: slow", "said: I cannot stop it."]


async def test_a_cancelled_thread_waits_for_nothing() -> None:
    world = World()
    world.model.answers(Slow())
    await world.say("wait for it")
    await world.run()
    await world.cancel()
    await world.run()
    assert await world.advance(60) == []


# Dying and taking over


@pytest.mark.parametrize("tool", [Look(), BrokenLook()])
async def test_a_repeatable_tool_is_started_again_after_its_worker_died(tool: Step) -> None:
    world = World()
    world.model.answers(tool, done("Seen."))
    await world.say("look")
    world.desk.during(tool.intent, killed)
    assert await world.run() == [f"ran: {tool.intent}", "killed"]
    assert await world.run() == [f"ran: {tool.intent}", "said: Seen."]


async def test_a_tool_that_kills_every_worker_is_not_started_for_ever() -> None:
    world = World()
    world.model.answers(Look(), done("It kills."))
    await world.say("look")
    for _ in range(3):
        world.desk.during("look", killed)
    assert [await world.run() for _ in range(4)] == [["ran: look", "killed"]] * 3 + [["said: It kills."]]
    assert "look was interrupted 3 times." in world.model.prompts[-1]


async def test_a_tool_that_cannot_be_repeated_is_asked_about_after_its_worker_died() -> None:
    world = World()
    await asked_to_push(world, done("Good."))
    await world.approve()
    world.desk.during("push", killed)
    assert (await world.run())[-1] == "killed"
    assert await world.run() == ["asked: I was interrupted while push target=prod was under way. Did it happen?"]
    await world.answer("yes")
    assert await world.run() == ["said: Good."]
    assert world.desk.ran == ["push(target: prod)"]


async def test_a_worker_that_comes_back_late_asks_nothing_twice() -> None:
    """It broke, but a slow worker tells so after another one has asked about it already."""
    world = World()
    world.model.answers(Broken())
    await world.say("do it")

    async def given_up_for_dead() -> None:
        await world.say("and?", by=BOB)
        world.clock.advance(60)
        await world.run()

    world.desk.during("broken", given_up_for_dead)
    assert await world.run() == [
        "ran: broken",
        "asked: I was interrupted while broken was under way. Did it happen?",
    ]
    assert world.kinds.count("tool_interrupted") == 1


async def test_a_result_that_comes_late_still_lands() -> None:
    world = World()
    world.model.answers(Touch(), done("Dropped, for another worker has the thread."), done("So it happened."))
    await world.say("touch it")
    world.desk.during("touch", lambda: taken_over(world))
    with pytest.raises(LeaseLost):
        await world.run()
    world.clock.advance(60)
    assert await world.run() == ["said: So it happened."]


async def test_a_worker_that_lost_its_lease_begins_nothing() -> None:
    world = World()
    world.model.answers(Touch())
    await world.say("touch it")
    world.store.before(ToolStarted, lambda: taken_over(world))
    with pytest.raises(LeaseLost):
        await world.run()
    assert world.lines == []


async def taken_over(world: World) -> None:
    """Another worker holds the thread from now on, and does nothing yet."""
    world.clock.advance(60)
    await world.claim()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_story_ends_the_same_wherever_the_worker_dies(when: str) -> None:
    for point in itertools.count(1):
        world = World()
        world.model.otherwise = looks_and_pushes
        (world.store.before if when == "before" else world.store.after)(point, killed)
        await world.say("look, touch and push")
        await until_done(world)
        assert all(world.desk.ran.count(call) <= 1 for call in ("touch", "push(target: prod)"))
        assert [line for line in world.lines if line.startswith("said:")] == ["said: It is out."]
        assert not world.thread.state.outbox
        if "killed" not in world.lines:
            assert point == 14
            break


def looks_and_pushes(prompt: str) -> Step:
    """A model that knows what it has done from its prompt alone."""
    for tag, step in (("look", Look()), ("touch", Touch()), ("push_result", PROD)):
        if f"<{tag}>" not in prompt and f"step: {tag.removesuffix('_result')}\nerror:" not in prompt:
            return step
    return done("It is out.")


async def until_done(world: World) -> None:
    """Ann approves what is asked, and when nobody knows whether something happened, she looks."""
    for _ in range(20):
        await world.run()
        if world.thread.pending:
            await world.approve()
        elif world.thread.state.question:
            question = str(world.thread.events[-2])
            await world.answer("yes" if any(call in question for call in world.desk.ran) else "no")
        elif world.thread.status == "done" and world.at_rest:
            return
    raise AssertionError(world.lines)


# Other agents


async def test_another_agent_takes_the_thread_over() -> None:
    def hand_over_when_done(thread: Thread) -> Step | None:
        last = thread.step(thread.state.current)
        if last and last.chosen.intent == "done_for_now":
            return HandOver(agent="night", reason="It is late.")
        return None

    night = ops(name="night")
    world = World(plan=hand_over_when_done, others={"night": night})
    world.model.answers(
        done("Good night."), lambda prompt: done("Good evening.") if "agent: night" in prompt else Look()
    )
    await world.say("hello")
    assert await world.run() == ["said: Good night.", "said: Good evening."]
    assert world.thread.agent == "night"


async def test_a_thread_of_an_agent_that_is_not_here_is_given_to_a_person() -> None:
    world = World()
    del world.roster["ops"]
    world.roster["other"] = ops(name="other")
    await world.say("hello")
    assert await world.run() == [
        "noted: I stopped here and need a person: There is no agent 'ops' here; known are other. "
        "Write to me and I will go on."
    ]
    assert await world.run() == []


async def test_a_thread_that_cannot_be_read_is_left_alone_also_where_its_agent_is_not_here() -> None:
    world = World()
    del world.roster["ops"]
    await world.say("hello")
    await world.log(from_the_future())
    events = world.thread.events
    assert await world.run() == []
    assert world.thread.events == events


async def test_an_old_step_that_no_agent_knows_any_more_is_refused() -> None:
    world = World()
    await asked_to_push(world, done("Gone."))
    await world.approve()
    older = World(tools=(Look,), store=world.store.real)
    older.thread = world.thread
    older.model.answers(done("Gone."))
    lines = await older.run()
    assert lines == ["settled: push approved by Ann", "settled: push refused by Ann", "said: Gone."]
    assert "Unknown intent 'push'" in older.model.prompts[-1]
