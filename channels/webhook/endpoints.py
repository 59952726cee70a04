"""Parses WEBHOOK_URLS and WEBHOOK_SECRETS into `Endpoint`s. Pure.

    WEBHOOK_URLS     pager=https://pager.example.com/hooks/deploybot audit=https://audit.example.com/in
    WEBHOOK_SECRETS  pager=whsec_… audit=whsec_…

The path of a URL is often a secret too, so error messages show only its host.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from channels.hosts import is_loopback
from channels.webhook.place import is_endpoint
from channels.webhook.signature import key_of


@dataclass(frozen=True, slots=True)
class Endpoint:
    name: str
    url: str = field(repr=False)
    keys: tuple[bytes, ...] = field(repr=False)
    """Each key signs, so that a key can be rotated."""

    @property
    def where(self) -> str:
        return urlsplit(self.url).netloc


def urls_of(text: str) -> dict[str, str]:
    """URLs by name. Raises ValueError with all problems; its message continues the variable's name."""
    urls: dict[str, str] = {}
    wrong = []
    for name, url in _entries(text, "https://example.com/hook"):
        if name in urls:
            wrong.append(f"names {name} twice")
        elif problem := _wrong_with(url):
            wrong.append(f"needs for {name} {problem}")
        urls[name] = url
    if wrong:
        raise ValueError(", and ".join(wrong))
    return urls


def keys_of(text: str) -> dict[str, tuple[bytes, ...]]:
    """Keys by name; a name with two secrets has two keys. Raises ValueError likewise, without any secret."""
    keys: dict[str, tuple[bytes, ...]] = {}
    wrong = []
    for name, secret in _entries(text, "whsec_MfKQ9r8G…"):
        try:
            keys[name] = (*keys.get(name, ()), key_of(secret))
        except ValueError as error:
            wrong.append(f"needs for {name} {error}, as `echo whsec_$(openssl rand -base64 32)` gives")
    if wrong:
        raise ValueError(", and ".join(wrong))
    return keys


def endpoints_of(urls: str, secrets: str) -> dict[str, Endpoint]:
    """The endpoints that have both a URL and a secret. Raises ValueError."""
    keys = keys_of(secrets)
    return {name: Endpoint(name, url, keys[name]) for name, url in urls_of(urls).items() if name in keys}


def missing(urls: str, secrets: str) -> list[str]:
    """A sentence for each name that has only a URL, or only a secret. Raises ValueError."""
    named, signed = urls_of(urls), keys_of(secrets)
    return [
        *(f"WEBHOOK_SECRETS has no secret for {name}: make one with `echo {name}=whsec_$(openssl rand -base64 32)`."
          for name in named if name not in signed),
        *(f"WEBHOOK_URLS has no URL for {name}: write {name}=https://…, or take its secret out of WEBHOOK_SECRETS."
          for name in signed if name not in named),
    ]  # fmt: skip


def _entries(text: str, example: str) -> Iterator[tuple[str, str]]:
    for entry in text.split():
        name, sign, value = entry.partition("=")
        if not (sign and is_endpoint(name)):
            # Do not quote the entry, which may contain a secret.
            raise ValueError(f"must be NAME={example}, with spaces between several, and names of a-z, 0-9, - and _")
        yield name, value


def _wrong_with(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "a URL"
    if parts.scheme not in ("https", "http") or not host or not url.isascii():
        return "an https:// URL"
    if parts.scheme == "http" and not is_loopback(host):
        return "https://, as http:// would cross the network in the clear"
    if "@" in parts.netloc or parts.fragment or "," in url:
        return "a URL without a user, a password, a fragment or a comma (%2C)"
    return ""
