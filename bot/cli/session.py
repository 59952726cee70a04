"""A terminal session on one thread: shows the log as it grows, and turns what the person types into events.

It keeps no state of its own, so a session can be closed or killed, and reopened on the same thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from agent.decide import AskModel, decide
from agent.model.base import Model
from bot.app import App
from bot.cli import console
from bot.cli.person import how_to_be_known, proof_of
from bot.cli.thinking import FIRST_SECONDS, SOON_SECONDS, tell_while_thinking
from bot.views.entry import Entry
from bot.views.transcript import entries
from channels.inbound import Reason, Refused
from channels.terminal import BARE_COMMANDS, Typed, parse
from store.base import StoreUnavailable
from store.thread import Thread
from store.values import Person

HELP = (
    "Type to talk. Commands begin with a slash: /approve, /reject REASON, /edit NAME=VALUE, /stop, /pause, /resume, "
    "/cancel REASON, /help, /quit."
)
STORE_RETRY_SECONDS = 0.5
STORE_AWAY_SECONDS_MAX = 60.0
"""If the store is unreachable for longer, the session ends. The thread can be reopened."""
SILENT_STOP_SECONDS = 1.0

_SOUNDS_LIKE_A_DECISION = re.compile(
    r"(approved?|reject(ed)?|yes|yep|no|nope|ok(ay)?|y|n|lgtm|do it|go( ahead)?)\b", re.IGNORECASE
)


@contextlib.asynccontextmanager
async def working(app: App, model: Model, thread_id: str) -> AsyncIterator[None]:
    """Runs a worker for this thread. On exit, it waits for the current work to end."""
    worker = app.worker(model, only=thread_id)
    body = asyncio.current_task()
    assert body is not None
    work = asyncio.create_task(worker.run())
    # If the worker crashes, end the session, so that the person does not wait for nothing.
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
        tell: Callable[[str], None] = console.say,
        attended: bool = True,
    ) -> None:
        """`shown`: how many events the person has already seen. `attended`: a person sees what is shown.

        `show`: an entry of the thread. `tell`: words about the session itself.
        """
        self._app = app
        self._me = me
        self._show, self._tell = show, tell
        self._shown = shown
        self._attended = attended
        self._prompted = ""
        self._cards: set[str] = set()
        """The requests that came on the screen since the person's last line."""
        self._types = False
        self._hinted: set[str] = set()
        self.thread = thread

    async def until_turn(self) -> Thread:
        """Show events until it is a person's turn, or nobody's. Raises StoreUnavailable if the store stays down."""
        thread = self.thread
        self._show_new(thread)
        if not self._is_at_rest(thread):
            thinking = asyncio.create_task(self._tell_while_thinking())
            try:
                news = self._news(thread)
                async with contextlib.aclosing(news):
                    async for thread in news:
                        self._show_new(thread)
                        if self._is_at_rest(thread):
                            break
            finally:
                thinking.cancel()
        return self.thread

    async def converse(self, lines: AsyncIterator[str]) -> None:
        """Show events and run commands until the person quits, or the input ends and it is a person's turn."""
        self._types = True
        watch = asyncio.create_task(self._watch())
        reading = asyncio.create_task(self._run_all(lines))
        thinking = asyncio.create_task(self._tell_while_thinking())
        try:
            await asyncio.wait({watch, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await watch  # It ends only if the store stays down.
            if await reading:
                await self.until_turn()
        finally:
            for task in (watch, reading, thinking):
                task.cancel()
            await asyncio.gather(watch, reading, thinking, return_exceptions=True)

    async def _run_all(self, lines: AsyncIterator[str]) -> bool:
        """True: the input has ended. False: the person wants to quit."""
        async for line in lines:
            if not await self.obey(parse(line)):
                return False
        return True

    async def obey(self, typed: Typed) -> bool:
        """Run a command. False: the person wants to quit."""
        try:
            match typed.command:
                case "quit":
                    return False
                case "help":
                    console.say_prose(HELP)
                case "nothing":
                    pass
                case "mistake":
                    self._problem(typed.error)
                case _:
                    await self._act(typed)
        except Refused as refusal:
            self._problem(f"{refusal}{how_to_be_known(self._me, refusal.reason, self._app.people)}")
        except StoreUnavailable as error:
            self._problem(f"{error} Check whether it arrived before you type it again.")
        finally:
            self._cards.clear()
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
                    proof=proof_of(self._me),
                    way="terminal",
                )
                self._show_new(result.thread)
                if not result.counts:
                    reason: Reason = "not_entitled" if result.outcome == "not_entitled" else "moved"
                    self._problem(f"{result.text}{how_to_be_known(self._me, reason, self._app.people)}")
            case "edit":
                edited = await inbox.edit(
                    thread_id,
                    self._me,
                    step_id="",
                    digest=self._digest_shown(),
                    arguments=typed.arguments,
                    proof=proof_of(self._me),
                    way="terminal",
                )
                self._show_new(edited)
            case "stop":
                self._show_new(await inbox.stop(thread_id, self._me))
            case "pause":
                self._show_new(await inbox.pause(thread_id, self._me))
            case "resume":
                self._show_new(await inbox.resume(thread_id, self._me))
            case "cancel":
                self._show_new(await inbox.cancel(thread_id, self._me, typed.text))
                self._show(Entry("note", "bot", "/resume reopens it. What was cancelled stays cancelled."))
            case _:
                await self._say(typed.text)

    async def _say(self, text: str) -> None:
        """Send words to the agent. If they sound like a command, add once that they are none."""
        inbox, thread = self._app.inbox, self.thread
        if thread.state.cancelled:
            raise Refused("This thread was cancelled. /resume reopens it.")
        if thread.state.question:
            self._show_new(await inbox.answer(thread.id, self._me, text))
        else:
            self._show_new(await inbox.say(thread.id, self._me, text))
        word = text.lower()
        if thread.pending and _SOUNDS_LIKE_A_DECISION.match(text):
            hint, about = "not a decision. To decide, type /approve, or /reject REASON.", thread.pending.step
        elif word in BARE_COMMANDS:
            hint, about = f"not a command. Commands begin with a slash: /{word}", word
        else:
            return
        if about not in self._hinted:
            self._hinted.add(about)
            self._problem(f"That was a message to the agent, {hint}")

    def _digest_shown(self) -> str:
        """The digest of the request that the person means: the one on the screen, and no newer one. Raises Refused."""
        request = self.thread.last_request
        if request is None:
            raise Refused("There is nothing to approve or reject yet.")
        if not self._attended:
            raise Refused(
                f"Nothing was decided, because nobody sees this screen: it is no terminal. Look at the request with "
                f"`bot show {self.thread.id}`, then name it: `bot approve {self.thread.id} --digest D`."
            )
        if len(self._cards) > 1:
            raise Refused(
                "Nothing was decided, because another request came while you typed. Look at the last one, and type it "
                "again."
            )
        return request.digest

    async def _watch(self) -> None:
        thread = self.thread
        self._show_new(thread)
        async for moved in self._news(thread):
            self._show_new(moved)

    async def _news(self, thread: Thread) -> AsyncGenerator[Thread]:
        """Yields the thread each time it has new events. The store may be down for a while."""
        store, away_since = self._app.store, 0.0
        while True:
            try:
                if away_since:
                    await store.refresh(thread)
                    away_since = 0.0
                    self._show(Entry("note", "bot", "The database answers again."))
                async with contextlib.aclosing(store.follow(thread)) as follower:
                    async for thread in follower:
                        yield thread
            except StoreUnavailable as error:
                if not away_since:
                    away_since = time.monotonic()
                    self._problem(str(error))
                if time.monotonic() - away_since > STORE_AWAY_SECONDS_MAX:
                    raise
                await asyncio.sleep(STORE_RETRY_SECONDS)

    async def _tell_while_thinking(self) -> None:
        soon = SOON_SECONDS if console.drawing() else FIRST_SECONDS
        await tell_while_thinking(self._thinks_about, self._tell, first_seconds=soon)

    def _thinks_about(self) -> int | None:
        """The version of the thread that the model is asked about; None: it is not asked."""
        agent = self._app.roster.get(self.thread.agent)
        return self.thread.version if agent and isinstance(decide(agent, self.thread), AskModel) else None

    def _is_at_rest(self, thread: Thread) -> bool:
        """The agent and the clock have nothing to do, and the outbox is empty."""
        agent = self._app.roster.get(thread.agent)
        return thread.turn != "clock" and (decide(agent, thread) is None if agent else thread.turn != "agent")

    def _show_new(self, thread: Thread) -> None:
        if thread.version < self._shown:
            return  # An older state.
        self.thread = thread
        for entry in entries(thread, self._shown):
            self._show(entry)
        self._shown = thread.version
        pending = thread.pending
        if pending:
            self._cards.add(pending.step)
        if self._types and pending and pending.step != self._prompted:
            self._prompted = pending.step
            names = " ".join(f"{name}=…" for name in pending.asked.editable)
            change = f", or: /edit {names}" if names else ""
            self._show(Entry("request", "bot", f"Type: /approve, or: /reject REASON{change}"))

    def _problem(self, text: str) -> None:
        self._show(Entry("problem", "bot", text))
