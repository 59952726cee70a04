"""What `bot doctor` finds about mail: the login by OAuth 2, the two servers, and the limits of the set-up."""

from __future__ import annotations

from bot.cli.findings import Finding
from bot.mail_servers import MailServers, mail_servers
from bot.settings import Settings
from bot.setup import Setup
from bot.stores import store_of
from channels.base import ChannelUnavailable
from channels.email.servers import AccessTokens, LoginRefused, TokenUnavailable


async def check_mail(setup: Setup) -> list[Finding]:
    settings = setup.settings
    if not settings.email_oauth:
        found = await _servers(mail_servers(settings, None))
    else:
        async with store_of(settings, stays=False) as store:
            servers = mail_servers(settings, store)
            assert servers.imap.tokens is not None
            found = [await _login(settings, servers.imap.tokens)]
            if found[0].state == "ok":  # Otherwise each server would be refused for the same reason.
                found += await _servers(servers)
    return found + [Finding("email", "warning", warning) for warning in settings.email_warnings()]


async def _login(settings: Settings, tokens: AccessTokens) -> Finding:
    try:
        await tokens.token()
    except LoginRefused as error:
        return Finding("mail login", "failed", str(error))
    except TokenUnavailable as error:
        return Finding("mail login", "failed", f"there is no access token for now: {error}.")
    provider = settings.email_oauth.capitalize()
    return Finding("mail login", "ok", f"{provider} gives access tokens for {settings.email_address}.")


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
