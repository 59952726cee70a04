"""The login of an installed app (RFC 8252): a browser brings a code to a port of this machine.

PKCE (RFC 7636) binds the code to this process, and `state` binds the browser to this login. Where the browser runs on
another machine, the person pastes the address at which it ended. This module keeps nothing.

Google has no other way for mail. At Microsoft it is for directories that forbid device codes.

Sources: developers.google.com/identity/protocols/oauth2/native-app;
learn.microsoft.com/entra/identity-platform/reply-url (localhost, whatever the port).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp import web

from channels.email.oauth import endpoint
from channels.email.oauth.account import Account
from channels.email.oauth.endpoint import Granted, OAuthError
from channels.email.oauth.refusals import not_logged_in
from channels.email.servers import LoginRefused, TokenUnavailable
from store.text import one_line

HOSTS = ("127.0.0.1", "::1")
"""A browser may try either for localhost; the second may not be there."""
_PAGE = "<!doctype html><meta charset=utf-8><title>deploybot</title><p>{} You may close this window."


class LoopbackLogin:
    """Made by `listening`."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._state = secrets.token_urlsafe(24)
        self._verifier = secrets.token_urlsafe(48)
        self._came: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()
        self.redirect_uri = ""

    @property
    def page(self) -> str:
        """Where the person logs in."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self._verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "client_id": self._account.client_id,
            "redirect_uri": self.redirect_uri,
            "response_type": "code",
            "scope": " ".join(self._account.provider.scopes),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": self._state,
            "login_hint": self._account.mailbox,
        }
        return f"{self._account.url('authorize')}?{urlencode(asked | dict(self._account.provider.page_fields))}"

    def came_back(self, fields: Mapping[str, str]) -> bool:
        """What the browser brought. False: it is not of this login."""
        if not hmac.compare_digest(fields.get("state", "").encode(), self._state.encode()):
            return False
        if not self._came.done():
            self._came.set_result(dict(fields))
        return True

    def pasted(self, address: str) -> bool:
        """The address at which a browser on another machine ended. False: it is not of this login."""
        return self.came_back(dict(parse_qsl(urlsplit(address.strip()).query)))

    async def finish(self) -> Granted:
        """Waits until the person has logged in. Raises LoginRefused, TokenUnavailable."""
        fields = await self._came
        if not fields.get("code"):
            why = one_line(fields.get("error_description") or fields.get("error") or "no code", 300).rstrip(".")
            raise LoginRefused(f"The login was declined ({why}). Run `bot login email` again.", "declined")
        form = {
            "grant_type": "authorization_code",
            "code": fields["code"],
            "client_id": self._account.client_id,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self._verifier,
        }
        if self._account.client_secret:
            form["client_secret"] = self._account.client_secret
        try:
            return await endpoint.granted(self._account.url("token"), form)
        except OAuthError as error:
            raise not_logged_in(self._account, error) from error


@contextlib.asynccontextmanager
async def listening(account: Account) -> AsyncIterator[LoopbackLogin]:
    """Listens on a free port of this machine. Raises TokenUnavailable."""
    login = LoopbackLogin(account)

    async def answer(request: web.Request) -> web.Response:
        ours = login.came_back(dict(request.query))
        text = _PAGE.format("Go back to the terminal." if ours else "This is not the login that waits.")
        return web.Response(text=text, content_type="text/html", status=200 if ours else 400)

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOSTS[0], 0).start()
        except OSError as error:
            raise TokenUnavailable(f"no port of {HOSTS[0]} can be opened: {error}") from None
        port = runner.addresses[0][1]
        with contextlib.suppress(OSError):
            await web.TCPSite(runner, HOSTS[1], port).start()
        login.redirect_uri = f"http://{account.provider.redirect_host}:{port}/"
        yield login
    finally:
        await runner.cleanup()
