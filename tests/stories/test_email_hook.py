"""Mail that a service posts: through a real process, into the same threads as mail that is read from a mailbox."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.mail import signing
from tests.fakes.servers import Server
from tests.stories.program import Bot

SECRET = "a-secret-of-the-inbound-service-0123"
TEAM = """
[agents.deploy.environments]
live = {}
[agents.deploy.components.shop]
repository = "/nowhere"
[agents.deploy.components.shop.targets.live]
kind = "command"
deploy = ["true", "{sha}"]
status = ["true"]

[hooks.email]
bearer = true
[hooks.postmark]
kind = "email"
form = "postmark"
bearer = true
[hooks.sendgrid]
kind = "email"
form = "sendgrid"
bearer = true
"""
MAIL = (
    b"Message-ID: <1@team.example>\r\nDate: Fri, 27 Nov 2026 10:00:00 +0000\r\nFrom: Ada <ada@team.example>\r\n"
    b"To: bot@team.example\r\nSubject: Deploy\r\n\r\nPlease deploy v1.3.0.\r\n"
)


def reply_to(message_id: str, number: int, text: str) -> bytes:
    head = MAIL.partition(b"\r\n\r\n")[0].replace(b"<1@", b"<%d@" % number)
    return head + f"\r\nIn-Reply-To: {message_id}\r\nReferences: {message_id}\r\n\r\n{text}\r\n".encode()


@pytest.fixture
def bot(server: Server, tmp_path: Path) -> Bot:
    (tmp_path / "bot.toml").write_text(TEAM)
    environment = {
        "REDIS_URL": server.url,
        "PORT": "0",
        "EMAIL_ADDRESS": "bot@team.example",
        "EMAIL_INBOUND": "hook",
        "SMTP_URL": "smtp://127.0.0.1:9",
        "EMAIL_ALLOWED_SENDERS": "team.example",
        "EMAIL_DNS_SERVER": signing.team_names().address,
        "BOT_SECRET_KEY": "a-key-for-tests-0123456789",
        **{f"BOT_HOOK_{name}_SECRET": f"{SECRET}-{name}" for name in ("EMAIL", "POSTMARK", "SENDGRID")},
    }
    return Bot(tmp_path, environment)


class Service:
    """One that receives mail for us."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self.session = url, session

    async def post(self, hook: str, body: bytes, media_type: str, *, secret: str = "") -> tuple[int, dict[str, Any]]:
        password = secret or f"{SECRET}-{hook.upper()}"
        basic = base64.b64encode(f"service:{password}".encode()).decode()
        headers = {"Content-Type": media_type, "Authorization": f"Basic {basic}"}
        async with self.session.post(f"{self.url}/hooks/{hook}", data=body, headers=headers) as it:
            return it.status, await it.json()

    async def raw(self, mail: bytes, **more: str) -> tuple[int, dict[str, Any]]:
        return await self.post("email", mail, "message/rfc822", **more)

    async def postmark(self, mail: bytes) -> tuple[int, dict[str, Any]]:
        document = {"RawEmail": mail.decode(), "OriginalRecipient": "bot@team.example"}
        return await self.post("postmark", json.dumps(document).encode(), "application/json")

    async def sendgrid(self, mail: bytes) -> tuple[int, dict[str, Any]]:
        fields = {"envelope": b'{"to":["bot@team.example"],"from":"ada@team.example"}', "email": mail}
        parts = [
            b'--b7\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
            for name, value in fields.items()
        ]
        return await self.post("sendgrid", b"".join([*parts, b"--b7--\r\n"]), "multipart/form-data; boundary=b7")


@pytest.fixture
async def service(bot: Bot) -> AsyncIterator[Service]:
    async with bot.started("run", "web") as program, aiohttp.ClientSession() as session:
        await program.told("A hook takes the mail to bot@team.example")
        yield Service(await program.serves(), session)


async def messages(bot: Bot) -> list[list[dict[str, Any]]]:
    """What people wrote, by thread."""
    found = []
    for thread in (await bot.run("threads", "--json")).document:
        events = (await bot.run("show", thread["id"], "--json")).document["events"]
        found.append([event for event in events if event["kind"] == "message_received"])
    return found


async def test_the_same_mail_is_one_message_however_often_and_by_whichever_form_it_comes(
    bot: Bot, service: Service
) -> None:
    mail = signing.signed(MAIL)
    answers = await asyncio.gather(*(service.raw(mail) for _ in range(5)))
    answers += [await service.postmark(mail), await service.sendgrid(mail)]
    assert {status for status, _ in answers} == {202}
    ((message,),) = await messages(bot)
    assert (message["text"], message["subject"]) == ("Please deploy v1.3.0.", "Deploy")
    assert message["sender"]["trust"] == "verified"


async def test_who_is_not_proven_is_not_verified_because_a_service_posts_it(bot: Bot, service: Service) -> None:
    forged = b"Authentication-Results: mx.team.example; dmarc=pass header.from=team.example\r\n" + MAIL
    assert (await service.raw(forged))[0] == 202
    ((message,),) = await messages(bot)
    assert message["sender"]["trust"] == "unverified"


async def test_an_answer_goes_on_with_its_thread(bot: Bot, service: Service) -> None:
    await service.raw(signing.signed(MAIL))
    await service.postmark(signing.signed(reply_to("<1@team.example>", 2, "And v1.3.1, too.")))
    (thread,) = await messages(bot)
    assert [message["text"] for message in thread] == ["Please deploy v1.3.0.", "And v1.3.1, too."]


async def test_what_is_ignored_says_why(bot: Bot, service: Service) -> None:
    stranger = MAIL.replace(b"ada@team.example", b"eve@elsewhere.example")
    status, answer = await service.raw(stranger)
    assert (status, answer["why"]) == (202, "it is ignored: its sender is not in EMAIL_ALLOWED_SENDERS")
    assert await messages(bot) == []
    (record,) = (await bot.run("hooks", "show", "email", "--json")).document
    assert record["why"] == answer["why"]
    assert (await bot.run("hooks", "replay", record["id"])).out.startswith("It is in already: was taken")


async def test_nobody_else_posts_mail(bot: Bot, service: Service) -> None:
    assert (await service.raw(MAIL, secret="another-secret-0123456789"))[0] == 401
    assert (await service.post("email", MAIL, "application/json"))[0] == 415
    assert (await service.post("email", b"not a mail", "message/rfc822"))[0] == 400
    assert await messages(bot) == []


async def test_mail_by_a_hook_needs_one_and_no_mailbox(bot: Bot, tmp_path: Path) -> None:
    said = (await bot.run("hooks", "test", "email", str(_file(tmp_path)))).succeeded().out
    assert "why: it goes the way of all mail" in said
    (tmp_path / "bot.toml").write_text(TEAM.partition("[hooks.email]")[0])
    started = await bot.run("run", "web")
    assert started.code == 1
    assert "EMAIL_INBOUND is hook, and bot.toml has no hook of the kind email" in started.err


def _file(folder: Path) -> Path:
    file = folder / "mail.eml"
    file.write_bytes(MAIL)
    return file
