"""Builds the way in for mail: the same one, whether a mailbox is read or a service posts the mail to a hook.

What differs is whether our own mail server's word counts about who sent a mail. Of a mail that was posted, no such word
does: only what we verify ourselves. It reads no mailbox.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.app import App
from bot.desks.email import EmailDesk
from bot.web.hooks.taking import Hook, Taker
from channels.email.answered import AnsweredMail
from channels.email.deciding import ServerProven
from channels.email.disclosed import DisclosedAddresses
from channels.email.identity.lookup import Resolver
from channels.email.identity.proof import Prover
from channels.email.identity.senders import AllowedSenders, parse_domains
from channels.email.imap import MAIL_BYTES_MAX, Fetched
from channels.email.inbound import EmailInbound
from channels.hooks.kind import Delivery


class NeverProven:
    """Of a service that posts mail: nothing shows that it removes forged verdicts on senders."""

    async def why_missing(self, validity: int) -> str:
        return "It came by a hook, and no test shows that forged verdicts on senders are removed there. Links decide."


def inbound_of(bot: App, proof: ServerProven) -> EmailInbound:
    settings, writer = bot.setup.settings, bot.writer
    assert writer is not None, "mail is set up"
    desk = EmailDesk(bot.store, bot.routes.of_addresses, writer.signer.message_ids)
    return EmailInbound(
        bot.inbox,
        desk,
        writer,
        AllowedSenders.parse(settings.email_allowed_senders),
        Prover(
            names=settings.email_authserv_id,
            find_txt=Resolver(settings.email_dns_server).find_txt,
            sealers=parse_domains(settings.email_arc_sealers),
        ),
        proof,
        AnsweredMail(bot.store, bot.now),
        DisclosedAddresses(bot.store, desk, writer),
    )


def mail_takers(bot: App) -> Sequence[Taker]:
    """Who takes the mail of hooks. Empty: mail is not set up."""
    return (MailTaker(inbound_of(bot, NeverProven())),) if bot.writer else ()


class MailTaker:
    """Hands the mail that a hook got to the way in of all mail, which knows a mail that it has got before."""

    name = "mail"

    def __init__(self, inbound: EmailInbound) -> None:
        self._inbound = inbound

    def wants(self, hook: Hook, delivery: Delivery) -> bool:
        return hook.kind.is_mail

    async def take(self, hook: Hook, delivery: Delivery) -> str:
        raw = delivery.mail[:MAIL_BYTES_MAX]
        why = await self._inbound.why_ignored(Fetched(0, raw, len(delivery.mail)))
        return f"it is ignored: {why}" if why else ""
