"""Classifies an endpoint's error responses: temporary or permanent. Pure.

It owns the error messages that people read. They name the endpoint but never its URL, whose path may be a secret.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#delivery-success-and-failure
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from channels.base import SendFailed
from store.text import one_line

RETRY_SECONDS = 10.0
RETRY_AFTER_REPAIR_SECONDS = 600.0
RETRY_AFTER_SECONDS_MAX = 3_600.0
"""Upper limit for an endpoint's Retry-After."""
WORDS_CHARS_MAX = 200

_FOR_NOW = {408, 425, 429}


def refusal(name: str, status: int, headers: Mapping[str, str], words: str, now: datetime) -> SendFailed:
    """The error for a status that is not 2xx. `words`: the beginning of the response body."""
    said = f": {one_line(words, WORDS_CHARS_MAX)}" if words.strip() else ""
    if status >= 500 or status in _FOR_NOW:
        what = "asks to slow down" if status == 429 else "is in trouble"
        return SendFailed(f"The webhook {name} {what} ({status}){said}", retry_after(headers, now) or RETRY_SECONDS)
    match status:
        case 401 | 403:
            text = f"refuses us ({status}). Compare its secret with the one in WEBHOOK_SECRETS"
        case 404:
            text = "has nothing at its URL (404). Correct WEBHOOK_URLS"
        case 410:
            text = "wants no messages any more (410). Take it out of WEBHOOK_URLS"
        case _ if 300 <= status < 400:
            text = f"redirects us ({status}), which is not followed. Correct its URL in WEBHOOK_URLS"
        case _:
            text = f"does not take the message ({status})"
    return SendFailed(f"The webhook {name} {text}{said}")


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Retry-After in seconds (RFC 9110, 10.2.3: seconds or a date). None: missing or malformed."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return min(float(value[:9]), RETRY_AFTER_SECONDS_MAX)
    try:
        until = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    seconds = ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)
