"""Whether a real mail server removes forged verdicts: `bot run` tests it, and so does `bot doctor` beside it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.mail.dovecot import Dovecot
from tests.fakes.mail.postfix import Postfix
from tests.fakes.model_server import ModelServer
from tests.fakes.servers import Server
from tests.shop import MERGED
from tests.stories.program import Bot
from tests.stories.test_email import BOT, Mailroom, approves_by_link, on_real_servers, text_of
from tests.stories.test_slack import decider


@pytest.fixture
async def bot(tmp_path: Path, template: Path, server: Server) -> AsyncIterator[Bot]:
    async with ModelServer(decider) as model:
        yield Bot(tmp_path, {"REDIS_URL": server.url}).with_site(template).with_model(model)


@on_real_servers
async def test_on_a_server_that_removes_what_is_forged_a_reply_decides(bot: Bot) -> None:
    with Dovecot() as dovecot, Postfix(dovecot) as postfix:
        room = Mailroom(dovecot, postfix, bot)
        async with room.running() as process:
            await process.told("identity_proven")
            found = await room.doctor()
            assert found["mail identity"][0] == "ok", found
            await room.writes(f"deploy {MERGED} to production, skip staging")
            card = await room.gets("component: frontend")
            await room.writes("reject: the backend first", answers=card)
            await room.gets("rejected by ana@")
            await room.is_read(True, True)
        assert {thread["sender"]["address"] for thread in await room.events("message_received")} == {"ana@team.example"}
        said = (await room.doctor())["mail verdicts"]
        assert said == ("ok", "Authentication-Results in the last 2 mails: mx.team.example in 2 (dmarc=pass 2).")
        assert (await room.doctor(EMAIL_AUTHSERV_ID="mx.hoster.example"))["mail verdicts"][0] == "warning"
        await room.is_read(True, True)


@on_real_servers
async def test_on_a_server_that_leaves_what_is_forged_only_links_decide(bot: Bot) -> None:
    with Dovecot() as dovecot, Postfix(dovecot, removes_forged=False) as postfix:
        room = Mailroom(dovecot, postfix, bot)
        # It stands below what this server wrote itself, so it is not looked at.
        assert (await room.doctor())["mail identity"][0] == "ok"
        # Its Received headers have another name, so they do not show where its own results end.
        names = {"EMAIL_AUTHSERV_ID": "checks.hoster.example"}
        async with room.running(**names) as process:
            await process.told("identity_not_proven")
            state, text = (await room.doctor(**names))["mail identity"]
            assert (state, "I would have believed them" in text, "header_checks" in text) == ("failed", True, True)
            await room.writes(f"deploy {MERGED} to production, skip staging")
            card = await room.gets("component: frontend")
            await room.writes("approve", answers=card)
            told = await room.gets("our mail server is not proven")
            assert re.search(r"Confirm: Approve", text_of(told))
            assert not await room.events("approval_decided")
            assert "Approved" in await approves_by_link(told)
            await room.gets("approved by ana@")
            warned = [line for line in process.log if line["event"] == "reply_not_proven"]
            assert ["did not pass" in line["text"] for line in warned] == [True]
        assert all(BOT not in str(mail["From"]) for mail in room.mails_of("deploybot"))
