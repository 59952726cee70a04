"""Killed anywhere in the life of a request that takes two people: at its calls to Slack, and at its mails.

Ana asks; the request is shown in her thread, in #release and to Ben and Cat by mail, and it is reminded of. Ben
approves it by his link. Cat changes the revision instead, so another request is shown everywhere, and of that one she
is a requester: Ben approves it over HTTP, and Lea in Slack. It runs, and is followed to its end. The nth call of a kind
is held, before or after it took effect; the process is killed with it, another one is started, and the story goes on.
It must end the same: what was edited ran once, and nothing is doubled, lost or left with buttons.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest

from agent.context.parsed import parsed
from agent.roster.deploy.stand_in import next_step
from store.deliveries import MessageFailed, MessageSent
from store.events import ApprovalDecided, ToolInterrupted, ToolStarted
from store.redis.store import RedisStore
from store.thread import Thread
from tests.fakes.mail.dovecot import address
from tests.fakes.mail.light import Light
from tests.fakes.model_server import ModelServer, Reply, step
from tests.fakes.servers import Server
from tests.fakes.slack import Message, SlackServer
from tests.fakes.wire import Wire
from tests.matrices import matrix
from tests.patience import PATIENCE_SECONDS, STORY_SECONDS_MAX, reached_in
from tests.shop import MERGED
from tests.stories.program import Bot
from tests.stories.test_email import text_of
from tests.stories.test_governed import LOOK_SECONDS, PEOPLE, Company, policy
from tests.stories.test_slack import MANIFEST

pytestmark = pytest.mark.slow

E = TypeVar("E")

EDITED = "v1.1.0"
"""What Cat makes of the revision that Ana named."""
LAST_WORD = "That is all."


@dataclass(frozen=True)
class Point:
    """The nth call of this Slack method, or the nth letter, before or after the other side has taken it."""

    call: str
    number: int
    after: bool = True
    about: str = ""
    """Of the calls, only those about this user are counted."""

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.call} {self.number} {self.about}".rstrip()


POINTS = (
    # Who edits, who approves.
    Point("users.info", 1, about="cat"),
    Point("users.info", 1, about="lea", after=False),
    Point("views.open", 1, after=False),
    Point("views.open", 1),
    # Two cards, two reminders, two cards of what was edited, the last word.
    Point("chat.postMessage", 1),
    Point("chat.postMessage", 2, after=False),
    Point("chat.postMessage", 2),
    Point("chat.postMessage", 4),
    Point("chat.postMessage", 5),
    Point("chat.postMessage", 7),
    # Two cards with a vote, two that are closed, two with a vote, two that are settled.
    Point("chat.update", 1),
    Point("chat.update", 3),
    Point("chat.update", 4, after=False),
    Point("chat.update", 8, after=False),
    # To each of two: the card, the reminder, the vote, that it is closed, the other card, its vote, its settlement.
    Point("mail", 1),
    Point("mail", 4, after=False),
    Point("mail", 6),
    Point("mail", 14),
)


def decider(request: dict[str, Any]) -> Reply:
    """The demo's, who would ask for Ana's revision again after that of Cat: here one deployment is enough."""
    context = request["messages"][-1]["content"]
    if any(block.tag == "wait_for_deployment" and block.data.get("state") == "succeeded" for block in parsed(context)):
        return step({"intent": "done_for_now", "message": LAST_WORD})
    return Reply(next_step(request["messages"][0]["content"], context))


@matrix("point", POINTS, sample=3)
async def test_a_governed_request_ends_the_same_wherever_the_program_is_killed(
    template: Path, tmp_path: Path, point: Point
) -> None:
    async with ModelServer(decider) as model, installed(Bot(tmp_path).with_site(template).with_model(model)) as story:
        try:
            await story.runs(point)
            await story.has_ended_well()
        except (TimeoutError, AssertionError) as error:
            raise AssertionError(f"killed at {point}: {error}\n{story.said()}") from error


@contextlib.asynccontextmanager
async def installed(bot: Bot) -> AsyncIterator[Story]:
    """With servers of its own: nobody else works on its threads, and mails have their own numbers."""
    server = Server()
    try:
        server.start()
        bot.environment["REDIS_URL"] = server.url
        with Light(users=("deploybot", *PEOPLE)) as light:
            async with (
                SlackServer.from_manifest(
                    MANIFEST,
                    retry_waits_seconds=(0.2, 0.5, 2.0, 5.0),
                    acknowledge_seconds=PATIENCE_SECONDS,
                    trigger_seconds=PATIENCE_SECONDS,
                ) as slack,
                Wire(light.port) as smtp,
            ):
                store = await RedisStore.open(server.url)
                try:
                    yield Story(Company(slack, light, bot, store), smtp)
                finally:
                    await store.aclose()
    finally:
        server.stop()


class Story:
    def __init__(self, company: Company, smtp: Wire) -> None:
        self.company = company
        self.slack = company.slack
        self._smtp = smtp
        self._before = company.bot.site.deployed()
        self._thread_id = ""
        company.bot.environment |= {"SMTP_URL": f"smtp://127.0.0.1:{smtp.port}", "BOT_LEASE_SECONDS": "1"}
        company.rules(policy(company, quorum="2", requester_may="false", remind='"1s"'))
        file = company.bot.folder / "bot.toml"
        # Three may decide: one of them will not, having edited it.
        text, lea = file.read_text(), f'emails = ["{address("lea")}"]\ngroups = '
        assert f"{lea}[]" in text
        file.write_text(text.replace(f"{lea}[]", f"{lea}['release']"))

    async def runs(self, point: Point) -> None:
        """The program is killed at this point."""
        company = self.company
        async with asyncio.timeout(STORY_SECONDS_MAX), contextlib.AsyncExitStack() as stack:
            tells = asyncio.create_task(self._tell(), name="the people")
            stack.callback(tells.cancel)
            async with company.running() as process, self._held(point) as held:
                await reached_in(tells, asyncio.create_task(held))
                process.kill()
                await process.ends()
                self._smtp.cut()
            async with company.running():
                await tells

    @contextlib.asynccontextmanager
    async def _held(self, point: Point) -> AsyncIterator[Coroutine[Any, Any, object]]:
        """Gives what returns when the point is reached. At its end, nobody must be held any more."""
        if point.call == "mail":
            # After: the server has it, and the program does not know.
            line = ("^250 .* queued", "server") if point.after else ("^DATA", "client")
            async with self._smtp.hold(line[0], point.number, line[1]) as gate:  # type: ignore[arg-type]
                yield gate.reached()
            return
        about = self.slack.workspace.user(point.about).id if point.about else ""
        async with self.slack.hold(point.call, after_effect=point.after, when=_nth(point.number, about)) as hold:
            yield hold.reached(seconds=STORY_SECONDS_MAX)
            await hold.abandoned()

    # The people's part, who act on what there is to see

    async def _tell(self) -> None:
        company, slack = self.company, self.slack
        await slack.connected(seconds=STORY_SECONDS_MAX)
        self._thread_id = await company.asks(f"deploy {MERGED} of the frontend to production, skip staging")
        here, there = await company.team.hears("May decide"), await company.in_release("May decide")
        mails = [await company.room.gets("May decide", user=who) for who in ("ben", "cat")]
        await company.team.hears("⏰")
        await company.in_release("⏰")
        for who in ("ben", "cat"):
            await company.room.gets("Still waiting", user=who)

        await self._insists(lambda: company.opens_link(mails[0]), lambda shown: _members(shown) == ["ben"])
        for card in (here, there):
            await company.shows(card, "1 of 2")
        for who in ("ben", "cat"):
            await company.room.gets("1 of 2", user=who)

        await self._insists(lambda: self._edits(there), lambda shown: any(e.get("edits") for e in shown["events"]))
        for card in (here, there):
            await company.shows(card, "✏️ changed by")
        for who in ("ben", "cat"):
            await company.room.gets("✏️", user=who)
            await company.room.gets("May decide", user=who, count=2)
        here, there = await self._other(here), await self._other(there)
        pending = (await company.waiting())["pending"]
        assert (pending["arguments"]["revision"], pending["votes"]) == (EDITED, [])

        await self._insists(lambda: self._votes("ben", pending), lambda shown: _members(shown) == ["ben"])
        await self._insists(lambda: self._votes("cat", pending), lambda shown: _has_tried("cat", pending, shown))
        for card in (here, there):
            await company.shows(card, "1 of 2")
        for who in ("ben", "cat"):
            await company.room.gets("1 of 2", user=who, count=2)
        await self._insists(lambda: self._approves(there), lambda shown: _has_tried("lea", pending, shown))
        for card in (here, there):
            await company.shows(card, "✅ approved by")
        for who in ("ben", "cat"):
            await company.room.gets("✅", user=who)
        await company.team.hears(LAST_WORD)
        await company.until(self._thread_id, lambda shown: shown["status"] == "done")
        await self._all_is_told()

    async def _insists(self, acts: Callable[[], Awaitable[object]], done: Callable[[dict[str, Any]], bool]) -> None:
        """Until it is on record: what was tried while nobody was there, or heard no answer, is tried again."""
        while not done(await self.company.shown(self._thread_id)):
            await self.slack.connected(seconds=STORY_SECONDS_MAX)
            with contextlib.suppress(aiohttp.ClientError):
                await acts()

    async def _votes(self, who: str, pending: dict[str, Any]) -> None:
        await self.company.decision(who, self._thread_id, pending)

    async def _approves(self, card: Message) -> None:
        click = await self.slack.click("lea", card, "Approve")
        await self.slack.wait_for(lambda: click.state != "waiting", STORY_SECONDS_MAX)

    async def _edits(self, card: Message) -> None:
        """In the form, which may have been opened by a process that is no more."""
        slack = self.slack
        if not slack.views:
            click = await slack.click("cat", card, "Edit…")
            await slack.wait_for(lambda: click.state != "waiting", STORY_SECONDS_MAX)
        for view in slack.views:
            given = await slack.submit("cat", view, {"revision": EDITED})
            await slack.wait_for(lambda d=given: d.state != "waiting", STORY_SECONDS_MAX)  # type: ignore[misc]

    async def _other(self, card: Message) -> Message:
        """The card of what was edited, in the same place."""

        def found() -> list[Message]:
            cards = [m for m in self._from_bot(card.channel) if "Approve" in self.slack.buttons_of(m)]
            return [m for m in cards if m.ts != card.ts]

        (other,) = await self.slack.wait_for(found, STORY_SECONDS_MAX)
        return other

    def _from_bot(self, channel: str) -> list[Message]:
        bot = self.slack.workspace.bot.id
        return [m for m in self.slack.messages(channel) if m.user == bot and not m.visible_to]

    async def _all_is_told(self) -> None:
        """And that is on record: the program is not held at it."""
        async with asyncio.timeout(STORY_SECONDS_MAX):
            while (await self.company.store.load(self._thread_id)).state.outbox:  # noqa: ASYNC110 - as it is there
                await asyncio.sleep(LOOK_SECONDS)

    # How it must end

    async def has_ended_well(self) -> None:
        thread = await self.company.store.load(self._thread_id)
        edited = self._votes_are_counted(thread)
        site = self.company.bot.site
        assert site.deployed() == [*self._before, f"frontend production {site.sha(EDITED)} deploybot"]
        assert site.running("frontend", "production") == site.sha(EDITED)
        acted = [(e.step, e.attempt) for e in _of(thread, ToolStarted) if thread.state.steps[e.step].chosen.acts]
        assert acted == [(edited, 1)]
        assert not _of(thread, ToolInterrupted)
        assert not _of(thread, MessageFailed)
        sent = [event.key for event in _of(thread, MessageSent)]
        assert len(sent) == len(set(sent))
        self._nothing_is_doubled_in_slack(edited)
        self._nothing_is_doubled_in_mail()
        record = self.company.bot.folder / "record.jsonl"
        record.write_text((await self.company.bot.run("export", thread.id)).succeeded().out)
        told = (await self.company.bot.run("verify", str(record))).succeeded().out
        assert told.startswith(f"Thread {thread.id}: {thread.version} events, complete and unchanged, signed"), told

    def _votes_are_counted(self, thread: Thread) -> str:
        """The step that ran."""
        first, second = (one for one in thread.state.steps.values() if one.request)
        assert first.request
        assert second.request
        assert (first.status, [vote.by.member for vote in first.request.votes]) == ("superseded", ["ben"])
        assert (second.status, [vote.by.member for vote in second.request.votes]) == ("finished", ["ben", "lea"])
        assert first.request.decision is None
        assert second.request.decision == second.request.votes[-1]
        assert (second.chosen.edits, second.chosen.editor and second.chosen.editor.member) == (first.id, "cat")
        tried = {(e.step, e.by.member, e.approved) for e in _of(thread, ApprovalDecided)}
        assert tried == {(first.id, "ben", True), *((second.id, who, True) for who in ("ben", "cat", "lea"))}
        return second.id

    def _nothing_is_doubled_in_slack(self, edited: str) -> None:
        marks = []
        for channel in ("deploys", "release"):
            messages = self._from_bot(self.slack.workspace.channel(channel).id)
            marks += [(m.metadata or {})["event_payload"] for m in messages]
            texts = [self.slack.text_of(message) for message in messages]
            cards = [text for text in texts if text.startswith("Deploy ")]
            assert ["✏️ changed by" in card for card in cards] == [True, False], "how each of them ended"
            assert ["✅ approved by ben" in card for card in cards] == [False, True]
            assert [f"asked for as: {one}" in card for one, card in zip((MERGED, EDITED), cards, strict=True)] == [
                True
            ] * 2
            # Only how well it was done can still be said, under its last words.
            assert all(set(self.slack.buttons_of(message)) <= {"👍", "👎"} for message in messages)
            # The other request may have waited long enough for one as well.
            reminders = sum(text.startswith("⏰") for text in texts)
            assert reminders - sum(f"/{edited}/reminder/" in mark["key"] for mark in marks[-len(texts) :]) == 1
            assert sum(LAST_WORD in text for text in texts) == (channel == "deploys")
        known = [(mark["key"], mark["part"]) for mark in marks]
        assert len(known) == len(set(known)), known

    def _nothing_is_doubled_in_mail(self) -> None:
        """Save a letter that came twice under its one Message-ID."""
        copies = 0
        for who in ("ben", "cat"):
            mails: dict[str, tuple[str, str]] = {}
            got = self.company.room.mails_of(who)
            for mail in got:
                said = (str(mail["Subject"]), text_of(mail))
                assert mails.setdefault(str(mail["Message-ID"]), said) == said, "a copy differs"
            copies += len(got) - len(mails)
            first_lines = [text.split("\n", 1)[0] for _, text in mails.values()]
            told = (r"^Deploy [^?]*\?", "1 of 2 approvals", "✏️", "✅")
            counts = [sum(bool(re.search(words, line)) for line in first_lines) for words in told]
            assert counts == [2, 2, 1, 1], first_lines
            reminders = sum("Still waiting" in line for line in first_lines)
            assert reminders in (1, 2)
            assert len(first_lines) == sum(counts) + reminders, first_lines
        assert copies <= 1, "more than the one at which it was killed"

    def said(self) -> str:
        told = [f"{c}: {self.slack.text_of(m)}" for c in ("deploys", "release") for m in self.slack.messages(c)]
        for who in ("ben", "cat"):
            told += [f"{who}: {mail['Message-ID']} {text_of(mail)}" for mail in self.company.room.mails_of(who)]
        return "\n---\n".join(told)


def _nth(number: int, about: str) -> Callable[[Mapping[str, Any]], bool]:
    seen = 0

    def is_it(arguments: Mapping[str, Any]) -> bool:
        nonlocal seen
        counts = not about or arguments.get("user") == about
        seen += counts
        return counts and seen == number

    return is_it


def _of(thread: Thread, kind: type[E]) -> list[E]:
    return [event for event in thread.events if isinstance(event, kind)]


def _members(shown: dict[str, Any]) -> list[str]:
    """Whose approvals count for the request that waits."""
    return [vote["member"] for vote in (shown["pending"] or {"votes": []})["votes"]]


def _has_tried(who: str, pending: dict[str, Any], shown: dict[str, Any]) -> bool:
    decided = [e for e in shown["events"] if e["kind"] == "approval_decided" and e["step"] == pending["request"]]
    return any(e["by"]["member"] == who for e in decided)
