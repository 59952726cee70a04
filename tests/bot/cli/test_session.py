"""A person at a terminal on one thread, over the store in memory: what is on the screen is what they decide on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from pathlib import Path

import pytest

from agent.model.base import Answer, Prompt
from bot.app import App
from bot.cli.session import Session, working
from bot.inbox import Inbox
from bot.settings import Settings
from bot.setup import Setup
from bot.views.entry import Entry
from channels.terminal import TerminalChannel, Typed, parse
from store.authority.binding import digest
from store.base import StoreUnavailable
from store.events import ApprovalDecided, ApprovalRequested, StepChosen
from store.memory import MemoryStore
from store.thread import Thread
from tests.fakes.clock import Clock
from tests.patience import PATIENCE_SECONDS
from tests.telling.story import ANN, AT, chosen, message, opened, started


def requested(thread_id: str, step: StepChosen) -> ApprovalRequested:
    return ApprovalRequested(
        id=f"{step.step}/requested", at=AT, step=step.step, digest=digest(thread_id, step, {}, {}, None)
    )


class NoModel:
    name = "none"

    async def answer(self, prompt: Prompt) -> Answer:
        raise AssertionError("nobody is asked here")


class Screen:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def __call__(self, entry: Entry) -> None:
        self.entries.append(entry)

    @property
    def text(self) -> str:
        return "\n".join(f"{entry.who}: {entry.text}" for entry in self.entries)


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
def app(store: MemoryStore, tmp_path: Path) -> App:
    channel = TerminalChannel()
    return App(Setup(Settings(bot_home=tmp_path)), store, Inbox(store), {}, {channel.name: channel})


async def told(store: MemoryStore, *steps: StepChosen) -> Thread:
    """A thread in which each of these was asked for, one after the other."""
    thread = await store.append(Thread("t1"), opened(), message())
    for step in steps:
        thread = await store.append(thread, step, requested("t1", step))
    return thread


async def test_the_request_on_the_screen_is_decided_and_no_newer_one(app: App, store: MemoryStore) -> None:
    screen = Screen()
    thread = await told(store, chosen("s1", acts=True, tag="v1"))
    session = Session(app, ANN, thread, show=screen)
    await session.until_turn()
    newer = chosen("s2", acts=True, tag="v2")
    await store.append(thread, newer, requested("t1", newer))
    await session.obey(Typed("approve"))
    now = await store.load("t1")
    assert now.pending
    assert now.pending.step == "s2", "it still waits"
    assert "belongs to a different request" in screen.text
    assert "tag: v2" in screen.text, "and it is shown"
    await session.obey(Typed("approve"))
    assert (await store.load("t1")).state.steps["s2"].status == "approved"


async def test_nothing_is_approved_that_was_never_shown(app: App, store: MemoryStore) -> None:
    screen = Screen()
    thread = await store.append(Thread("t1"), opened(), message())
    session = Session(app, ANN, thread, show=screen)
    step = chosen("s1", acts=True)
    await store.append(thread, step, requested("t1", step))
    await session.obey(Typed("approve"))
    assert screen.entries[-1].text == "There is nothing to approve or reject yet."
    assert (await store.load("t1")).state.steps["s1"].status == "requested"


async def test_the_request_on_the_screen_is_changed_and_no_newer_one(app: App, store: MemoryStore) -> None:
    def editable(step: StepChosen) -> ApprovalRequested:
        return requested("t1", step).model_copy(update={"editable": ("tag",)})

    screen, step = Screen(), chosen("s1", acts=True, tag="v1")
    thread = await store.append(Thread("t1"), opened(), message(), step, editable(step))
    session = Session(app, ANN, thread, show=screen)
    await session.until_turn()
    newer = chosen("s2", acts=True, tag="v2")
    await store.append(thread, newer, editable(newer))
    await session.obey(parse("/edit tag=v3"))
    assert "belongs to a different request" in screen.text
    session = Session(app, ANN, await store.load("t1"), show=screen)
    await session.until_turn()
    for line, problem in (("/edit", "Usage: /edit NAME=VALUE"), ("/edit when=now", "'when' cannot be edited")):
        await session.obey(parse(line))
        assert problem in screen.entries[-1].text
    assert (await store.load("t1")).version == thread.version + 2
    await session.obey(parse("/edit tag='v 3'"))
    now = await store.load("t1")
    last = now.events[-1]
    assert isinstance(last, StepChosen)
    assert (last.arguments, last.by, last.edits, last.proof) == ({"tag": "v 3"}, "person", "s2", "terminal")
    assert screen.entries[-1].text == "✏️ edited it: push tag=v 3"


async def test_where_another_request_came_while_they_typed_nothing_is_decided(app: App, store: MemoryStore) -> None:
    screen = Screen()
    thread = await told(store, chosen("s1", acts=True, tag="v1"))
    session = Session(app, ANN, thread, show=screen)
    await session.until_turn()
    newer = chosen("s2", acts=True, tag="v2")
    session.thread = await store.append(thread, newer, requested("t1", newer))
    await session.until_turn()
    for line in ("/approve", "/reject too early"):
        session.thread = await store.load("t1")
        await session.obey(parse(line))
        if line == "/approve":
            assert "another request came while you typed" in screen.entries[-1].text
            assert await store.load("t1") == session.thread
    assert (await store.load("t1")).state.steps["s2"].status == "rejected", (
        "with the second line it is the one they saw"
    )


async def test_nothing_is_decided_where_nobody_sees_the_screen(app: App, store: MemoryStore) -> None:
    screen = Screen()
    thread = await told(store, chosen("s1", acts=True, tag="v1"))
    session = Session(app, ANN, thread, show=screen, attended=False)
    await session.until_turn()
    for line in ("/approve", "/reject no", "/edit tag=v2"):
        await session.obey(parse(line))
        assert "it is no terminal" in screen.entries[-1].text
        assert "bot approve t1 --digest" in screen.entries[-1].text
    assert await store.load("t1") == thread


async def test_one_of_two_approvals_is_no_problem(app: App, store: MemoryStore) -> None:
    screen, step = Screen(), chosen("s1", acts=True)
    request = requested("t1", step).model_copy(update={"policy": {"quorum": 2}})
    thread = await store.append(Thread("t1"), opened(), message(), step, request)
    session = Session(app, ANN, thread, show=screen)
    await session.until_turn()
    await session.obey(parse("/approve"))
    assert screen.entries[-1].kind == "decision"
    assert "approved: push (1 of 2)" in screen.entries[-1].text
    await session.obey(parse("/approve"))
    assert screen.entries[-1].text == "Your approval was already counted. Nothing was changed."


async def test_what_is_known_is_not_shown_again(app: App, store: MemoryStore) -> None:
    screen = Screen()
    thread = await told(store, chosen("s1", acts=True))
    await Session(app, ANN, thread, shown=thread.version, show=screen).until_turn()
    assert screen.entries == []


class Away(MemoryStore):
    """A store that cannot be reached for as long as the test wants."""

    away = False
    refused = 0

    async def refresh(self, thread: Thread) -> Thread:
        if self.away:
            self.refused += 1
            raise StoreUnavailable("Cannot reach the store.")
        return await super().refresh(thread)

    async def follow(self, thread: Thread) -> AsyncGenerator[Thread]:
        await self.refresh(thread)
        async for now in super().follow(thread):
            yield now


async def test_what_happened_while_the_store_was_away_is_shown_when_it_is_back(clock: Clock, tmp_path: Path) -> None:
    store, screen = Away(clock), Screen()
    channel = TerminalChannel()
    app = App(Setup(Settings(bot_home=tmp_path)), store, Inbox(store), {}, {channel.name: channel})
    thread = await store.append(Thread("t1"), opened(), message(), chosen("s1"), started("s1"))
    store.away = True
    waiting = asyncio.create_task(Session(app, ANN, thread, show=screen).until_turn())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while store.refused < 2:  # noqa: ASYNC110 - the session sets no Event
            await asyncio.sleep(0.01)
    await store.append(thread, message("m2", "never mind"))
    await Inbox(store).cancel("t1", ANN)
    store.away = False
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await waiting).status == "cancelled"
    assert "Ann: never mind" in screen.text
    assert screen.text.count("Cannot reach the store.") == 1
    assert screen.text.count("The database answers again.") == 1


async def test_lines_are_obeyed_in_their_order(app: App, store: MemoryStore) -> None:
    thread = await told(store, chosen("s1", acts=True))

    async def lines() -> AsyncIterator[str]:
        for line in ("", "/reject   too early ", "hold on", "/pause", "/resume", "/cancel", "/quit", "never read"):
            yield line

    await Session(app, ANN, thread, show=Screen()).converse(lines())
    events = (await store.load("t1")).events[thread.version :]
    assert [event.kind for event in events] == [
        "approval_decided",
        "message_received",
        "thread_paused",
        "thread_resumed",
        "thread_cancelled",
    ]
    assert isinstance(events[0], ApprovalDecided)
    assert events[0].comment == "too early"


async def test_words_that_sound_like_a_decision_decide_nothing_and_how_to_decide_is_said_once(
    app: App, store: MemoryStore
) -> None:
    screen = Screen()
    thread = await told(store, chosen("s1", acts=True))
    session = Session(app, ANN, thread, show=screen)
    for line in ("yes", "approve", "no, v2"):
        await session.obey(parse(line))
    now = await store.load("t1")
    assert [event.kind for event in now.events[thread.version :]] == ["message_received"] * 3
    assert now.pending
    assert screen.text.count("To decide, type /approve, or /reject REASON.") == 1


async def test_a_command_without_its_slash_is_words_and_that_is_said(app: App, store: MemoryStore) -> None:
    screen = Screen()
    thread = await told(store)
    session = Session(app, ANN, thread, show=screen)
    for line in ("cancel that, deploy v1.3.0 instead", "cancel", "cancel"):
        await session.obey(parse(line))
    now = await store.load("t1")
    assert [event.kind for event in now.events[thread.version :]] == ["message_received"] * 3
    hint = "That was a message to the agent, not a command. Commands begin with a slash: /cancel"
    assert [entry.text for entry in screen.entries if entry.kind == "problem"] == [hint]


async def test_an_unknown_command_is_sent_to_nobody(app: App, store: MemoryStore) -> None:
    screen = Screen()
    thread = await told(store, chosen("s1", acts=True))
    session = Session(app, ANN, thread, show=screen)
    for line in ("/aprove", "/approve it"):
        await session.obey(parse(line))
        assert screen.entries[-1].kind == "problem"
    assert await store.load("t1") == thread


async def test_a_cancelled_thread_says_how_to_reopen_it_and_goes_on_with_the_next_words(
    app: App, store: MemoryStore
) -> None:
    screen = Screen()
    thread = await told(store, chosen("s1", acts=True))
    session = Session(app, ANN, thread, show=screen)
    await session.obey(parse("/cancel wrong version"))
    assert screen.entries[-1].text == "/resume reopens it. What was cancelled stays cancelled."
    await session.obey(parse("deploy v1.3.0 instead"))
    assert screen.entries[-1].text == "This thread was cancelled. /resume reopens it."
    await session.obey(parse("/resume"))
    assert screen.entries[-1].text == "reopened the thread; what was cancelled stays cancelled"
    await session.obey(parse("/approve"))
    await session.obey(parse("deploy v1.3.0 instead"))
    now = await store.load("t1")
    assert (now.status, now.state.steps["s1"].status) == ("working", "cancelled")


async def test_a_worker_that_fails_does_not_leave_a_person_waiting(clock: Clock, tmp_path: Path) -> None:
    class Broken(MemoryStore):
        async def due_in_seconds(self, skip: Collection[str] = ()) -> float | None:
            raise ZeroDivisionError("a mistake of ours")

    store, channel = Broken(clock), TerminalChannel()
    app = App(Setup(Settings(bot_home=tmp_path)), store, Inbox(store), {}, {channel.name: channel})
    thread = await store.append(Thread("t1"), opened(), message(), chosen("s1"), started("s1"))
    async with asyncio.timeout(PATIENCE_SECONDS) as patience:
        with pytest.raises(ZeroDivisionError):
            async with working(app, NoModel(), thread.id):
                await Session(app, ANN, thread, show=Screen()).until_turn()
    assert not patience.expired()
