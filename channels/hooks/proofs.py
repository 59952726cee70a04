"""The proofs of who sent a delivery: an HMAC of the raw body in a header, or a secret of its own. Pure.

Whatever is compared with a secret, or with what was made of one, is compared in constant time, and with all secrets.
Nothing of a body is parsed here, and no answer holds any part of a secret or of a signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from channels.hooks.kind import Posted, Signature

SIGNATURES_MAX = 10
"""In one header."""
_MILLISECONDS_FROM = 10**11
"""A number of seconds so large is thousands of years ahead: it counts milliseconds."""
_TIME = re.compile(r"[0-9]{9,14}")


@dataclass(frozen=True, slots=True)
class Hmac:
    signature: Signature
    several: str = ""
    """What stands between several signatures, of which one has to be right. Empty: there is one."""

    def missing(self, headers: Mapping[str, str]) -> str:
        wanted = (self.signature.header, self.signature.timestamp)
        absent = next((name for name in wanted if name and not headers.get(name.lower(), "").strip()), "")
        return f"there is no {absent} header" if absent else ""

    def wrong(self, posted: Posted, secrets: Sequence[str]) -> str:
        if missing := self.missing(posted.headers):
            return missing
        signature = self.signature
        signed, time = posted.body, ""
        if signature.timestamp:
            time = posted.headers[signature.timestamp.lower()].strip()
            signed = f"{time}{signature.separator}".encode(errors="replace") + signed
        given = [*self._given(posted.headers[signature.header.lower()])]
        is_right = False
        for secret in filter(None, secrets):  # An empty one is none, and anybody has it.
            digest = hmac.digest(secret.encode(), signed, getattr(hashlib, signature.algorithm))
            for one in given:
                is_right |= hmac.compare_digest(digest, one)
        if not is_right:
            return f"the signature in {signature.header} is not of this body and secret"
        return self._too_old(time, posted) if signature.timestamp else ""

    def _given(self, header: str) -> Sequence[bytes]:
        texts = header.split(self.several)[:SIGNATURES_MAX] if self.several else [header]
        prefix = self.signature.prefix
        stripped = (text.strip() for text in texts)
        return [self._decoded(text.removeprefix(prefix)) for text in stripped if text.startswith(prefix)]

    def _decoded(self, text: str) -> bytes:
        """Empty: it is none, which no digest equals."""
        try:
            return base64.b64decode(text, validate=True) if self.signature.encoding == "base64" else bytes.fromhex(text)
        except (binascii.Error, ValueError):
            return b""

    def _too_old(self, time: str, posted: Posted) -> str:
        """Only of a time that is signed, so an attacker learns nothing by it."""
        header, tolerance = self.signature.timestamp, timedelta(seconds=self.signature.tolerance_seconds)
        if not _TIME.fullmatch(time):
            return f"{header} holds no time in seconds since 1970"
        seconds = int(time) / 1000 if int(time) >= _MILLISECONDS_FROM else int(time)
        away = abs(posted.at.timestamp() - seconds)
        return f"it was signed {away:.0f} s from now" if away > tolerance.total_seconds() else ""


@dataclass(frozen=True, slots=True)
class Secret:
    """The secret itself, as a bearer token, or as the password of HTTP Basic with any name."""

    def missing(self, headers: Mapping[str, str]) -> str:
        return "" if _secret_in(headers) else "there is no Authorization header with a token or a password"

    def wrong(self, posted: Posted, secrets: Sequence[str]) -> str:
        given, is_right = _secret_in(posted.headers).encode(errors="surrogateescape"), False
        for secret in filter(None, secrets):  # An empty one is none, and anybody has it.
            # Hashed, so that not even its length can be told by the time that it takes.
            known, theirs = hashlib.sha256(secret.encode()).digest(), hashlib.sha256(given).digest()
            is_right |= hmac.compare_digest(known, theirs)
        return "" if given and is_right else self.missing(posted.headers) or "the token is not the hook's secret"


def _secret_in(headers: Mapping[str, str]) -> str:
    scheme, _, text = headers.get("authorization", "").strip().partition(" ")
    match scheme.lower():
        case "bearer":
            return text.strip()
        case "basic":
            try:
                _, _, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
            except (binascii.Error, ValueError):
                return ""
            return password
        case _:
            return ""
