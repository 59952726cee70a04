"""Checks that Slack signed an HTTP request, before anything of it is parsed.

Anybody can post to the endpoint, so what is not signed is refused unread: neither Bolt nor a parser of ours sees it.
The SDK's verifier decodes the body first and raises for odd headers, so the few lines are here.
https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping

AGE_SECONDS_MAX = 300
"""An older signature may be somebody's copy of it."""


def is_signed(body: bytes, headers: Mapping[str, str], secret: str) -> bool:
    """Whether it has a valid signature that is not too old. Without a secret nothing has."""
    given = {name.lower(): value for name, value in headers.items()}
    timestamp, signature = given.get("x-slack-request-timestamp", ""), given.get("x-slack-signature", "")
    if not secret.strip() or not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 20):
        return False
    if abs(time.time() - int(timestamp)) > AGE_SECONDS_MAX:
        return False
    expected = hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"v0={expected}".encode(), signature.encode(errors="replace"))
