"""What `bot doctor` finds about mail: the login by OAuth 2, the two servers, who can be believed, and the limits.

The test of the mail server sends a mail to ourselves, deletes it, and records the result in the store.
"""

from __future__ import annotations

from bot.cli.findings import Finding
from bot.mail_servers import MailServers, logins_of, mail_servers, oauth_account
from bot.settings import Settings
from bot.setup import Setup
from bot.store_time import StoreTime
from bot.stores import secret_keys, store_of
from channels.base import ChannelUnavailable
from channels.email.servers import LoginRefused, TokenUnavailable
from store.base import NoteStore, StoreUnavailable
from store.embedded.server import EmbeddedRedisError

IDENTITY, VERDICTS = "mail identity", "mail verdicts"


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

    ids = settings.email_authserv_id
    found = [await _verdicts(servers, ids)]
    if not ids:
        return found
    if settings.key_problems():
        return [*found, Finding(IDENTITY, "failed", "not tested, because there is no key to sign the test mail with.")]
    secret, *before = await secret_keys(settings, store)
    await clock.measure()
    proof = ServerProof(store, servers.imap, settings.email_address, ids, clock)
    result = await self_test(settings, servers, Signer(secret, settings.email_address, before), proof).run()
    until = await proof.proven_until(result.validity)
    if result.verdict == "passed":
        text = f"a forged verdict in the name of our server ({ids}) is not believed. The proof holds until {until}."
        return [*found, Finding(IDENTITY, "ok", text)]
    return [*found, Finding(IDENTITY, "warning" if until else "failed", in_words(result, until))]


async def _verdicts(servers: MailServers, ids: str) -> Finding:
    """What the newest mails say of who sent them."""
    from channels.email.identity import verdicts
    from channels.email.imap import ImapError, connected
    from channels.email.parse import parse_headers

    try:
        async with connected(servers.imap) as connection:
            await connection.select()
            uids = (await connection.search("ALL"))[-verdicts.MAILS :]
            heads = (await connection.heads(uids)).values()
    except (ImapError, LoginRefused) as error:
        return Finding(VERDICTS, "warning", f"the mailbox cannot be read: {str(error).rstrip('.')}.")
    mails = [verdicts.read(parse_headers(head).authentication) for head in heads]
    text = verdicts.in_words(mails)
    if not ids or not mails or verdicts.count_of_ours(mails, ids):
        return Finding(VERDICTS, "ok", text)
    return Finding(VERDICTS, "warning", f"{text} None has a name of EMAIL_AUTHSERV_ID ({ids}): is it the right one?")
