"""Parses IMAP_URL and SMTP_URL into `MailServer`s. It never connects.

TLS is required except to this machine: passwords and requests must not cross a network in the clear. Where a mailbox is
opened with access tokens (`channels.email.oauth`), the URL holds no password.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from channels.hosts import is_loopback
from store.failures import Explained

Security = Literal["tls", "starttls", "none"]

_NOT_A_URL = "is not a URL; in a password, / ? # and @ are written %2F %3F %23 %40"
_PORTS = {"imaps": 993, "imap": 143, "smtps": 465, "smtp": 587}


class TokenUnavailable(Exception):
    """There is no access token for now. The message is one line, without a full stop."""


class LoginRefused(Explained):
    """There is no access token until a person has done something. The message is one line: why, and what to do."""

    def __init__(self, text: str, key: str) -> None:
        super().__init__(text)
        self.key = key
        """The same for the same refusal."""


class AccessTokens(Protocol):
    """What connections need of OAuth 2."""

    async def token(self) -> str:
        """One that is good for a while. Raises TokenUnavailable, LoginRefused."""

    def rejected(self, token: str) -> bool:
        """The mail server refuses this one. True: `token` will get another."""


@dataclass(frozen=True, slots=True)
class MailServer:
    host: str
    port: int
    security: Security
    user: str = ""
    password: str = field(default="", repr=False)
    folder: str = "INBOX"
    """IMAP only."""
    tokens: AccessTokens | None = field(default=None, repr=False, compare=False)
    """Instead of the password."""

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"

    def tls(self) -> ssl.SSLContext | None:
        """Verifies the certificate and the host name. OpenSSL's SSL_CERT_FILE adds certificate authorities."""
        return None if self.security == "none" else ssl.create_default_context()


def imap_server(url: str, *, by_token: bool = False) -> MailServer:
    """Parses `imaps://user:password@host:993/INBOX`. Raises ValueError, without the URL in its message.

    `by_token`: the URL has no password, and need not have a user.
    """
    server = _server(url, ("imaps", "imap"))
    if server.security == "starttls":
        raise ValueError("does not support starttls: write imaps://")
    if by_token and server.password:
        raise ValueError("has a password, but EMAIL_OAUTH is set: leave one of them out")
    if not by_token and (not server.user or not server.password):
        raise ValueError("needs a user and a password, as in imaps://user:password@host/INBOX")
    return server


def smtp_server(url: str) -> MailServer:
    """Parses `smtps://user:password@host:465` or `smtp://…:587?starttls=required`. Raises ValueError likewise."""
    return _server(url, ("smtps", "smtp"))


def _server(url: str, schemes: tuple[str, str]) -> MailServer:
    secure, plain = schemes
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(_NOT_A_URL) from None
    if parts.scheme not in schemes or not host:
        raise ValueError(f"must be a URL that begins with {secure}:// (or {plain}://)")
    if parts.fragment or ("@" not in parts.netloc and "@" in f"{parts.path}?{parts.query}"):
        raise ValueError(_NOT_A_URL)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if options not in ({}, {"starttls": "required"}):
        raise ValueError("supports only the option starttls=required")
    security: Security = "tls" if parts.scheme == secure else "starttls" if options else "none"
    if parts.scheme == secure and options:
        raise ValueError(f"does not support starttls with {secure}://, which uses TLS from the first byte")
    if security == "none" and not is_loopback(host):
        raise ValueError(
            f"would cross the network in the clear: write {secure}://, or add ?starttls=required to smtp://"
        )
    if any(ord(char) < 32 for char in unquote(parts.username or "") + unquote(parts.password or "")):
        raise ValueError("has a control character in its user or password")
    return MailServer(
        host=host,
        port=port or _PORTS[parts.scheme],
        security=security,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        folder=unquote(parts.path.strip("/")) or "INBOX",
    )


def resolver_address(text: str) -> tuple[str, int]:
    """Parses the address of a DNS resolver: `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:5353`. Raises ValueError."""
    try:
        parts = urlsplit(f"//[{text}]" if text.count(":") > 1 and not text.startswith("[") else f"//{text}")
        return str(ip_address(parts.hostname or "")), parts.port or 53
    except ValueError:
        raise ValueError(
            "must be the IP address of a DNS resolver, and a port unless it is 53: 192.0.2.1:5353"
        ) from None
