"""The keys that sign records: Ed25519 pairs, derived from BOT_SECRET_KEY.

Whoever verifies a record needs only the public key, and cannot sign with it. Deriving the pair (HKDF, RFC 5869, under
an `info` of its own) spares the team another secret; the same BOT_SECRET_KEY always gives the same pair. The public
key says nothing about a random BOT_SECRET_KEY, but allows guesses at a weak one to be tested. This module reads no
setting and no file.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ALGORITHM = "ed25519"
FINGERPRINT_CHARS = 32
_INFO = b"deploybot record signature, ed25519"
_SIGNED = "deploybot record\n"
"""Precedes the hash in what is signed: a signature of a record is never one of anything else."""
_KEY = re.compile(rf"{ALGORITHM}:([0-9a-f]{{64}})")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")
"""In this form alone: other spellings of the same number would be another line."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    raw: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """`ed25519:…`, as `str` gives it. Raises ValueError."""
        if not (found := _KEY.fullmatch(text.strip())):
            raise ValueError(f"is not a public key: it has the form {ALGORITHM}:…, with 64 hexadecimal digits")
        return cls(bytes.fromhex(found[1]))

    def __str__(self) -> str:
        return f"{ALGORITHM}:{self.raw.hex()}"

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()[:FINGERPRINT_CHARS]

    def has_signed(self, head: str, signature: str) -> bool:
        if not _SIGNATURE.fullmatch(signature):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(bytes.fromhex(signature), _signed(head))
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """Never shown, and never stored."""

    def __init__(self, secret: str) -> None:
        """`secret`: of BOT_SECRET_KEY."""
        seed = HKDF(SHA256(), length=32, salt=None, info=_INFO).derive(secret.encode())
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(self._private.public_key().public_bytes_raw())

    def sign(self, head: str) -> str:
        return self._private.sign(_signed(head)).hex()


def _signed(head: str) -> bytes:
    return (_SIGNED + head).encode()
