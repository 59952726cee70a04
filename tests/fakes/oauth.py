"""Microsoft's and Google's token servers, over real HTTP, and the people who log in there.

    async with OAuthServer() as server:
        ...  # EMAIL_OAUTH_URL is server.url
        server.logs_in(code, "deploybot@team.example")

Microsoft: device codes, client credentials, and a refresh token that is another one each time, while the old one stays
good. Google: authorization codes with PKCE, a refresh token that stays, service accounts that sign. Errors have the
shapes that both really send. `/tokeninfo` is what Dovecot asks, so that a real mail server judges the tokens.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlencode

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

TENANT = "team.example"
CLIENT_ID = "11111111-2222-3333-4444-555555555555"
CLIENT_SECRET = "a-secret-of-the-app"
SERVICE_ACCOUNT = "deploybot@project.iam.gserviceaccount.com"
MICROSOFT_SCOPES = {"https://outlook.office.com/IMAP.AccessAsUser.All", "https://outlook.office.com/SMTP.Send"}
GOOGLE_SCOPE = "https://mail.google.com/"
HOST = "127.0.0.1"


@dataclass
class Device:
    """A login by device code that has begun."""

    user_code: str
    client_id: str
    offline: bool
    mailbox: str = ""
    """Who has logged in; empty: nobody yet."""
    declined: bool = False
    expired: bool = False


@dataclass
class Code:
    """An authorization code of Google."""

    challenge: str
    redirect_uri: str
    mailbox: str


@dataclass
class OAuthServer:
    lifetime_seconds: float = 3_600
    interval_seconds: float = 0.02
    refreshes: int = 0
    """How many refresh tokens were used."""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """The path and the form of each."""
    next_errors: list[str] = field(default_factory=list)
    """Instead of the next answers of the token endpoint: error codes of OAuth; a number is an HTTP status."""
    delegated: bool = True
    """Whether the administrator of the domain lets the service account act for others."""
    secret: str = CLIENT_SECRET
    consents_to: str = "deploybot@team.example"
    """Who sits at the browser of Google's page; empty: somebody who declines."""

    def __post_init__(self) -> None:
        self.url = ""
        self.devices: dict[str, Device] = {}
        self.codes: dict[str, Code] = {}
        self.refresh_tokens: dict[str, str] = {}
        """Of whom each one is."""
        self.access_tokens: dict[str, str] = {}
        self._ends: dict[str, float] = {}
        """Of the access tokens that end by themselves, by the monotonic clock."""
        self.mailboxes = {"deploybot@team.example"}
        self._numbers = itertools.count(1)
        self._key = generate_private_key(public_exponent=65537, key_size=2048)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{tenant}/oauth2/v2.0/devicecode", self._devicecode)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._microsoft)
        app.router.add_get("/{tenant}/oauth2/v2.0/authorize", self._microsoft_page)
        app.router.add_get("/o/oauth2/v2/auth", self._page)
        app.router.add_post("/token", self._google)
        app.router.add_post("/revoke", self._revoke)
        app.router.add_get("/tokeninfo", self._tokeninfo)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, HOST, 0).start()
        self.url = f"http://{HOST}:{runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # People, and what happens to tokens

    def logs_in(self, user_code: str, mailbox: str) -> None:
        """A person types in the code and logs in."""
        self._of(user_code).mailbox = mailbox

    def declines(self, user_code: str) -> None:
        self._of(user_code).declined = True

    def expire(self, user_code: str) -> None:
        self._of(user_code).expired = True

    def end_access(self) -> None:
        """Every access token is over, before its time."""
        self.access_tokens.clear()

    def revoke(self) -> None:
        """Every login is over: the password was changed, say."""
        self.refresh_tokens.clear()
        self.end_access()

    @property
    def all_have_ended(self) -> bool:
        """Every access token, by itself."""
        return all(time.monotonic() > ends for ends in self._ends.values())

    def given(self, kind: str) -> list[dict[str, str]]:
        """The forms with this grant type."""
        return [form for _, form in self.requests if form.get("grant_type", "").endswith(kind)]

    def service_account(self, key: RSAPrivateKey | None = None) -> str:
        """Its JSON key, as Google's console gives it out."""
        pem = (key or self._key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "project",
                "private_key_id": "0123456789abcdef",
                "private_key": pem,
                "client_email": SERVICE_ACCOUNT,
                "client_id": "117",
                "token_uri": "https://oauth2.googleapis.com/token",
            }
        )

    def _of(self, user_code: str) -> Device:
        return next(device for device in self.devices.values() if device.user_code == user_code)

    # Microsoft

    async def _devicecode(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if request.match_info["tenant"] != TENANT:
            return _microsoft_error("invalid_request", 90002, f"Tenant '{request.match_info['tenant']}' not found.")
        if form.get("client_id") != CLIENT_ID:
            return _microsoft_error("unauthorized_client", 700016, f"Application '{form['client_id']}' was not found.")
        scopes = set(form.get("scope", "").split())
        assert scopes - {"offline_access"} == MICROSOFT_SCOPES, scopes
        number = next(self._numbers)
        device_code = f"device-{number}"
        self.devices[device_code] = Device(f"CODE{number}", CLIENT_ID, "offline_access" in scopes)
        page = "https://www.microsoft.com/link"
        return web.json_response(
            {
                "user_code": f"CODE{number}",
                "device_code": device_code,
                "verification_uri": page,
                "expires_in": 900,
                "interval": self.interval_seconds,
                "message": f"To sign in, use a web browser to open the page {page} and enter the code CODE{number}.",
            }
        )

    async def _microsoft(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if refusal := self._next_error():
            return refusal
        if request.match_info["tenant"] != TENANT:
            return _microsoft_error("invalid_request", 90002, f"Tenant '{request.match_info['tenant']}' not found.")
        match form["grant_type"]:
            case "urn:ietf:params:oauth:grant-type:device_code":
                return self._by_device(self.devices.get(form["device_code"]))
            case "refresh_token":
                mailbox = self.refresh_tokens.get(form["refresh_token"])
                if mailbox is None:
                    what = "The refresh token has expired due to inactivity. It was issued on 2026-06-01T00:00:00Z."
                    return _microsoft_error("invalid_grant", 700082, what)
                self.refreshes += 1
                return self._granted(mailbox, refresh_token=self._refresh_token(mailbox))
            case "authorization_code":
                code = self._redeemed(form)
                if code is None or "client_secret" in form:
                    return _microsoft_error("invalid_grant", 70000, "The provided value for the code is not valid.")
                return self._granted(code.mailbox, refresh_token=self._refresh_token(code.mailbox))
            case "client_credentials":
                if form.get("client_secret") != self.secret:
                    return _microsoft_error("invalid_client", 7000222, "The provided client secret keys are expired.")
                if form.get("scope") != "https://outlook.office365.com/.default":
                    return _microsoft_error("invalid_scope", 1002012, "The provided value for scope is not valid.")
                return self._granted("*")
            case other:
                return _microsoft_error("unsupported_grant_type", 70003, f"Grant type {other} is not supported.")

    def _by_device(self, device: Device | None) -> web.Response:
        if device is None:
            return _microsoft_error("bad_verification_code", 70018, "The device code is not known.")
        if device.expired:
            return _microsoft_error("expired_token", 70020, "The provided device code has expired.")
        if device.declined:
            return _microsoft_error("authorization_declined", 70017, "The user declined.")
        if not device.mailbox:
            what = "The provided request has not yet been authorized by the user. The user must input their code."
            return _microsoft_error("authorization_pending", 70016, what)
        refresh_token = self._refresh_token(device.mailbox) if device.offline else ""
        return self._granted(device.mailbox, refresh_token=refresh_token)

    # Google

    async def _page(self, request: web.Request) -> web.Response:
        """The person's browser: it asks, the person consents, and it is sent on."""
        asked = request.query
        assert asked["scope"] == GOOGLE_SCOPE
        assert asked["access_type"] == "offline"
        assert asked["redirect_uri"].startswith("http://127.0.0.1:")
        raise self._sent_on(asked, {"scope": GOOGLE_SCOPE})

    async def _microsoft_page(self, request: web.Request) -> web.Response:
        asked = request.query
        assert set(asked["scope"].split()) == MICROSOFT_SCOPES | {"offline_access"}
        assert asked["response_mode"] == "query"
        assert asked["redirect_uri"].startswith("http://localhost:")
        raise self._sent_on(asked, {"session_state": "0b1c2d3e"})

    def _sent_on(self, asked: Mapping[str, str], more: dict[str, str]) -> web.HTTPFound:
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        back = {"state": asked["state"], "error": "access_denied", "error_description": "The user declined."}
        if self.consents_to:
            code = f"4/code-{next(self._numbers)}"
            self.codes[code] = Code(asked["code_challenge"], asked["redirect_uri"], self.consents_to)
            back = {"state": asked["state"], "code": code} | more
        return web.HTTPFound(f"{asked['redirect_uri']}?{urlencode(back)}")

    async def _google(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if refusal := self._next_error():
            return refusal
        if form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return self._by_assertion(form["assertion"])
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, self.secret):
            return _google_error("invalid_client", "The OAuth client was not found.", 401)
        if form["grant_type"] == "authorization_code":
            code = self._redeemed(form)
            if code is None:
                return _google_error("invalid_grant", "Malformed auth code.")
            return self._granted(code.mailbox, refresh_token=self._refresh_token(code.mailbox), scope=GOOGLE_SCOPE)
        mailbox = self.refresh_tokens.get(form["refresh_token"])
        if mailbox is None:
            return _google_error("invalid_grant", "Token has been expired or revoked.")
        self.refreshes += 1
        return self._granted(mailbox, scope=GOOGLE_SCOPE)

    def _by_assertion(self, assertion: str) -> web.Response:
        signed, _, signature = assertion.rpartition(".")
        try:
            self._key.public_key().verify(_decoded(signature), signed.encode(), PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return _google_error("invalid_grant", "Invalid JWT Signature.")
        claims = json.loads(_decoded(signed.split(".")[1]))
        assert (claims["iss"], claims["aud"]) == (SERVICE_ACCOUNT, f"{self.url}/token")
        assert 0 < claims["exp"] - claims["iat"] <= 3_600
        if not self.delegated or claims["scope"] != GOOGLE_SCOPE:
            what = (
                "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any "
                "of the scopes requested."
            )
            return _google_error("unauthorized_client", what, 401)
        if claims["sub"] not in self.mailboxes:
            return _google_error("invalid_grant", "Invalid email or User ID")
        return self._granted(claims["sub"], scope=GOOGLE_SCOPE)

    async def _revoke(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if self.refresh_tokens.pop(form["token"], None) is None:
            return _google_error("invalid_token", "Token expired or revoked")
        return web.json_response({})

    # Both

    def _redeemed(self, form: Mapping[str, str]) -> Code | None:
        code = self.codes.pop(form["code"], None)
        verifier = _encoded(hashlib.sha256(form["code_verifier"].encode()).digest())
        is_right = code and (code.redirect_uri, code.challenge) == (form["redirect_uri"], verifier)
        return code if is_right else None

    async def _tokeninfo(self, request: web.Request) -> web.Response:
        token = request.query.get("access_token", "")
        mailbox = self.access_tokens.get(token)
        if mailbox is None or time.monotonic() > self._ends.get(token, math.inf):
            return _google_error("invalid_token", "Invalid Value")
        # An app that acts by itself may open each mailbox that it was given; here that is the bot's.
        return web.json_response({"email": "deploybot@team.example" if mailbox == "*" else mailbox})

    async def _form(self, request: web.Request) -> dict[str, str]:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append((request.path, form))
        return form

    def _next_error(self) -> web.Response | None:
        if not self.next_errors:
            return None
        error = self.next_errors.pop(0)
        return web.Response(status=int(error)) if error.isdigit() else _microsoft_error(error, 1, "As it was told.")

    def _refresh_token(self, mailbox: str) -> str:
        token = f"refresh-{next(self._numbers)}"
        self.refresh_tokens[token] = mailbox
        return token

    def _granted(self, mailbox: str, *, refresh_token: str = "", scope: str = "") -> web.Response:
        token = f"access-{next(self._numbers)}"
        self.access_tokens[token] = mailbox
        self._ends[token] = time.monotonic() + self.lifetime_seconds
        answer = {
            "token_type": "Bearer",
            "scope": scope or " ".join(sorted(MICROSOFT_SCOPES)),
            "expires_in": self.lifetime_seconds,
            "access_token": token,
        }
        return web.json_response(answer | ({"refresh_token": refresh_token} if refresh_token else {}))


def _microsoft_error(error: str, number: int, what: str) -> web.Response:
    trace = "0b1c2d3e-0000-0000-0000-000000000000"
    now = "2026-11-27 09:00:00Z"
    description = f"AADSTS{number}: {what}\r\nTrace ID: {trace}\r\nCorrelation ID: {trace}\r\nTimestamp: {now}"
    document: Mapping[str, object] = {
        "error": error,
        "error_description": description,
        "error_codes": [number],
        "timestamp": now,
        "trace_id": trace,
        "correlation_id": trace,
        "error_uri": f"https://login.microsoftonline.com/error?code={number}",
    }
    return web.json_response(document, status=401 if error == "invalid_client" else 400)


def _google_error(error: str, what: str, status: int = 400) -> web.Response:
    return web.json_response({"error": error, "error_description": what}, status=status)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
