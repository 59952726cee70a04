"""A person at a terminal on one thread: its log is shown as it grows, and what they type becomes events.

It shows what is in the store and keeps nothing itself, so a session can be closed, or killed, and opened again on the
same thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from agent.decide import decide
from agent.model.base import Model
from bot.app import App
from bot.cli import console
from bot.cli.command import PROOF
from bot.views.transcript import Entry, entries
from channels.inbound import Refused
from channels.terminal import Typed, parse
from store.base import StoreUnavailable
from store.thread import Thread
from store.values import Person

HELP = "Type to talk. Commands: approve, reject REASON, edit NAME=VALUE, pause, resume, cancel REASON, help, quit."
STORE_RETRY_SECONDS = 0.5
STORE_AWAY_SECONDS_MAX = 60.0
"""A store that is away for longer ends the session. The thread can be opened again."""
SILENT_STOP_SECONDS = 1.0

_SOUNDS_LIKE_YES = re.compile(r"(approved?|yes|yep|ok(ay)?|y|lgtm|do it|go( ahead)?)\b", re.IGNORECASE)


@contextlib.asynccontextmanager
async def working(app: App, model: Model, thread_id: str) -> AsyncIterator[None]:
    """A worker for this one thread. At the end, what it has under way ends first."""
    worker = app.worker(model, only=thread_id)
    body = asyncio.current_task()
    assert body is not None
    work = asyncio.create_task(worker.run())
    # A mistake of ours must not leave a person waiting for a worker that is gone.
    work.add_done_callback(lambda done: body.cancel() if not done.cancelled() and done.exception() else None)
    try:
        yield
    finally:
        worker.stop()
        if not (await asyncio.wait({work}, timeout=SILENT_STOP_SECONDS))[0]:
            console.say("Stopping after the work in progress; Ctrl-C aborts it.")
        await work


class Session:
    def __init__(
        self,
        app: App,
        me: Person,
        thread: Thread,
        *,
        shown: int = 0,
        show: Callable[[Entry], None] = console.show,
    ) -> None:
        """`shown`: events at its beginning that the person knows already."""
        self._app = app
        self._me = me
        self._show = show
        self._shown = shown
        self._prompted = ""
        self._types = False
        self.thread = thread

    async def until_turn(self) -> Thread:
        """Show what happens until it is a person's turn, or nobody's. Raises StoreUnavailable when it stays away."""
        thread = self.thread
        self._show_new(thread)
        if not self._rests(thread):
            news = self._news(thread)
            async with contextlib.aclosing(news):
                async for thread in news:
                    self._show_new(thread)
                    if self._rests(thread):
                        break
        return self.thread

    async def converse(self, lines: AsyncIterator[str]) -> None:
        """Show and obey until the person quits, or the input ends and it is a person's turn."""
        self._types = True
        watch = asyncio.create_task(self._watch())
        reading = asyncio.create_task(self._obey_all(lines))
        try:
            await asyncio.wait({watch, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await watch  # it ends only where the store stays away
            if await reading:
                await self.until_turn()
        finally:
            for task in (watch, reading):
                task.cancel()
            await asyncio.gather(watch, reading, return_exceptions=True)

    async def _obey_all(self, lines: AsyncIterator[str]) -> bool:
        """True: the input has ended. False: the person wants to leave."""
        async for line in lines:
            if not await self.obey(parse(line)):
                return False
        return True

    async def obey(self, typed: Typed) -> bool:
        """False: the person wants to leave."""
        try:
            match typed.command:
                case "quit":
                    return False
                case "help":
                    console.say(HELP)
                case "nothing":
                    pass
                case _:
                    await self._act(typed)
        except Refused as refusal:
            self._problem(str(refusal))
        except StoreUnavailable as error:
            self._problem(f"{error} Check whether it arrived before you type it again.")
        return True

    async def _act(self, typed: Typed) -> None:
        inbox, thread_id = self._app.inbox, self.thread.id
        match typed.command:
            case "approve" | "reject":
                result = await inbox.decide(
                    thread_id,
                    self._me,
                    approved=typed.command == "approve",
                    comment=typed.text,
                    digest=self._digest_shown(),
                    proof=PROOF,
                )
                self._show_new(result.thread)
                if not result.counts:
                    self._problem(result.text)
            case "edit" if typed.error:
                raise Refused(typed.error)
            case "edit":
                edited = await inbox.edit(
                    thread_id,
                    self._me,
                    step_id="",
                    digest=self._digest_shown(),
                    arguments=typed.arguments,
                    proof=PROOF,
                )
                self._show_new(edited)
            case "pause":
                self._show_new(await inbox.pause(thread_id, self._me))
            case "resume":
                self._show_new(await inbox.resume(thread_id, self._me))
            case "cancel":
                self._show_new(await inbox.cancel(thread_id, self._me, typed.text))
            case "say" if self.thread.state.question:
                self._show_new(await inbox.answer(thread_id, self._me, typed.text))
            case _:
                pending = self.thread.pending
                self._show_new(await inbox.say(thread_id, self._me, typed.text))
                if pending and _SOUNDS_LIKE_YES.match(typed.text):
                    self._problem("That was said to the agent and decides nothing. To approve, type just: approve")

    def _digest_shown(self) -> str:
        """Of the request on the screen: what comes in while somebody types is not what they decide on."""
        requests = [step.request for step in self.thread.state.steps.values() if step.request]
        if not requests:
            raise Refused("There is nothing to approve or reject yet.")
        return (self.thread.pending or requests[-1]).digest

    async def _watch(self) -> None:
        thread = self.thread
        self._show_new(thread)
        async for moved in self._news(thread):
            self._show_new(moved)

    async def _news(self, thread: Thread) -> AsyncGenerator[Thread]:
        """The thread each time it has moved beyond what was given. The store may go away for a while."""
        store, away_since = self._app.store, 0.0
        while True:
            try:
                if away_since:
                    await store.refresh(thread)
                    away_since = 0.0
                    self._show(Entry("note", "bot", "The database answers again."))
                async with contextlib.aclosing(store.follow(thread)) as follower:  # type: ignore[type-var]
                    async for thread in follower:
                        yield thread
            except StoreUnavailable as error:
                if not away_since:
                    away_since = time.monotonic()
                    self._problem(str(error))
                if time.monotonic() - away_since > STORE_AWAY_SECONDS_MAX:
                    raise
                await asyncio.sleep(STORE_RETRY_SECONDS)

    def _rests(self, thread: Thread) -> bool:
        """The agent and the clock have nothing to do, and all that was to be said is said."""
        agent = self._app.roster.get(thread.agent)
        return thread.turn != "clock" and (decide(agent, thread) is None if agent else thread.turn != "agent")

    def _show_new(self, thread: Thread) -> None:
        if thread.version < self._shown:
            return  # news from before
        self.thread = thread
        for entry in entries(thread, self._shown):
            self._show(entry)
        self._shown = thread.version
        pending = thread.pending
        if self._types and pending and pending.step != self._prompted:
            self._prompted = pending.step
            names = " ".join(f"{name}=…" for name in pending.asked.editable)
            change = f", or: edit {names}" if names else ""
            self._show(Entry("request", "bot", f"Type: approve, or: reject REASON{change}"))

    def _problem(self, text: str) -> None:
        self._show(Entry("problem", "bot", text))


async def typed_lines() -> AsyncIterator[str]:
    """Lines of stdin as they come; ends with it."""
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def put(line: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and so has whoever would read it
            loop.call_soon_threadsafe(queue.put_nowait, line)

    def read() -> None:
        # Not sys.stdin: a thread that waits in its buffer would crash the interpreter when that ends.
        rest = b""
        with contextlib.suppress(OSError):  # the terminal has gone: that is its end
            while data := os.read(0, 65536):
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    put(line.decode(errors="replace"))
        if rest:
            put(rest.decode(errors="replace"))
        put(None)

    threading.Thread(target=read, daemon=True, name="stdin").start()
    while (line := await queue.get()) is not None:
        yield line
