"""The client for Slack that the settings ask for: with the token that they name, or with one that Slack rotates.

It makes no call. Its library is imported only where Slack is set up.
"""

from __future__ import annotations

import functools
from typing import Any

from bot.settings import Settings
from bot.stores import secret_keys
from store.base import Store


def slack_client(settings: Settings, store: Store | None) -> Any:
    """`store`: where rotated tokens are kept. None: no call will be made by this client, or nothing is rotated."""
    from channels.slack.connection import client_of, rotating_client
    from channels.slack.tokens import Rotation

    refresh_token = settings.slack_refresh_token.get_secret_value()
    if not refresh_token or store is None:
        return client_of(settings.slack_bot_token.get_secret_value(), settings.slack_api_url)
    rotation = Rotation(settings.slack_client_id, settings.slack_client_secret.get_secret_value(), refresh_token)
    keys = functools.partial(secret_keys, settings, store)
    return rotating_client(rotation, store, keys, settings.slack_api_url)
