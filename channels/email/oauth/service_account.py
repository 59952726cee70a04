"""A Google service account that acts for the mailbox, by domain-wide delegation: its key, and the JWT that it signs.

Source: developers.google.com/identity/protocols/oauth2/service-account (RFC 7523). This module does no I/O.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

LIFETIME_SECONDS = 3_600
"""The longest that Google accepts."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    email: str
    key_id: str
    key: RSAPrivateKey = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> ServiceAccount:
        """The JSON that Google's console gives out once. Raises ValueError, without anything of the key."""
        try:
            found: Any = json.loads(text)
            if found["type"] != "service_account":
                raise ValueError
            key = load_pem_private_key(str(found["private_key"]).encode(), password=None)
            if not isinstance(key, RSAPrivateKey):
                raise ValueError
            return cls(str(found["client_email"]), str(found["private_key_id"]), key)
        except (ValueError, LookupError, TypeError):
            what = "must be the JSON key of a service account, as the Google Cloud console gives it out"
            raise ValueError(what) from None

    def assertion(self, *, subject: str, scope: str, audience: str, now: float) -> str:
        """A JWT that asks for a token. `subject`: the mailbox. `now`: seconds since the epoch."""
        header = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        claims = {
            "iss": self.email,
            "sub": subject,
            "scope": scope,
            "aud": audience,
            "iat": int(now),
            "exp": int(now) + LIFETIME_SECONDS,
        }
        signed = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        return f"{signed}.{_encoded(self.key.sign(signed.encode(), PKCS1v15(), hashes.SHA256()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
