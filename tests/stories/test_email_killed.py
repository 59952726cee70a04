"""Killed anywhere, with mail: the program dies before and after each of its calls on the wire.

The story is the office's shortest with everything in it: a mail, a card, a reject by reply with a reason, another card,
an approval by link, another one by reply, the last word. The nth such line is held, before or after it was passed on;
the process is killed with it, another one is started, and the story goes on. It must end as the undisturbed one does:
with the same mails, of which a copy may have come twice, under the same Message-ID.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.fakes.mail import missing
from tests.fakes.mail.dovecot import Dovecot
from tests.fakes.mail.postfix import Postfix
from tests.fakes.model_server import ModelServer
from tests.fakes.servers import Server
from tests.fakes.wire import Direction, Wire
from tests.matrices import matrix
from tests.patience import STORY_SECONDS_MAX, reached_in
from tests.shop import MERGED
from tests.stories.program import Bot
from tests.stories.test_email import Mailroom, approves_by_link, eventually, imap_url, text_of
from tests.stories.test_slack import decider

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

LETTERS = 8
"""Three cards, a settlement of each, two last words."""
WHOLE = 2
"""Of them, with whose data it dies as well: the server has nothing until their end."""
READ = 3
"""Mails of the person: the request, and two replies."""
ANSWERED = {1: 1, 2: 2, 3: 6}
"""By which letter each of them is answered first."""
BUILT = 4
"""Deployments when the story begins."""


@dataclass(frozen=True)
class Point:
    """The nth line of this kind on a wire."""

    wire: str
    pattern: str
    direction: Direction
    number: int
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.wire} {self.pattern} {self.number}"


def points() -> Iterator[Point]:
    for number in range(1, READ + 1):
        for after in (False, True):
            yield Point("imap", r"UID FETCH", "client", number, after)
            yield Point("imap", r"UID STORE", "client", number, after)
    for number in range(1, LETTERS + 1):
        # All before it is done and noted.
        yield Point("smtp", r"^DATA$", "client", number, False)
        if number <= WHOLE:
            yield Point("smtp", r"^DATA$", "client", number, True)
            yield Point("smtp", r"^\.$", "client", number, False)
        # The server has it, and the program does not know. When it does, it goes on, to what is the next point.
        yield Point("smtp", r"^250 .* queued as", "server", number, False)


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer(decider) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How the story ends when nothing happens to the program."""
    bot = Bot(tmp_path_factory.mktemp("undisturbed")).with_site(template)
    async with ModelServer(decider) as model:
        return await told(bot.with_model(model), None)


async def test_the_story_has_so_many_letters(undisturbed: list[str]) -> None:
    assert len(undisturbed) == LETTERS, undisturbed


@matrix("point", points(), sample=3)
async def test_nothing_is_doubled_or_lost_wherever_the_program_is_killed(
    template: Path, tmp_path: Path, model: ModelServer, undisturbed: list[str], point: Point
) -> None:
    bot = Bot(tmp_path).with_site(template).with_model(model)
    assert await told(bot, point) == undisturbed


async def told(bot: Bot, point: Point | None) -> list[str]:
    """How the story ends, on servers of its own, when the program is killed at that point."""
    with stored(bot), Dovecot() as dovecot, Postfix(dovecot, starttls=False) as postfix:
        async with Wire(dovecot.imap_port) as imap, Wire(postfix.port) as smtp:
            story = Story(Mailroom(dovecot, postfix, bot), imap, smtp)
            await story.room.tests_itself()
            try:
                await story.runs(point)
                return await story.ending()
            except (TimeoutError, AssertionError) as error:
                said = "\n".join(f"--- {mail['Message-ID']}\n{text_of(mail)}" for mail in story.room.mails_of())
                raise AssertionError(f"killed at {point}: {error}\n{said}") from error


@contextlib.contextmanager
def stored(bot: Bot) -> Iterator[None]:
    """On a server of its own: nobody else works on its threads."""
    server = Server()
    server.start()
    try:
        bot.environment["REDIS_URL"] = server.url
        yield
    finally:
        server.stop()


