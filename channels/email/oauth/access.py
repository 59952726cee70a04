"""The access token of the mailbox: one for all connections of a process, in memory, renewed before it ends.

A renewal begins with the refresh token in the store. Microsoft gives another one each time and does not revoke the old
one; Google's stays the same. So several processes may renew at once: each gets an access token, and the first one's
refresh token is kept. A new refresh token is durable before the access token that came with it is used; until then the
old one stays in the store, and is good.

Sources: learn.microsoft.com/entra/identity-platform/refresh-tokens;
developers.google.com/identity/protocols/oauth2/native-app#offline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from channels.email.oauth import endpoint
from channels.email.oauth.account import Account
from channels.email.oauth.endpoint import Granted, OAuthError
from channels.email.oauth.kept import Login, Logins
from channels.email.oauth.refusals import no_login, refused
from channels.email.oauth.service_account import ServiceAccount
from channels.email.servers import LoginRefused, TokenUnavailable
from store.base import StoreUnavailable, boot_seconds

log = structlog.get_logger(__name__)

RENEW_SECONDS_BEFORE = 300.0
"""Or a quarter of a short lifetime."""
REJECTED_SECONDS_MIN = 60.0
"""A younger token is not the reason why a mail server refuses it, and another one would be refused too."""
REFUSED_SECONDS = 300.0
"""After a refusal nobody is asked again for so long, unless a person has logged in meanwhile."""
RETRY_SECONDS = 15.0
"""How long the current token is used on after a renewal that failed."""
READS_MAX = 3


@dataclass(frozen=True, slots=True)
class _Refusal:
    text: str
    key: str
    login: Login | None
    until: float


class RenewedTokens:
    """Implements `channels.email.servers.AccessTokens`."""

    def __init__(self, account: Account, logins: Logins, *, clock: Callable[[], float] = boot_seconds) -> None:
        self._account = account
        self._logins = logins
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._since = self._renew_at = self._ends_at = 0.0
        """By the clock."""
        self._refusal: _Refusal | None = None

    async def token(self) -> str:
        async with self._lock:
            if self._token and self._clock() < self._renew_at:
                return self._token
            try:
                self._use(await self._granted())
            except TokenUnavailable as error:
                if not self._token or self._clock() >= self._ends_at:
                    raise
                log.warning("mail_token_not_renewed", error=str(error))
                self._renew_at = self._clock() + RETRY_SECONDS
            return self._token

    def rejected(self, token: str) -> bool:
        if token == self._token:
            if self._clock() - self._since < REJECTED_SECONDS_MIN:
                return False
            self._token = ""
        return True

    def _use(self, granted: Granted) -> None:
        lifetime = granted.lifetime_seconds
        self._token, self._since = granted.access_token, self._clock()
        self._ends_at = self._since + lifetime
        self._renew_at = self._ends_at - min(RENEW_SECONDS_BEFORE, lifetime / 4)

    async def _granted(self) -> Granted:
        account = self._account
        if account.service:
            return await self._asked(service_form(account, account.service, time.time()), None)
        if account.way == "client":
            return await self._asked(client_form(account), None)
        try:
            return await self._refreshed()
        except StoreUnavailable as error:
            raise TokenUnavailable(f"the login cannot be read from the store: {error}".rstrip(".")) from error

    async def _refreshed(self) -> Granted:
        """By the refresh token in the store. If it is refused, somebody may have replaced it meanwhile."""
        login = await self._logins.read()
        for _ in range(READS_MAX):
            if login is None:
                raise no_login(self._account)
            try:
                granted = await self._asked(refresh_form(self._account, login.refresh_token), login)
            except LoginRefused:
                before, login = login, await self._logins.read()
                if login == before:
                    raise
                continue
            if granted.refresh_token not in ("", login.refresh_token):
                # If another process was first, its refresh token is as good as this one.
                await self._logins.rotate(login, granted.refresh_token)
            return granted
        raise TokenUnavailable("the login is replaced again and again")

    async def _asked(self, form: dict[str, str], login: Login | None) -> Granted:
        before = self._refusal
        if before and before.login == login and self._clock() < before.until:
            raise LoginRefused(before.text, before.key)
        try:
            granted = await endpoint.granted(self._account.url("token"), form)
        except OAuthError as error:
            found = refused(self._account, error, login)
            self._refusal = _Refusal(str(found), found.key, login, self._clock() + REFUSED_SECONDS)
            raise found from error
        self._refusal = None
        return granted


@dataclass(frozen=True, slots=True)
class GivenToken:
    """One that was granted just now, for trying a login before it is kept."""

    value: str

    async def token(self) -> str:
        return self.value

    def rejected(self, token: str) -> bool:
        return False


def refresh_form(account: Account, refresh_token: str) -> dict[str, str]:
    form = {"grant_type": "refresh_token", "client_id": account.client_id, "refresh_token": refresh_token}
    return form | ({"client_secret": account.client_secret} if account.client_secret else {})


def client_form(account: Account) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": account.client_id,
        "client_secret": account.client_secret,
        "scope": account.provider.app_scope,
    }


def service_form(account: Account, service: ServiceAccount, now: float) -> dict[str, str]:
    """RFC 7523. `now`: seconds since the epoch."""
    scope, audience = account.provider.app_scope, account.url("token")
    assertion = service.assertion(subject=account.mailbox, scope=scope, audience=audience, now=now)
    return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
