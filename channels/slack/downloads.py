"""Downloads the files that people attach, from Slack alone: nobody else is shown our token."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
import structlog
from slack_sdk.web.async_client import AsyncWebClient

log = structlog.get_logger(__name__)


class Download(Protocol):
    async def __call__(self, file_id: str, url: str, *, bytes_max: int, is_html: bool = False) -> bytes:
        """The content; empty: it cannot be read. Raises aiohttp.ClientError, OSError, TimeoutError."""


class Downloads:
    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client

    async def __call__(self, file_id: str, url: str, *, bytes_max: int, is_html: bool = False) -> bytes:
        if not is_slack_url(url, self._client.base_url):
            return b""
        headers = {"Authorization": f"Bearer {self._client.token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            # Without permission, Slack answers 200 with a login page.
            if response.status != 200 or (response.content_type == "text/html" and not is_html):
                log.warning("slack_file_not_read", file=file_id, status=response.status, type=response.content_type)
                return b""
            data = b""
            async for chunk in response.content.iter_chunked(65_536):
                data += chunk
                if len(data) > bytes_max:
                    log.warning("slack_file_not_read", file=file_id, why="it is larger than it said")
                    return b""
        return data


def is_slack_url(url: str, base_url: str) -> bool:
    """Whether the URL is Slack's own, so that we may send our token to it. An external file may have any URL."""
    try:
        parts, base = urlsplit(url), urlsplit(base_url)
        if (parts.scheme, parts.netloc) == (base.scheme, base.netloc):
            return True
        return parts.scheme == "https" and (parts.hostname or "").endswith((".slack.com", ".slack-gov.com"))
    except ValueError:
        return False
