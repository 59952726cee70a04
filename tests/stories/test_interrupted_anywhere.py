"""The canonical scenario, with a person who writes just before an append of the worker: before every one of them."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.authority import AnyoneMay
from agent.loop import Loop
from agent.roster.stand_in import StandIn
from bot.inbox import Inbox
from bot.worker import Worker
from channels.terminal import NAME as TERMINAL
from channels.terminal import TerminalChannel
from store.events import Event, MessageReceived, StepChosen, ToolStarted
from store.redis.store import RedisStore
from store.thread import Thread
from store.values import Person, Place
from tests.matrices import matrix
from tests.patience import STORY_SECONDS_MAX
from tests.stories.canonical import Story, World, act, assert_ends_well, merge_of, new_world
from tests.stories.crash_worker import Points, on_crashing_targets

pytestmark = pytest.mark.slow

APPENDS = 49
"""Of the worker, when nobody disturbs it."""
ADA = Person(name="ada", address="ada", trust="verified")
WORDS = ("status?", "thanks", "what a day")


class InterruptedStore(RedisStore):
    """Somebody writes just before the nth append of the worker."""

    interrupt_at = 0
    text = ""
    appends = 0

    async def append(self, thread: Thread, *events: Event, **how: Any) -> Thread:
        self.appends += 1
        if self.appends == self.interrupt_at:
            said = MessageReceived(id="by-the-way", at=datetime.now(UTC), sender=ADA, text=self.text)
            await super().append(Thread(thread.id), said)
        return await super().append(thread, *events, **how)


async def test_the_story_has_so_many_appends(template: Path, tmp_path: Path, redis_url: str) -> None:
    world = new_world(template, tmp_path, redis_url)
    assert not (await tell_in_this_process(world, APPENDS + 1, WORDS[0])).crashed_at


@matrix("point", range(1, APPENDS + 1), sample=8)
async def test_a_word_before_any_append_is_read_before_the_next_action(
    template: Path, tmp_path: Path, redis_url: str, point: int
) -> None:
    world = new_world(template, tmp_path, redis_url)
    story = await tell_in_this_process(world, point, WORDS[point % len(WORDS)])
    assert_ends_well(world, story)
    assert story.crashed_at
    assert_read_before_the_next_action(story.thread, point)


async def tell_in_this_process(world: World, interrupt_at: int, text: str) -> Story:
    store = await InterruptedStore.open(world.redis_url, world.prefix)
    person = await RedisStore.open(world.redis_url, world.prefix)
    assert isinstance(store, InterruptedStore)
    store.interrupt_at, store.text = interrupt_at, text
    # As many looks at a deployment on any machine, and so as many appends.
    roster = on_crashing_targets(world.roster(), Points(0, os.devnull))
    channel = TerminalChannel()
    loop = Loop(
        authority=AnyoneMay(),
        store=store,
        roster=roster,
        channels={channel.name: channel},
        model=StandIn(),
        clock=lambda: datetime.now(UTC),
    )
    worker = Worker(store, loop)
    working = asyncio.create_task(worker.run())
    try:
        inbox = Inbox(person)
        place = Place(channel=TERMINAL, address=world.home.name)
        thread = await store.load(await inbox.trigger(place, merge_of(world.site), agent="deploy"))
        async with asyncio.timeout(STORY_SECONDS_MAX):
            async for now in person.follow(Thread(thread.id)):
                thread = now
                if await act(world, inbox, roster, thread):
                    break
    finally:
        worker.stop()
        await working
        thread = await person.load(thread.id)
        await store.aclose()
        await person.aclose()
    interrupted = any(event.id == "by-the-way" for event in thread.events)
    return Story(thread, f"append {interrupt_at}" if interrupted else "", 0, [])


def assert_read_before_the_next_action(thread: Thread, point: int) -> None:
    said = next(i for i, event in enumerate(thread.events) if event.id == "by-the-way")
    for index, event in enumerate(thread.events[said:], said):
        if isinstance(event, StepChosen) and event.by == "model" and (event.seen or index) > said:
            return  # its prompt held the words
        assert not (isinstance(event, ToolStarted) and thread.state.steps[event.step].chosen.acts), (
            f"{event.id} began before the words before append {point} were read"
        )
    raise AssertionError(f"nobody read what was said before append {point}")
