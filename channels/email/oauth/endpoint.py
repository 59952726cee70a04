"""One request to a token endpoint, and what its answer says (RFC 6749, 5.1 and 5.2).

It retries nothing, follows no redirect, and logs nothing: both the requests and the answers hold secrets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from channels.email.servers import TokenUnavailable
from store.text import one_line

SECONDS_MAX = 20.0
ANSWER_BYTES_MAX = 200_000
LIFETIME_SECONDS = 1_800
"""Of an access token whose lifetime is not said."""
_LATER = frozenset({"temporarily_unavailable", "server_error"})


class OAuthError(Exception):
    """The endpoint refuses. The message is one line: what it says of the reason."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text or code)
        self.code = code
        """As RFC 6749 and RFC 8628 have them."""


@dataclass(frozen=True, slots=True)
class Granted:
    access_token: str = field(repr=False)
    lifetime_seconds: float
    refresh_token: str = field(repr=False)
    """Empty: there is none, or the one that was used stays as it is."""
    scopes: frozenset[str]
    """Empty: not said."""


async def granted(url: str, form: Mapping[str, str]) -> Granted:
    """Raises OAuthError, TokenUnavailable."""
    answer = await post(url, form)
    token, seconds = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(token, str) or not token.isprintable() or not token.isascii():
        raise TokenUnavailable(f"{_host(url)} answers without an access token")
    try:
        lifetime = float(seconds) if seconds else LIFETIME_SECONDS
    except (TypeError, ValueError):
        lifetime = LIFETIME_SECONDS
    scopes = frozenset(str(answer.get("scope") or "").split())
    return Granted(token, lifetime, str(answer.get("refresh_token") or ""), scopes)


async def post(url: str, form: Mapping[str, str]) -> dict[str, Any]:
    """The answer's fields. Raises OAuthError, TokenUnavailable."""
    timeout = aiohttp.ClientTimeout(total=SECONDS_MAX)
    headers = {"Accept": "application/json", "User-Agent": "deploybot"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(url, data=dict(form), allow_redirects=False) as response,
        ):
            status, body = response.status, b""
            while len(body) < ANSWER_BYTES_MAX and (chunk := await response.content.read(ANSWER_BYTES_MAX)):
                body += chunk
    except TimeoutError:
        raise TokenUnavailable(f"{_host(url)} does not answer within {SECONDS_MAX:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise TokenUnavailable(f"{_host(url)} cannot be reached: {one_line(str(error), 200)}") from None
    answer = _document(body)
    if 200 <= status < 300:
        return answer
    code = answer.get("error")
    if status >= 500 or status == 429 or not isinstance(code, str) or not code or code in _LATER:
        raise TokenUnavailable(f"{_host(url)} answers {status}")
    # Microsoft's descriptions go on with ids of the request, on lines of their own.
    description = str(answer.get("error_description") or "").strip().splitlines()[:1]
    raise OAuthError(one_line(code, 60), one_line("".join(description), 300).rstrip("."))


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _host(url: str) -> str:
    return url.split("/")[2]
