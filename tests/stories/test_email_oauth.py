"""A mailbox without a password: a person logs in at a terminal, and `bot run` reads and answers mail by access tokens.

Dovecot and Postfix are real, and ask the token server whose token it is. An access token lives for seconds here.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from tests.fakes.mail import missing
from tests.fakes.mail.dovecot import Dovecot
from tests.fakes.mail.postfix import Postfix
from tests.fakes.model_server import ModelServer, step
from tests.fakes.oauth import CLIENT_ID, CLIENT_SECRET, TENANT, OAuthServer
from tests.fakes.servers import Server
from tests.fakes.webhooks import Receiver
from tests.fakes.wire import Wire
from tests.stories.program import Bot, Done, Terminal
from tests.stories.test_email import BOT, Mailroom, eventually

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

LIFETIME_SECONDS = 4.0
MICROSOFT = {"EMAIL_OAUTH": "microsoft", "EMAIL_OAUTH_CLIENT_ID": CLIENT_ID, "EMAIL_OAUTH_TENANT": TENANT}
GOOGLE = {"EMAIL_OAUTH": "google", "EMAIL_OAUTH_CLIENT_ID": CLIENT_ID, "EMAIL_OAUTH_CLIENT_SECRET": CLIENT_SECRET}


@dataclass
class Office:
    room: Mailroom
    tokens: OAuthServer
    imap: Wire
    pager: Receiver
    """Where alerts go."""
    changes: dict[str, str] = field(default_factory=dict)
    """Of the settings, for commands."""

    @property
    def bot(self) -> Bot:
        return self.room.bot

    @contextlib.asynccontextmanager
    async def logging_in(self, *options: str) -> AsyncIterator[Terminal]:
        async with self.bot.terminal("login", "email", *options, **(self.room.settings() | self.changes)) as person:
            yield person

    async def consents(self, person: Terminal) -> None:
        """In a browser on the same machine."""
        seen = await person.sees("paste the address here")
        page = next(line for line in seen.splitlines() if line.startswith(self.tokens.url))
        async with aiohttp.ClientSession() as browser, browser.get(page) as shown:
            assert "Go back to the terminal" in await shown.text()

    async def runs(self, command: str) -> Done:
        self.bot.environment |= self.room.settings() | self.changes
        return await self.bot.run(command, "email")

    async def logs_in(self) -> None:
        """By device code, as the mailbox's user."""
        async with self.logging_in() as person:
            seen = await person.sees("and log in as")
            assert "Open https://www.microsoft.com/link in any browser" in seen
            self.tokens.logs_in(seen.partition("type in ")[2].partition(",")[0], BOT)
            await person.sees("The login is kept, encrypted.")
            await person.sees("lets us in.")
            assert await person.ends() == 0
            assert "refresh" not in person.screen
            assert "access-" not in person.screen


@pytest.fixture
async def tokens() -> AsyncIterator[OAuthServer]:
    async with OAuthServer(lifetime_seconds=LIFETIME_SECONDS) as server:
        yield server


@pytest.fixture
async def pager() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def talker() -> AsyncIterator[ModelServer]:
    async with ModelServer(lambda _: step({"intent": "done_for_now", "message": "Good morning."})) as server:
        yield server


@pytest.fixture
async def office(
    tmp_path: Path, template: Path, tokens: OAuthServer, talker: ModelServer, server: Server, pager: Receiver
) -> AsyncIterator[Office]:
    bot = Bot(tmp_path, {"REDIS_URL": server.url} | MICROSOFT).with_site(template).with_model(talker)
    file = bot.folder / "bot.toml"
    file.write_text(f'alerts = "webhook:pager"\n{file.read_text()}')
    bot.environment |= {"WEBHOOK_URLS": f"pager={pager.url}", "WEBHOOK_SECRETS": f"pager={pager.secret}"}
    with Dovecot(token_server=f"{tokens.url}/tokeninfo?access_token=") as dovecot, Postfix(dovecot) as postfix:
        async with Wire(dovecot.imap_port) as imap:
            room = Mailroom(dovecot, postfix, bot)
            user = quote(BOT, safe="")
            room.imap_url = f"imap://{user}@127.0.0.1:{imap.port}/INBOX"
            room.smtp_url = f"smtp://{user}@127.0.0.1:{postfix.port}"
            bot.environment["EMAIL_OAUTH_URL"] = tokens.url
            yield Office(room, tokens, imap, pager)


