"""The mail servers that the settings name, and how we log in there: with a password, or with the tokens of OAuth 2.

It opens no connection. What OAuth needs is imported only where it is set up.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bot.settings import Settings
from bot.stores import secret_keys
from channels.email.servers import AccessTokens, MailServer, imap_server, smtp_server
from store.base import NoteStore

if TYPE_CHECKING:
    from channels.email.oauth.account import Account
    from channels.email.oauth.kept import Logins


@dataclass(frozen=True, slots=True)
class MailServers:
    imap: MailServer | None
    """None: a service posts the mail to a hook."""
    smtp: MailServer


def mail_servers(settings: Settings, store: NoteStore | None) -> MailServers:
    """For one process: all its connections share the tokens. `store`: where the login is; None: there are passwords."""
    account = oauth_account(settings)
    if account is None or store is None:
        imap = imap_server(settings.imap_url) if settings.email_inbound == "imap" else None
        return MailServers(imap, smtp_server(settings.smtp_url))
    from channels.email.oauth.access import RenewedTokens

    return opened_by(RenewedTokens(account, logins_of(settings, store, account)), account, settings)


def opened_by(tokens: AccessTokens, account: Account, settings: Settings) -> MailServers:
    imap = imap_server(settings.imap_url or account.provider.imap_url, by_token=True)
    imap = replace(imap, user=imap.user or account.mailbox, tokens=tokens)
    if not settings.smtp_url:
        smtp = replace(smtp_server(account.provider.smtp_url), user=imap.user, tokens=tokens)
    else:
        smtp = smtp_server(settings.smtp_url)
        if smtp.user and not smtp.password:
            smtp = replace(smtp, tokens=tokens)
    return MailServers(imap, smtp)


def oauth_account(settings: Settings) -> Account | None:
    """None: the servers have passwords."""
    if not settings.email_oauth:
        return None
    from channels.email.oauth.account import PROVIDERS, Account
    from channels.email.oauth.service_account import ServiceAccount

    key = settings.email_oauth_service_account.get_secret_value()
    return Account(
        provider=PROVIDERS[settings.email_oauth],
        mailbox=settings.email_address,
        client_id=settings.email_oauth_client_id,
        client_secret=settings.email_oauth_client_secret.get_secret_value(),
        tenant=settings.email_oauth_tenant,
        service=ServiceAccount.parse(key) if key else None,
        base_url=settings.email_oauth_url,
    )


def logins_of(settings: Settings, store: NoteStore, account: Account) -> Logins:
    from channels.email.oauth.kept import Logins

    return Logins(store, functools.partial(secret_keys, settings, store), account)
