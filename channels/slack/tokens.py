"""The bot's token where Slack rotates it: it lasts twelve hours, and a refresh token that is good once brings the next.

`Installations` keeps both in our store, encrypted, behind the interface of Bolt's installation stores. There is one
installation, in a workspace or in a whole organisation; several unrelated workspaces in one bot are not supported.
`RotatingToken` refreshes in time; of several processes, one does it. `RotatingClient` always has a good token.

Sources: docs.slack.dev/authentication/using-token-rotation; slack_sdk.oauth.installation_store.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

import structlog
from slack_sdk.errors import SlackClientError
from slack_sdk.oauth.installation_store import Bot, Installation
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from channels.slack.refusals import CALL_FAILED, in_words
from store.base import NoteStore, StoreUnavailable
from store.sealed import SealedNote, SecretKeys

log = structlog.get_logger(__name__)

NOTE = "slack/installation"
REFRESH_MINUTES_BEFORE = 120
CLAIM_SECONDS = 60.0
"""How long others wait for the process that refreshes. After that, it is taken for dead."""
LOOK_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Rotation:
    """What it takes to refresh, from the settings."""

    client_id: str
    client_secret: str
    refresh_token: str
    """The first one. Another one than before begins anew, for when a refresh was lost."""


class Installations(AsyncInstallationStore):
    """The one installation, in a note. What cannot be read, because the key is another one, counts as none."""

    def __init__(self, notes: NoteStore, keys: SecretKeys) -> None:
        self._note = SealedNote(notes, NOTE, keys, purpose="slack installation")

    async def async_find_bot(
        self, *, enterprise_id: str | None, team_id: str | None, is_enterprise_install: bool | None = False
    ) -> Bot | None:
        text = await self._note.read()
        return Bot(**json.loads(text)) if text else None

    async def async_save(self, installation: Installation) -> None:
        await self.async_save_bot(installation.to_bot())

    async def async_save_bot(self, bot: Bot) -> None:
        await self.replace(bot)

    async def replace(self, bot: Bot) -> bool:
        """Save, unless another process has since it was read: then False."""
        fields = {
            "enterprise_id": bot.enterprise_id,
            "team_id": bot.team_id,
            "bot_token": bot.bot_token,
            "bot_id": bot.bot_id,
            "bot_user_id": bot.bot_user_id,
            "bot_refresh_token": bot.bot_refresh_token,
            "bot_token_expires_at": bot.bot_token_expires_at,
            "installed_at": bot.installed_at,
            "custom_values": bot.custom_values,
        }
        return await self._note.replace(json.dumps(fields))


class RotatingToken:
    def __init__(self, installations: Installations, rotation: Rotation, api_url: str) -> None:
        self._installations = installations
        self._rotation = rotation
        self._client = AsyncWebClient(base_url=api_url.rstrip("/") + "/", timeout=20, retry_handlers=[])
        self._lock = asyncio.Lock()
        self._token = ""
        self._expires_at = self._good_until = 0.0
        """When it is over, and until when it is used without a look at the store."""

    async def fresh(self) -> str:
        """A token that is good for a while. Raises SlackClientError."""
        async with self._lock:
            try:
                return await self._fresh()
            except StoreUnavailable as error:
                if time.time() < self._expires_at:
                    return self._token
                raise SlackClientError(f"The token cannot be refreshed without the store. {error}") from error

    async def _fresh(self) -> str:
        while time.time() >= self._good_until:
            bot = await self._kept()
            left = (bot.bot_token_expires_at or 0) - time.time()
            if left <= REFRESH_MINUTES_BEFORE * 60 and not _is_claimed(bot):
                refreshed = await self._refresh(bot)
                if refreshed is None:
                    continue  # Another process was first.
                bot, left = refreshed, (refreshed.bot_token_expires_at or 0) - time.time()
            if left > 0:
                # While another process refreshes, the old token is good.
                self._token, self._expires_at = bot.bot_token, time.time() + left
                self._good_until = time.time() + max(left - REFRESH_MINUTES_BEFORE * 60, min(left, CLAIM_SECONDS))
            else:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
        return self._token

    async def _kept(self) -> Bot:
        """What is in the store, unless it began with another refresh token than the settings'."""
        seed = hashlib.sha256(self._rotation.refresh_token.encode()).hexdigest()
        kept = await self._installations.async_find_bot(enterprise_id=None, team_id=None)
        if kept and kept.custom_values.get("seed") == seed:
            return kept
        first = Bot(
            bot_token="",
            bot_id="",
            bot_user_id="",
            bot_refresh_token=self._rotation.refresh_token,
            bot_token_expires_at=0,
            installed_at=time.time(),
        )
        first.set_custom_value("seed", seed)
        return first

    async def _refresh(self, bot: Bot) -> Bot | None:
        """None: another process refreshes it. Raises SlackClientError if Slack refuses and the token is over."""
        bot.set_custom_value("claimed_until", time.time() + CLAIM_SECONDS)
        if not await self._installations.replace(bot):
            return None
        refused = False
        try:
            # The SDK's rotator would send the id and the secret by a class that aiohttp is about to remove.
            answer = await self._client.api_call("oauth.v2.access", data=self._request(bot))
            bot.bot_token, bot.bot_refresh_token = str(answer["access_token"]), str(answer["refresh_token"])
            bot.bot_token_expires_at = int(time.time()) + int(answer["expires_in"])
        except CALL_FAILED as error:
            refused = True
            log.error("slack_token_not_refreshed", error=in_words(error))
        bot.set_custom_value("claimed_until", 0)
        await self._installations.replace(bot)
        if refused and (bot.bot_token_expires_at or 0) <= time.time():
            raise SlackClientError(
                "Slack does not refresh the token. Generate new ones under OAuth & Permissions, and set "
                "SLACK_BOT_TOKEN and SLACK_REFRESH_TOKEN."
            )
        return bot

    def _request(self, bot: Bot) -> dict[str, str | None]:
        return {
            "client_id": self._rotation.client_id,
            "client_secret": self._rotation.client_secret,
            "grant_type": "refresh_token",
            "refresh_token": bot.bot_refresh_token,
        }


def _is_claimed(bot: Bot) -> bool:
    return float(bot.custom_values.get("claimed_until") or 0) > time.time()


class RotatingClient(AsyncWebClient):
    """A client whose token is replaced in time."""

    def __init__(self, rotating: RotatingToken, **settings: Any) -> None:
        super().__init__(**settings)
        self._rotating = rotating

    async def api_call(self, api_method: str, **arguments: Any) -> AsyncSlackResponse:
        self.token = await self._rotating.fresh()
        return await super().api_call(api_method, **arguments)
