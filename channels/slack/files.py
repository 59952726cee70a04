"""Uploads a text as a file, for a post of ours to share.

Slack can share a file when it completes the upload, but that message carries no metadata, so after a crash nobody knows
whether it is there. So the file stays private at first, and a post of our own, which has our key, shares it by its
permalink (github.com/slackapi/java-slack-sdk/issues/1475). If a process dies in between, nobody sees what it uploaded.

Sources: docs.slack.dev/reference/methods/files.getUploadURLExternal and files.completeUploadExternal.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.base import SendFailed
from channels.slack.downloads import is_slack_url
from channels.slack.refusals import RETRY_SECONDS, code_of, is_lasting

NAME = "answer.md"
UPLOAD_SECONDS = 20.0


async def sharing_text(client: AsyncWebClient, content: str, thread_id: str) -> str:
    """The text of a post that shares a file with this content, or says why it cannot.

    Raises SlackApiError, SendFailed, aiohttp.ClientError, TimeoutError: another attempt may succeed.
    """
    try:
        return f"<{await _uploaded(client, content.encode(errors='replace'))}>"
    except SlackApiError as error:
        if not is_lasting(error):
            raise
        return f"Slack does not take the file ({code_of(error)}). `bot show {thread_id}` prints all of it."


async def _uploaded(client: AsyncWebClient, content: bytes) -> str:
    """The permalink of a private file with this content."""
    begun: Any = await client.files_getUploadURLExternal(filename=NAME, length=len(content))
    url = str(begun["upload_url"])
    if not is_slack_url(url, client.base_url):
        raise SendFailed("Slack named an address for the upload that is not its own.")
    timeout = aiohttp.ClientTimeout(total=UPLOAD_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, data=content, allow_redirects=False) as response,
    ):
        if response.status != 200:
            raise SendFailed(f"Slack did not take the file: HTTP {response.status}.", RETRY_SECONDS)
    await client.files_completeUploadExternal(files=[{"id": str(begun["file_id"]), "title": NAME}])
    known: Any = await client.files_info(file=str(begun["file_id"]))
    return str(known["file"]["permalink"])
