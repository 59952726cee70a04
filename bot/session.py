"""A person at a terminal on one thread: the log is shown as it grows, and what is typed becomes events.

What is shown is what is in the store, so a session can be closed, or killed, and opened again on the same thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable

from agent.decide import decide
from bot.app import App
from bot.inbox import Refused
from bot.transcript import Entry, entries
from channels.terminal import Typed, parse
from store.events import Person
from store.thread import Thread

HELP = "Type to talk. Commands: approve, reject REASON, pause, resume, cancel REASON, quit."

_COLOURS = {"person": "36", "bot": "32", "request": "33", "problem": "31", "step": "2", "note": "2"}


def printed(entry: Entry) -> None:
    """One entry on stdout, in colour where that is a terminal."""
    name, *rest = (entry.text or " ").split("\n")
    lines = [f"{entry.who + ':':<12} {name}", *(f"{'':<12} {line}" for line in rest)]
    text = "\n".join(lines)
    print(f"\x1b[{_COLOURS[entry.kind]}m{text}\x1b[0m" if sys.stdout.isatty() else text, flush=True)


class Session:
    def __init__(self, app: App, me: Person, thread: Thread, *, show: Callable[[Entry], None] = printed) -> None:
        self._app = app
        self._me = me
        self._show = show
        self._shown = 0
        self.thread = thread

    async def until_turn(self) -> Thread:
        """Show what happens until it is a person's turn, or nobody's."""
        self._show_new(self.thread)
        if not self._rests(self.thread):
            follower = self._app.store.follow(self.thread)
            async with contextlib.aclosing(follower):  # type: ignore[type-var]
                async for thread in follower:
                    self._show_new(thread)
                    if self._rests(thread):
                        break
        return self.thread

    async def converse(self, lines: AsyncIterator[str]) -> None:
        """Show and obey until the person quits, or the input ends and it is a person's turn."""
        watch = asyncio.create_task(self._watch())
        try:
            async for line in lines:
                if not await self.obey(parse(line)):
                    return
            await self.until_turn()
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def obey(self, typed: Typed) -> bool:
        """False: the person wants to leave."""
        inbox, thread_id = self._app.inbox, self.thread.id
        try:
            match typed.command:
                case "quit":
                    return False
                case "nothing":
                    pass
                case "approve" | "reject":
                    settlement = await inbox.decide(
                        thread_id,
                        self._me,
                        approved=typed.command == "approve",
                        comment=typed.text,
                        digest=self._digest_shown(),
                        proof="terminal",
                    )
                    self._show_new(settlement.thread)
                    if settlement.outcome != "settled":
                        self._show(Entry("problem", "bot", settlement.text))
                case "pause":
                    self._show_new(await inbox.pause(thread_id, self._me))
                case "resume":
                    self._show_new(await inbox.resume(thread_id, self._me))
                case "cancel":
                    self._show_new(await inbox.cancel(thread_id, self._me, typed.text))
                case "say" if self.thread.state.question:
                    self._show_new(await inbox.answer(thread_id, self._me, typed.text))
                case "say":
                    self._show_new(await inbox.say(thread_id, self._me, typed.text))
        except Refused as refusal:
            self._show(Entry("problem", "bot", str(refusal)))
        return True

    def _digest_shown(self) -> str:
        """Of the request on the screen: what comes in while somebody types is not what they decide on."""
        return self.thread.pending.request.digest if self.thread.pending and self.thread.pending.request else ""

    async def _watch(self) -> None:
        self._show_new(self.thread)
        async for thread in self._app.store.follow(self.thread):
            self._show_new(thread)

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
