"""The names of channels and user groups that a text refers to by id.

Names are cached. Where Slack does not say one (a scope is missing, a private channel), the id stays in the text, and
Slack is not asked again for a while. Names of people are known to `channels.slack.reading`.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from channels.slack.calls import call_or

NAMES_MAX = 5_000
NAME_SECONDS = 600.0
LOOKED_UP_MAX = 20
"""References in one text that are looked up."""

_CHANNEL = re.compile(r"<#([CGD][A-Z0-9]+)(?:\|)?>")
_GROUP = re.compile(r"<!subteam\^(S[A-Z0-9]+)(?:\|)?>")


class References:
    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._names: dict[str, tuple[str, float]] = {}
        """By id: the name (empty: unknown), and until when it is good, in monotonic seconds."""

    async def names_in(self, text: str) -> dict[str, str]:
        """The names of the channels and groups in this markup, by id."""
        channels = list(dict.fromkeys(_CHANNEL.findall(text)))[:LOOKED_UP_MAX]
        groups = list(dict.fromkeys(_GROUP.findall(text)))[:LOOKED_UP_MAX]
        unknown = [channel for channel in channels if not self._is_known(channel)]
        await asyncio.gather(*map(self._look_up_channel, unknown))
        if any(not self._is_known(group) for group in groups):
            await self._look_up_groups(groups)
        found = ((key, self._names.get(key, ("", 0.0))[0]) for key in (*channels, *groups))
        return {key: name for key, name in found if name}

    def _is_known(self, key: str) -> bool:
        return self._names.get(key, ("", 0.0))[1] > time.monotonic()

    def _keep(self, key: str, name: str) -> None:
        self._names.pop(key, None)
        self._names[key] = (name, time.monotonic() + NAME_SECONDS)
        if len(self._names) > NAMES_MAX:
            self._names.pop(next(iter(self._names)))

    async def _look_up_channel(self, channel: str) -> None:
        answer: Any = await call_or("conversations.info", self._client.conversations_info(channel=channel), None)
        self._keep(channel, str(answer["channel"].get("name") or "") if answer else "")

    async def _look_up_groups(self, wanted: list[str]) -> None:
        """All at once: Slack has no call for one."""
        answer: Any = await call_or("usergroups.list", self._client.usergroups_list(), None)
        for group in answer["usergroups"] if answer else ():
            self._keep(str(group["id"]), str(group.get("handle") or group.get("name") or ""))
        for group in wanted:
            if not self._is_known(group):
                self._keep(group, "")
