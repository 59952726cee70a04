"""A GitHub App with one installation: who it is, what it may, and the tokens that it gets."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

READS = ("checks", "metadata", "pull_requests", "statuses")
ALLOWED = {**dict.fromkeys(("actions", "contents", "deployments"), "write"), **dict.fromkeys(READS, "read")}


@dataclass
class App:
    id: int = 4711
    installation: int = 42
    permissions: dict[str, str] = field(default_factory=lambda: dict(ALLOWED))
    tokens: dict[str, datetime] = field(default_factory=dict)
    """Those that it has got, each with its end."""

    def __post_init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def private_key(self) -> str:
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        return pem.decode()

    def proves(self, token: str) -> bool:
        """Whether it is a JWT of this app, as GitHub wants one."""
        try:
            found = jwt.decode(token, self._key.public_key(), algorithms=["RS256"], options={"require": ["exp", "iat"]})
        except jwt.InvalidTokenError:
            return False
        return str(found["iss"]) == str(self.id) and found["exp"] - found["iat"] <= 600

    def new_token(self) -> tuple[str, datetime]:
        token = f"ghs_{secrets.token_hex(18)}"
        self.tokens[token] = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
        return token, self.tokens[token]

    def accepts(self, token: str) -> bool:
        return self.tokens.get(token, datetime.min.replace(tzinfo=UTC)) > datetime.now(UTC)