async def test_a_login_lasts_over_expiry_rotation_and_a_kill_and_its_end_loses_no_mail(office: Office) -> None:
    room, tokens = office.room, office.tokens
    async with room.started() as process:
        await process.told(f"There is no login to {BOT} at Microsoft that this bot can use. Run `bot login email`.")
        assert (await room.doctor())["mail login"][0] == "failed"
        await office.logs_in()
        await process.told("mailbox_first_seen")
        await room.gets_answer(await room.writes("good morning"))
        found = await room.doctor()
        assert [found[one][0] for one in ("mail login", "imap", "smtp")] == ["ok", "ok", "ok"], found

        before = tokens.refreshes
        await eventually(lambda: tokens.all_have_ended)
        office.imap.cut()
        await room.gets_answer(await room.writes("good morning again"))
        assert tokens.refreshes > before
        process.kill()
    mail = await room.writes("good morning, nobody is in")
    async with room.started() as process:
        await room.gets_answer(mail)
        process.kill()
    used = [form["refresh_token"] for form in tokens.given("refresh_token")]
    assert len(set(used)) > 3, "Microsoft gives another one each time, and the newest is kept"

    tokens.revoke()
    async with room.started() as process:
        await process.told("AADSTS700082: The refresh token has expired due to inactivity.")
        told = await office.pager.gets("notice", count=2)
        assert told["text"].endswith("Run `bot login email`. Until then I read and send no mail; none is lost.")
        mail = await room.writes("is anybody there?")
        (await office.bot.run("send", "--place", "email:ben@team.example", "good morning")).succeeded()
        failed = await room.noted("message_failed")
        assert failed["retry_at"]
        assert "Run `bot login email`" in failed["error"]
        assert not room.answers(mail)

        await office.logs_in()
        await room.gets_answer(mail)
        await room.gets("Good morning.", user="ben")
        alerts = [post for post in office.pager.taken.values() if post.document["type"] == "notice"]
        assert len(alerts) == 2, "without a login, and when it had ended: once each"
        secrets = {*tokens.refresh_tokens, *tokens.access_tokens, *used}
        assert not [secret for secret in secrets if secret in process.err.replace('"', " ").split()]


async def test_a_person_who_logs_in_as_somebody_else_is_told_and_nothing_is_kept(office: Office) -> None:
    async with office.logging_in() as person:
        seen = await person.sees("and log in as")
        office.tokens.logs_in(seen.partition("type in ")[2].partition(",")[0], "ana@team.example")
        await person.sees("the server says NO")
        await person.sees("Nothing is kept.")
        assert await person.ends() == 1
    assert "There is no login" in (await office.room.doctor())["mail login"][1]


async def test_at_google_a_browser_comes_back_and_logging_out_revokes(office: Office) -> None:
    office.bot.environment |= GOOGLE | {"EMAIL_OAUTH_TENANT": ""}
    # With the embedded store, and the key that it keeps.
    office.changes = {"REDIS_URL": "", "BOT_SECRET_KEY": ""}
    async with office.logging_in() as person:
        await office.consents(person)
        await person.sees("lets us in.")
        assert await person.ends() == 0
    assert office.tokens.refresh_tokens
    out = (await office.runs("logout")).succeeded().out
    assert "Google has revoked it." in out
    assert not office.tokens.refresh_tokens
    assert (await office.runs("logout")).succeeded().out == "There was no login.\n"


async def test_where_microsoft_forbids_device_codes_a_browser_comes_back(office: Office) -> None:
    async with office.logging_in("--browser") as person:
        await office.consents(person)
        await person.sees("lets us in.")
        assert await person.ends() == 0
    assert "by the login of 20" in (await office.room.doctor())["mail login"][1]


async def test_a_browser_on_another_machine_is_pasted(office: Office) -> None:
    office.bot.environment |= GOOGLE | {"EMAIL_OAUTH_TENANT": ""}
    async with office.logging_in() as person:
        seen = await person.sees("paste the address here")
        page = next(line for line in seen.splitlines() if line.startswith(office.tokens.url))
        person.types("https://example.com/?code=1&state=2")
        await person.sees("That is not the address at which this login ends.")
        async with aiohttp.ClientSession() as browser, browser.get(page, allow_redirects=False) as sent_on:
            person.types(sent_on.headers["Location"])
        await person.sees("lets us in.")
        assert await person.ends() == 0


async def test_an_app_that_logs_in_by_itself_needs_no_person(office: Office) -> None:
    office.bot.environment["EMAIL_OAUTH_CLIENT_SECRET"] = CLIENT_SECRET
    out = (await office.runs("login")).succeeded().out
    assert "needs no login by a person here" in out
    async with office.room.running():
        await office.room.gets_answer(await office.room.writes("good morning"))


async def test_what_is_typed_wrong_or_not_set_up_is_told(office: Office) -> None:
    (await office.bot.run("login", "slack")).failed("There is no 'slack' to log in to; there is: email.", code=2)
    office.bot.environment["EMAIL_OAUTH_TENANT"] = ""
    (await office.runs("login")).failed("EMAIL_OAUTH_TENANT is not set: the directory's id")
    office.bot.environment["EMAIL_OAUTH"] = office.room.imap_url = ""
    (await office.runs("logout")).failed("EMAIL_OAUTH is not set, so there is nothing to log in to")


@pytest.mark.parametrize("way", ["microsoft", "google"])
async def test_the_wizard_has_a_person_log_in_and_goes_on(office: Office, way: str) -> None:
    bot, tokens = office.bot, office.tokens
    for name in MICROSOFT:
        bot.environment.pop(name)
    # The servers of tests instead of those of the provider.
    bot.environment |= {"EMAIL_OAUTH": way, "IMAP_URL": office.room.imap_url, "SMTP_URL": office.room.smtp_url}
    async with bot.terminal("init") as person:
        for question, words in (
            ("Change it? [y/N] ", ""),
            ("The bot token (xoxb-…), not shown: ", "later"),
            ("The address that people write to: ", BOT),
            (f"How it is opened: password, microsoft or google [{way}]: ", ""),
            ("The id of the app that you registered: ", CLIENT_ID),
            *([("Its directory's id or domain [team.example]: ", TENANT)] if way == "microsoft" else []),
            ("not shown", "" if way == "microsoft" else CLIENT_SECRET),
            ("Who may write to it: addresses and domains [team.example]: ", ""),
            ("Its server's name in Authentication-Results: ", ""),
            ("Where people reach `bot run`, https://…: ", ""),
        ):
            await person.sees(question)
            person.types(words)
        await person.sees("BOT_SECRET_KEY, which signs the links in mails, is made")
        if way == "google":
            await office.consents(person)
        else:
            seen = await person.sees("and log in as")
            tokens.logs_in(seen.partition("type in ")[2].partition(",")[0], BOT)
        await person.sees("The login is kept, encrypted.")
        await person.sees("ok       mail login: ")
        await person.sees("ok       imap: ")
        await person.sees("Kept in .env: EMAIL_ADDRESS, EMAIL_OAUTH_CLIENT_ID")
        await person.sees("Your name")
        person.types("later")
        await person.sees("What do you say to it")
        person.types("later")
        assert await person.ends() == 0
        assert CLIENT_SECRET not in person.screen
    doctor = (await bot.run("doctor", "--json")).document
    assert {one["what"]: one["state"] for one in doctor}["mail login"] == "ok"