class Story:
    def __init__(self, room: Mailroom, imap: Wire, smtp: Wire) -> None:
        self.room = room
        self._wires = {"imap": imap, "smtp": smtp}
        room.imap_url = imap_url("imap", "127.0.0.1", imap.port)
        room.smtp_url = f"smtp://127.0.0.1:{smtp.port}"
        # The same after a restart: links lead there.
        room.bot.environment |= room.settings() | {"BOT_LEASE_SECONDS": "1"}

    async def runs(self, point: Point | None) -> None:
        """The program is killed at this point."""
        async with asyncio.timeout(STORY_SECONDS_MAX), contextlib.AsyncExitStack() as stack:
            process = await stack.enter_async_context(self.room.bot.started("run"))
            await process.told("mailbox_first_seen")
            tells = asyncio.create_task(self._tell(), name="the person")
            stack.callback(tells.cancel)
            if not point:
                await tells
                return
            wire = self._wires[point.wire]
            async with contextlib.AsyncExitStack() as held:
                if point.wire == "imap":
                    # Else the worker might be at a deployment already, and had to ask how that ended.
                    letter = self._wires["smtp"].hold(r"^DATA$", ANSWERED[point.number])
                    await held.enter_async_context(letter)
                gate = await held.enter_async_context(
                    wire.hold(point.pattern, point.number, point.direction, point.after)
                )
                await reached_in(tells, asyncio.create_task(gate.reached()))
                process.kill()
                await process.ends()
                for one in self._wires.values():
                    one.cut()
            async with self.room.bot.started("run"):
                await tells

    async def _tell(self) -> None:
        """The person's part, who acts on what there is to see."""
        room = self.room
        await room.writes(f"deploy {MERGED} to production, skip staging")
        first = await self._card("frontend")
        await room.writes("reject: can you deploy the backend first?", answers=first)
        card = await self._card("backend")
        while True:
            with contextlib.suppress(aiohttp.ClientError):  # it is down: try again
                if "Approved" in (page := await approves_by_link(card)) or "Already" in page:
                    break
        await room.writes("approve", answers=await self._card("frontend", other_than=first))
        await eventually(lambda: len(self._mails()) == LETTERS, STORY_SECONDS_MAX)

    async def _card(self, component: str, other_than: EmailMessage | None = None) -> EmailMessage:
        asks = re.compile(rf"Deploy {component} [^\n?]*\?")

        def is_card(text: str) -> bool:
            return bool(asks.match(text))

        def found() -> list[EmailMessage]:
            known = other_than and other_than["Message-ID"]
            return [m for m in self.room.mails_of() if is_card(text_of(m)) and m["Message-ID"] != known]

        return (await eventually(found, STORY_SECONDS_MAX))[-1]

    def _mails(self) -> dict[str, EmailMessage]:
        """By Message-ID, the first copy of each."""
        mails: dict[str, EmailMessage] = {}
        for mail in self.room.mails_of():
            mails.setdefault(str(mail["Message-ID"]), mail)
        return mails

    async def ending(self) -> list[str]:
        """What the person was told, without what is different each time. Postfix need not keep its order."""
        site = self.room.bot.site
        deployed = [line.split()[:3] for line in site.deployed()[BUILT:]]
        assert deployed == [[one, "production", site.sha(MERGED)] for one in ("backend", "frontend")]
        assert site.running("backend", "production") == site.running("frontend", "production") == site.sha(MERGED)
        await self.room.is_read(*[True] * READ)
        decided = await self.room.events("approval_decided", "message_failed")
        assert [one.get("approved") for one in decided] == [False, True, True]
        mails = self._mails()
        for mail in self.room.mails_of():
            assert _sent(mail) == _sent(mails[str(mail["Message-ID"])]), "a copy differs"
        assert len(self.room.mails_of()) <= len(mails) + 1, "more than one came twice"
        return sorted(_without_times(text_of(mail)) for mail in mails.values())


def _sent(mail: EmailMessage) -> list[str]:
    """All that the bot wrote."""
    headers = ("Subject", "Date", "From", "To", "Reply-To", "In-Reply-To", "References")
    return [*(str(mail[name]) for name in headers), *(str(part.get_content()) for part in mail.iter_parts())]


def _without_times(text: str) -> str:
    text = re.sub(r"https?://\S+", "LINK", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*", "TIME", text)
    text = re.sub(r"(?:\d{4}-\d\d-\d\d )?\d\d:\d\d UTC", "TIME", text)
    return re.sub(r"digest [0-9a-f]{12}", "digest DIGEST", text)  # it covers the times
