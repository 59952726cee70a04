"""Who sent a mail, on servers as teams run them: Postfix with OpenDKIM, which checks nothing of those who log in.

People send through the team's own server. It signs what they write, in whose name ever they write it, adds no
Authentication-Results, and leaves those in that they wrote themselves. `bot run` reads the mailbox.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.fakes.mail import missing
from tests.fakes.mail.daemon import HOST
from tests.fakes.mail.dovecot import PASSWORD, Dovecot, address
from tests.fakes.mail.opendkim import OpenDkim
from tests.fakes.mail.opendkim import missing as missing_signer
from tests.fakes.mail.postfix import Postfix
from tests.fakes.model_server import ModelServer
from tests.fakes.servers import Server
from tests.patience import PATIENCE_SECONDS
from tests.shop import MERGED
from tests.stories.program import Bot
from tests.stories.test_email import BOT, Mailroom, approves_by_link
from tests.stories.test_slack import decider

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing() or missing_signer()), reason=missing() or missing_signer()),
]


class OwnServer(Mailroom):
    """Whoever writes logs in to the team's own server."""

    logged_in = ""
    """Who writes, if that is somebody else than they say."""

    def sends(self, message: EmailMessage, by: str) -> None:
        assert isinstance(self.smtp, Postfix)
        trusted = ssl.create_default_context(cafile=self.smtp.authority)
        with smtplib.SMTP(HOST, self.smtp.port, timeout=PATIENCE_SECONDS) as client:
            client.starttls(context=trusted)
            client.login(address(self.logged_in or by), PASSWORD)
            client.send_message(message, address(by), [BOT, *self._card_address(message)])

    def _card_address(self, message: EmailMessage) -> list[str]:
        return [one.addr_spec for one in message["To"].addresses if one.addr_spec != BOT]


@pytest.fixture
async def room(tmp_path: Path, template: Path, server: Server) -> AsyncIterator[OwnServer]:
    bot = Bot(tmp_path, {"REDIS_URL": server.url}).with_site(template)
    async with ModelServer(decider) as model:
        with (
            OpenDkim() as signer,
            Dovecot() as dovecot,
            Postfix(dovecot, removes_forged=False, milter_port=signer.port) as postfix,
        ):
            yield OwnServer(dovecot, postfix, bot.with_model(model))


async def test_a_reply_that_the_teams_server_signed_decides_and_a_colleagues_in_her_name_does_not(
    room: OwnServer,
) -> None:
    async with room.running() as process:
        await process.told("identity_proven")
        await room.writes(f"deploy {MERGED} to production")
        card = await room.gets("component: frontend")
        assert b"DKIM-Signature" in room.imap.mailbox("deploybot")[-1]
        # Ben has seen her card, but not the address that it gave to her alone.
        room.logged_in = "ben"
        forged = EmailMessage()
        forged["Message-ID"], forged["Reply-To"], forged["Subject"] = card["Message-ID"], BOT, card["Subject"]
        forged.set_content("the card")
        await room.writes("reject: can you deploy the backend first?", answers=forged)
        await room.gets("it did not come to the reply address of your own mail")
        room.logged_in = ""
        await room.writes("reject: can you deploy the backend first?", answers=card)
        await room.gets("rejected by ana@")
        await room.gets("component: backend")
    [decided] = await room.events("approval_decided")
    assert (decided["by"]["trust"], decided["approved"]) == ("verified", False)


async def test_after_her_reply_to_all_a_colleague_in_her_name_and_envelope_decides_nothing(room: OwnServer) -> None:
    async with room.running() as process:
        await process.told("identity_proven")
        await room.writes(f"deploy {MERGED} to production")
        card = await room.gets("component: frontend")
        await room.writes("What does it change?", answers=card, Cc=address("ben"))
        await room.gets("Others know your reply address")
        # Ben has her reply. The server lets him write any From in any envelope, and signs it.
        room.logged_in = "ben"
        await room.writes("approve", answers=card)
        told = await room.gets("a reply cannot decide here any more")
        assert not await room.events("approval_decided")
        assert "Approved" in await approves_by_link(told)
        await room.gets("approved by ana@")
