"""`bot login email`, `bot logout email`: a person logs in to the mailbox, so that the bot may read and send its mail.

The flows are `channels.email.oauth`. What is kept is a refresh token, encrypted in the store, from which every process
gets its access tokens. A login is tried at the mail servers before it is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from bot import extras
from bot.cli import command, console, exits
from bot.cli.asking import typed_lines
from bot.cli.command import Failed
from bot.mail_servers import MailServers, logins_of, mail_servers, oauth_account, opened_by
from bot.setup import Setup
from bot.stores import store_of
from bot.team.problems import SettingsError
from channels.base import ChannelUnavailable
from channels.email.servers import LoginRefused, TokenUnavailable

if TYPE_CHECKING:
    from channels.email.oauth.account import Account
    from channels.email.oauth.endpoint import Granted

What = Annotated[str, typer.Argument(metavar="email", help="what to log in to; there is only this")]

NOT_SET_UP = (
    "EMAIL_OAUTH is not set, so there is nothing to log in to: the mailbox is opened with the passwords in IMAP_URL "
    "and SMTP_URL. For Microsoft 365 or Google, set EMAIL_OAUTH and what belongs to it."
)


Browser = Annotated[
    bool, typer.Option("--browser", help="at Microsoft: by a browser on this machine, where no device code is allowed")
]


def login(what: What, browser: Browser = False) -> None:
    """Log in to the mailbox by OAuth 2, at Microsoft or Google."""
    _check(what)

    command.run(lambda setup: log_in(setup, browser=browser, lines=typed_lines()), agents=False)


async def log_in(setup: Setup, *, browser: bool, lines: AsyncIterator[str]) -> None:
    """`lines`: what the person types. Raises Failed, SettingsError, StoreUnavailable."""
    account = _account(setup)
    extras.require("email")
    async with store_of(setup.settings, stays=False) as store:
        if account.way != "login":
            print(f"{account.provider.title} needs no login by a person here: the app has a key of its own.")
            servers = mail_servers(setup.settings, store)
            await _try_imap(servers, "")
            await _try_smtp(servers)
            return
        from channels.email.oauth.access import GivenToken
        from channels.email.oauth.kept import Login

        granted = await _granted(account, browser=browser, lines=lines)
        _check_granted(account, granted)
        servers = opened_by(GivenToken(granted.access_token), account, setup.settings)
        await _try_imap(servers, "Nothing is kept.")
        made = Login(granted.refresh_token, account.client, datetime.now(UTC).isoformat(timespec="seconds"))
        await logins_of(setup.settings, store, account).keep(made)
        print("The login is kept, encrypted. Bots that run use it within seconds.", flush=True)
        await _try_smtp(servers)


def logout(what: What) -> None:
    """Forget the login to the mailbox."""
    _check(what)

    async def work(setup: Setup) -> None:
        account = _account(setup)
        async with store_of(setup.settings, stays=False) as store:
            before = await logins_of(setup.settings, store, account).forget()
        if before is None:
            print("There was no login.")
            return
        print("The login is forgotten. Bots that run may use their last token for up to an hour.")
        if account.provider.name == "google":
            print(await _revoked(account, before.refresh_token))
        else:
            print("To withdraw the consent as well, open https://myapps.microsoft.com as the mailbox's user.")

    command.run(work, agents=False)


def _check(what: str) -> None:
    if what != "email":
        raise exits.Misused(f"There is no {what!r} to log in to; there is: email.")


def _account(setup: Setup) -> Account:
    settings = setup.settings
    if not settings.email_oauth:
        raise Failed(NOT_SET_UP)
    if problems := settings.email_problems() + settings.key_problems():
        raise SettingsError(problems)
    account = oauth_account(settings)
    assert account is not None
    return account


async def _granted(account: Account, *, browser: bool, lines: AsyncIterator[str]) -> Granted:
    try:
        if browser or account.provider.name == "google":
            return await _by_browser(account, lines)
        return await _by_device(account)
    except LoginRefused as error:
        raise Failed(str(error)) from None
    except TokenUnavailable as error:
        raise Failed(f"The login is not finished: {error}. Run `bot login email` again.") from None


async def _by_device(account: Account) -> Granted:
    from channels.email.oauth import device

    code = await device.begin(account)
    print(f"Open {code.page} in any browser, type in {code.user_code}, and log in as {account.mailbox}.", flush=True)
    return await device.finish(account, code)


async def _by_browser(account: Account, lines: AsyncIterator[str]) -> Granted:
    from channels.email.oauth.loopback import listening

    async with listening(account) as waiting:
        print(f"Open this in a browser, and log in as {account.mailbox}:\n{waiting.page}")
        print("If the browser is on another machine, paste the address here at which it ends.", flush=True)

        async def read() -> None:
            async for line in lines:
                if line.strip() and not waiting.pasted(line):
                    console.say(
                        f"That is not the address at which this login ends. It begins with {waiting.redirect_uri}"
                    )

        reading = asyncio.create_task(read())
        try:
            return await waiting.finish()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def _check_granted(account: Account, granted: Granted) -> None:
    """Raises Failed."""
    provider = account.provider
    if not granted.refresh_token:
        raise Failed(
            f"{provider.title} gives no refresh token, so the login would end within the hour. Nothing is kept."
        )
    # A person may leave boxes unticked. Microsoft writes the same scope with several hosts, and offline_access never.
    names = {scope.rpartition("/")[2] or scope for scope in granted.scopes}
    wanted = {scope.rpartition("/")[2] or scope for scope in provider.scopes} - {"offline_access"}
    if granted.scopes and (lacking := sorted(wanted - names)):
        raise Failed(
            f"{provider.title} does not allow {', '.join(lacking)}. Nothing is kept: log in again, and allow it."
        )


async def _try_imap(servers: MailServers, otherwise: str) -> None:
    """Raises Failed, with `otherwise` at the end, where the server does not let us in."""
    from channels.email.imap import check

    assert servers.imap, "with a login, the mailbox is read"
    try:
        print(f"{servers.imap.where}: {await check(servers.imap)}", flush=True)
    except ChannelUnavailable as error:
        raise Failed(f"{error} {otherwise}".strip()) from None


async def _try_smtp(servers: MailServers) -> None:
    """Raises Failed where the server does not let us in."""
    from channels.email.outbox import check

    try:
        await check(servers.smtp)
    except ChannelUnavailable as error:
        raise Failed(str(error)) from None
    print(f"{servers.smtp.where} lets us in.")


async def _revoked(account: Account, refresh_token: str) -> str:
    from channels.email.oauth import endpoint

    try:
        await endpoint.post(account.url("revoke"), {"token": refresh_token})
    except (endpoint.OAuthError, TokenUnavailable) as error:
        return f"Google could not be told ({error}): remove the app at https://myaccount.google.com/connections."
    return "Google has revoked it."
