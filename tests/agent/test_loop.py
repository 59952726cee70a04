"""The loop, told as dialogues: what people and the model say, and what comes of it."""

from __future__ import annotations

import itertools

import pytest
from inline_snapshot import snapshot

from agent.definition import Limits
from agent.perform.unserved import UNSERVED_SECONDS_MAX
from agent.steps import HandOver, Step, Wait, WithdrawRequest
from channels.base import SendFailed
from channels.messages import Approval
from store.events import TEXT_CHARS_MAX
from store.thread import Thread
from tests.agent.pushing import PROD, STAGING, asked_to_push
from tests.telling.playbook import NOTHING, Look, Slow, Touch, World, ask, done, killed, ops, update
from tests.telling.story import ANN, BOB, EVE, chosen, from_the_future, handed_to_human, sent, started


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
    card = next(message for message in world.channel.sent.values() if isinstance(message, Approval))
    assert (card.arguments, card.facts, card.requested_by) == (
        {"target": "prod"},
        {"revision": "newest for prod"},
        "U1",
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


# Limits


async def test_steps_of_a_turn_are_limited() -> None:
    world = World(limits=Limits(steps_per_turn=3))
    world.model.answers(Look(), Look(), Look())
    await world.say("look around")
    assert (await world.run())[3:] == [
        "noted: I stopped and need a person: I took 3 steps and am not done. Write to me and I will continue."
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
        "noted: I stopped and need a person: This thread has reached its limit of 6 events. Please start a new one."
    )
    await world.say("go on")
    (again,) = await world.run()
    assert again.endswith("its limit of 9 events. Please start a new one.")


async def test_waiting_is_limited_too() -> None:
    class Forever(Slow):
        async def work(self, call: object, desk: object) -> object:  # type: ignore[override]
            return Wait(0)

    world = World(limits=Limits(events_per_thread=60), tools=(Forever,))
    world.model.answers(Forever())
    await world.say("wait for it")
    lines = await world.run()
    assert "reached its limit" in lines[-1]
    assert world.thread.version < 70


async def test_a_message_that_is_too_long_is_clipped_and_its_author_told_so() -> None:
    world = World()
    world.model.answers(done("Long."))
    await world.say("x" * (TEXT_CHARS_MAX + 1))
    assert await world.run() == [
        "noted: Your message has 50,001 characters; I read only the first 50,000. "
        "If the rest matters, please send it in smaller parts.",
        "said: Long.",
    ]


async def test_a_message_of_characters_that_take_many_bytes_is_clipped_not_lost() -> None:
    world = World()
    world.model.answers(done("Strange."))
    await world.say("\x01" * TEXT_CHARS_MAX)
    noted, said = await world.run()
    assert noted.startswith("noted: Your message has 50,000 characters; I read only the first 25,000.")
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
    assert await world.run() == ["noted: I am paused. I will read this when somebody resumes me."]


async def test_the_id_of_a_message_cannot_stand_in_the_way_of_what_answers_another_message() -> None:
    world = World()
    world.model.answers(done("Yes."))
    await world.say("hello?", event_id="a")
    await world.pause()
    await world.say("hello??", event_id="b")
    await world.say("hello???", event_id="b/notice/sent")
    assert await world.run() == ["noted: I am paused. I will read this when somebody resumes me."] * 2
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


# Dying anywhere


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


async def test_a_thread_of_an_agent_that_is_not_here_is_left_to_others_and_people_hear_of_it_after_a_while() -> None:
    world = World()
    agent = world.roster.pop("ops")
    await world.say("hello")
    assert await world.run_unserved() == []
    world.clock.advance(UNSERVED_SECONDS_MAX)
    told = "noted: I cannot go on yet: No worker here knows the agent 'ops'. "
    told += "I will go on by myself as soon as a worker can."
    assert await world.run_unserved(left_alone_seconds=UNSERVED_SECONDS_MAX) == [told]
    assert await world.run_unserved(left_alone_seconds=UNSERVED_SECONDS_MAX) == []
    world.roster["ops"] = agent
    world.model.answers(done("Hello."))
    assert await world.run() == ["said: Hello."]


async def test_a_thread_that_cannot_be_read_is_left_alone_also_where_its_agent_is_not_here() -> None:
    world = World()
    del world.roster["ops"]
    await world.say("hello")
    await world.log(from_the_future())
    events = world.thread.events
    assert await world.run_unserved() == []
    assert world.thread.events == events
    told = "A newer version of me wrote to this thread. I will go on by myself as soon as a worker can."
    assert await world.run_unserved(left_alone_seconds=UNSERVED_SECONDS_MAX) == [f"noted: I cannot go on yet: {told}"]


async def test_an_approved_step_that_no_worker_knows_is_kept_and_people_are_told() -> None:
    world = World()
    await asked_to_push(world, done("Gone."))
    await world.approve()
    older = World(tools=(Look,), store=world.store.real)
    older.thread = world.thread
    lines = await older.run_unserved()
    assert lines == ["settled: push approved by Ann"]
    lines += await older.run_unserved(left_alone_seconds=UNSERVED_SECONDS_MAX)
    assert lines == [
        "settled: push approved by Ann",
        "noted: I cannot go on yet: No worker here can run push. If that step no longer exists, tell me that you do "
        "not want it any more, and ask for it anew. I will go on by myself as soon as a worker can.",
    ]
    assert world.desk.ran == []
    assert (await world.run())[0] == "ran: push(target: prod)"


async def test_an_approved_step_that_no_longer_exists_is_given_up_when_people_say_so() -> None:
    world = World()
    await asked_to_push(world)
    await world.approve()
    newer = World(tools=(Look,), store=world.store.real)
    newer.thread = world.thread
    newer.model.answers(WithdrawRequest(reason="Ann said so."), done("Given up."))
    await newer.inbox.say(newer.thread.id, ANN, "I do not want it any more")
    assert "said: Given up." in await newer.run()
    assert newer.thread.status == "done"
    assert world.desk.ran == []


async def test_a_step_that_no_worker_knows_is_refused_after_a_while() -> None:
    world = World(tools=(Look,))
    await world.say("hello")
    await world.log(chosen("s2", "push"))
    world.model.answers(done("Gone."))
    assert await world.run_unserved() == []
    assert await world.run_unserved(left_alone_seconds=UNSERVED_SECONDS_MAX) == ["said: Gone."]
    assert "Unknown intent 'push'" in world.model.prompts[-1]


async def test_people_are_told_that_nobody_can_read_a_thread_also_after_a_failed_try() -> None:
    world = World()
    await world.say("hello")
    await world.log(from_the_future())
    world.channel.next(SendFailed("a hiccup", 1.0))
    assert await world.run_unserved(left_alone_seconds=UNSERVED_SECONDS_MAX) == []
    world.clock.advance(60)
    (told,) = await world.run_unserved(left_alone_seconds=UNSERVED_SECONDS_MAX)
    assert told.startswith("noted: I cannot go on yet: A newer version of me wrote to this thread.")


async def test_a_running_call_of_an_agent_unknown_here_stays_due_also_in_a_stopped_thread() -> None:
    world = World()
    await world.say("hello")
    await world.log(chosen("s2", "touch"), started("s2"), handed_to_human(), sent("h1/handed/say"))
    del world.roster["ops"]
    lease = await world.claim()
    turn = world.loop.turn(world.thread, lease)
    await world.loop.advance(turn)
    assert turn.left
