"""What `bot doctor` finds about mail: the login by OAuth 2, the servers, the DNS, who can be believed, and the limits.

The test of the mail server sends a mail to ourselves, deletes it, and records the result in the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bot.cli.findings import Finding
from bot.mail_servers import MailServers, logins_of, mail_servers, oauth_account
from bot.settings import Settings
from bot.setup import Setup
from bot.store_time import StoreTime
from bot.stores import secret_keys, store_of
from channels.base import ChannelUnavailable
from channels.email.identity.senders import AllowedSenders
from channels.email.servers import LoginRefused, MailServer, TokenUnavailable
from store.base import NoteStore, StoreUnavailable
from store.embedded.server import EmbeddedRedisError

IDENTITY, VERDICTS, DNS = "mail identity", "mail verdicts", "mail dns"


async def check_mail(setup: Setup) -> list[Finding]:
    settings = setup.settings
    if not settings.email_oauth:
        found = await _servers(servers := mail_servers(settings, None))
        if all(one.state == "ok" for one in found):
            try:
                async with store_of(settings, stays=False) as store:
                    found += await _identity(settings, servers, store, StoreTime(store.time))
            except (StoreUnavailable, EmbeddedRedisError) as error:
                found.append(Finding(IDENTITY, "failed", f"not tested, because the store is away: {error}"))
    else:
        try:
            async with store_of(settings, stays=False) as store:
                found = await _by_login(settings, store, StoreTime(store.time))
        except (StoreUnavailable, EmbeddedRedisError) as error:
            found = [Finding("mail login", "failed", f"it is kept in the store, which is away: {error}")]
    return found + [Finding("email", "warning", warning) for warning in settings.email_warnings()]


async def _by_login(settings: Settings, store: NoteStore, clock: StoreTime) -> list[Finding]:
    """Of a mailbox that is opened by OAuth 2. Raises StoreUnavailable."""
    servers = mail_servers(settings, store)
    found = [await _login(settings, servers, store)]
    if found[0].state == "ok":  # Otherwise each server would be refused for the same reason.
        found += await _servers(servers)
    if all(one.state == "ok" for one in found):
        found += await _identity(settings, servers, store, clock)
    return found


async def _login(settings: Settings, servers: MailServers, store: NoteStore) -> Finding:
    assert servers.imap, "with a login, the mailbox is read"
    account, tokens = oauth_account(settings), servers.imap.tokens
    assert account is not None
    assert tokens is not None
    try:
        await tokens.token()
        login = await logins_of(settings, store, account).read() if account.way == "login" else None
    except LoginRefused as error:
        return Finding("mail login", "failed", str(error))
    except TokenUnavailable as error:
        return Finding("mail login", "failed", f"there is no access token for now: {error}.")
    since = f", by the login of {login.at[:10]}" if login else ""
    text = f"{account.provider.title} gives access tokens for {account.mailbox}{since}."
    return Finding("mail login", "ok", text)


async def _servers(servers: MailServers) -> list[Finding]:
    from channels.email.imap import check as check_imap
    from channels.email.outbox import check as check_smtp

    imap, smtp = servers.imap, servers.smtp
    found = []
    try:
        if imap:
            found.append(Finding("imap", "ok", f"{imap.where}: {await check_imap(imap)}"))
    except ChannelUnavailable as error:
        found.append(Finding("imap", "failed", str(error)))
    try:
        await check_smtp(smtp)
        secured = "without TLS" if smtp.security == "none" else "with TLS and a valid certificate"
        found.append(Finding("smtp", "ok", f"{smtp.where} lets us in, {secured}."))
    except ChannelUnavailable as error:
        found.append(Finding("smtp", "failed", str(error)))
    return found


async def _identity(settings: Settings, servers: MailServers, store: NoteStore, clock: StoreTime) -> list[Finding]:
    """What servers said of the last senders, and whether anybody could forge it."""
    from bot.desks.mail_proof import in_words, self_test
    from channels.email.identity.server_proof import ServerProof
    from channels.email.identity.tokens import Signer

    ids, imap = settings.email_authserv_id, servers.imap
    if imap is None:
        return []  # Nobody's word counts there.
    found = await _newest_mails(settings, imap)
    if not ids:
        return found
    if settings.key_problems():
        return [*found, Finding(IDENTITY, "failed", "not tested, because there is no key to sign the test mail with.")]
    secret, *before = await secret_keys(settings, store)
    await clock.measure()
    proof = ServerProof(store, imap, settings.email_address, ids, clock)
    result = await self_test(settings, imap, servers.smtp, Signer(secret, settings.email_address, before), proof).run()
    until = await proof.proven_until(result.validity)
    if result.verdict == "passed":
        text = f"a forged verdict in the name of our server ({ids}) is not believed. The proof holds until {until}."
        return [*found, Finding(IDENTITY, "ok", text)]
    return [*found, Finding(IDENTITY, "warning" if until else "failed", in_words(result, until))]


async def _newest_mails(settings: Settings, imap: MailServer) -> list[Finding]:
    """What the newest mails say of who sent them, and whether the DNS lets us check their signatures."""
    from channels.email.identity.verdicts import MAILS
    from channels.email.imap import ImapError, connected

    try:
        async with connected(imap) as connection:
            await connection.select()
            uids = (await connection.search("ALL"))[-MAILS:]
            found = await connection.heads(uids)
    except (ImapError, LoginRefused) as error:
        return [Finding(VERDICTS, "warning", f"the mailbox cannot be read: {str(error).rstrip('.')}.")]
    heads = [found[uid] for uid in sorted(found)]
    return [_verdicts(heads, settings.email_authserv_id), await _dns(settings, heads)]


def _verdicts(heads: Sequence[bytes], ids: str) -> Finding:
    from channels.email.identity import verdicts
    from channels.email.parse import parse_headers

    mails = [verdicts.read(parse_headers(head).authentication) for head in heads]
    text = verdicts.in_words(mails)
    if not ids or not mails or verdicts.count_of_ours(mails, ids):
        return Finding(VERDICTS, "ok", text)
    return Finding(VERDICTS, "warning", f"{text} None has a name of EMAIL_AUTHSERV_ID ({ids}): is it the right one?")


async def _dns(settings: Settings, heads: Sequence[bytes]) -> Finding:
    """Ask it for the key that the newest mail of somebody who may write is signed with."""
    from channels.email.identity.domains import domain_of
    from channels.email.identity.lookup import LOOKUP_SECONDS, DnsUnavailable, Resolver
    from channels.email.identity.signatures import key_name
    from channels.email.parse import parse_headers

    allowed = AllowedSenders.parse(settings.email_allowed_senders)
    known = (head for head in reversed(heads) if allowed.allow(parse_headers(head).sender))
    key = next(filter(None, map(key_name, known)), "")
    name = key or f"_domainkey.{domain_of(settings.email_address)}"
    who = settings.email_dns_server or "the system's resolver"
    resolver = Resolver(settings.email_dns_server)
    try:
        record = await asyncio.to_thread(resolver.find_txt, name, LOOKUP_SECONDS)
    except DnsUnavailable as error:
        text = (
            f"{who} gave no answer within {LOOKUP_SECONDS:g} s ({error}). Without the keys of signatures no reply by "
            "mail decides, and only our mail server says who wrote. Let this machine ask a DNS resolver, or name one "
            "in EMAIL_DNS_SERVER."
        )
        return Finding(DNS, "failed", text)
    if not key:
        return Finding(DNS, "ok", f"{who} answers. There is no signed mail yet whose key it could be asked for.")
    if not record:
        text = f"{who} has no key {key}, with which the newest signed mail is signed: such a mail proves no sender."
        return Finding(DNS, "warning", text)
    return Finding(DNS, "ok", f"{who} has the key of the newest signed mail: {key}.")
