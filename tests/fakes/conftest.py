"""A Slack for each test, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import SlackServer
from tests.fakes.slack_bots import client_of


@pytest.fixture
async def slack() -> AsyncIterator[SlackServer]:
    """Events are sent again at once, and after 50 and 100 ms."""
    async with SlackServer(retry_waits_seconds=(0.0, 0.05, 0.1)) as server:
        yield server


@pytest.fixture
def client(slack: SlackServer) -> AsyncWebClient:
    return client_of(slack)
