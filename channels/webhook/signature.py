"""Signs webhooks per Standard Webhooks 1.0.0, with HMAC-SHA256. Pure.

The signature covers id, timestamp and body, which prevents tampering and replay.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64


def key_of(secret: str) -> bytes:
    """The key in `whsec_…`. Raises ValueError, without any part of the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ValueError(f"{PREFIX} and {KEY_BYTES_MIN} to {KEY_BYTES_MAX} random bytes in base64")
    return key


def id_of(key: str) -> str:
    """The webhook-id of the message with this key, the same for every attempt.

    It is a hash, because a key may contain text from outside, and an id must not contain a full stop.
    """
    return f"msg_{hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()[:32]}"


def headers_of(webhook_id: str, at: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The headers of one attempt. `at`: its time, in seconds since the epoch. Every key signs."""
    signed = b".".join([webhook_id.encode(), str(at).encode(), body])
    digests = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }
