"""Telling people: channels that fail, and what was sent before its worker died."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from agent.definition import Limits
from agent.perform.say import backoff_seconds
from channels.base import SendFailed
from store.deliveries import MessageFailed, MessageSent
from store.values import Place
from tests.agent.pushing import PROD
from tests.telling.playbook import World, done, killed
from tests.telling.story import ANN, EVE


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


async def test_a_channel_that_may_be_asked_again_at_once_is() -> None:
    world = World()
    world.channel.next(SendFailed("Go on.", 0))
    world.model.answers(done("Hello."))
    await world.say("hello?")
    assert await world.run() == ["said: Hello."]


async def test_a_channel_that_fails_again_and_again_is_left_alone_longer_and_longer() -> None:
    world = World(limits=Limits(send_attempts=12))
    world.channel.fails_with = SendFailed("Go on.", 0)
    world.model.answers(done("Hello."))
    await world.say("hello?")
    await world.run()
    for _ in range(11):
        await world.advance(600)
    failed = [event for event in world.thread.events if isinstance(event, MessageFailed)]
    waits = [event.retry_at - event.at for event in failed if event.retry_at][:11]
    assert waits == [timedelta(seconds=seconds) for seconds in (0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600)]


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


async def test_what_waits_for_a_person_to_repair_the_channel_is_never_given_up() -> None:
    world = World(limits=Limits(send_attempts=3))
    world.channel.fails_with = SendFailed("Nobody has logged in.", 5, until_repaired=True)
    world.model.answers(done("Hello."))
    await world.say("hello?")
    await world.run()
    for _ in range(60):
        assert await world.advance(600) == []
    failed = [event for event in world.thread.events if isinstance(event, MessageFailed)]
    assert len(failed) > 60
    assert not any(event.elsewhere for event in failed)
    assert failed[-1].retry_at
    assert failed[-1].retry_at - failed[-1].at == timedelta(seconds=600)
    assert [backoff_seconds(attempt) for attempt in (144, 145, 5_000)] == [600, 3_600, 3_600]
    world.channel.fails_with = None
    assert await world.advance(600) == ["said: Hello."]


async def test_who_asked_hears_elsewhere_of_what_could_not_be_said() -> None:
    world = World()
    world.channel.next(SendFailed("The channel is archived."))
    world.model.answers(done("Hello."))
    await world.say("hello?")
    (told,) = await world.run()
    assert told.startswith("told elsewhere: I could not send a message in terminal:desk (The channel is archived).")


async def test_where_no_person_asked_nobody_is_told_elsewhere() -> None:
    world = World()
    world.channel.next(SendFailed("The channel is archived."))
    world.model.answers(done("Hello."))
    await world.say("hello?", by=EVE)
    assert await world.run() == []
    last = world.thread.events[-1]
    assert isinstance(last, MessageFailed)
    assert (last.error, last.retry_at) == ("No person asked for it, so there is nobody to tell elsewhere.", None)


async def test_a_request_that_nobody_could_be_shown_is_refused() -> None:
    world = World()
    world.channel.next(SendFailed("The channel is archived."))
    world.model.answers(PROD, done("I cannot ask you."))
    await world.say("push to prod")
    told, said = await world.run()
    assert told.startswith("told elsewhere: ")
    assert said == "said: I cannot ask you."
    result = await world.approve(ANN)
    assert result.outcome == "too_late"
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
    assert "This process has no channel 'pigeon'." in str(world.thread.events[-1])


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
