"""Signs mails as a sender's server does (DKIM), and seals them as a forwarder does (ARC). The keys are made once."""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.fakes.mail.dovecot import DOMAIN
from tests.fakes.mail.names import NameServer

SELECTOR = "s1"
BITS = 1024
"""The least that counts, and quick to make."""


@dataclass(frozen=True)
class Key:
    private: bytes
    """PEM, PKCS 1."""
    record: str
    """What stands in the DNS."""


@functools.cache
def key(name: str = "", bits: int = BITS) -> Key:
    """One for each name."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    public = made.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    private = made.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return Key(private, f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}")


def where(domain: str = DOMAIN, selector: str = SELECTOR) -> str:
    """The name of its record in the DNS."""
    return f"{selector}._domainkey.{domain}"


def records(*domains: str) -> dict[str, str]:
    """The DNS of these domains; of the team's if there are none."""
    return {where(domain): key(domain).record for domain in domains or (DOMAIN,)}


@functools.cache
def team_names() -> NameServer:
    """A DNS server with the team's key, for as long as the tests run."""
    server = NameServer(records())
    server.start()
    return server


def signed(
    raw: bytes,
    domain: str = DOMAIN,
    *,
    by: Key | None = None,
    selector: str = SELECTOR,
    headers: Sequence[str] = (),
    length: bool = False,
) -> bytes:
    """The mail under a signature of this domain. `headers`: those that it covers."""
    header = dkim.sign(
        raw,
        selector.encode(),
        domain.encode(),
        (by or key(domain)).private,
        canonicalize=(b"relaxed", b"relaxed"),
        include_headers=[one.lower().encode() for one in headers] or None,
        length=length,
    )
    return bytes(header).replace(b"\r\n", b"\n" if b"\r\n" not in raw else b"\r\n") + raw


def sealed(raw: bytes, domain: str, authserv_id: str) -> bytes:
    """The mail in a forwarder's seal, which holds the results that the mail has under this name."""
    headers = dkim.arc_sign(raw, SELECTOR.encode(), domain.encode(), key(domain).private, authserv_id.encode())
    return b"".join(bytes(one).replace(b"\r\n", b"\n" if b"\r\n" not in raw else b"\r\n") for one in headers) + raw
