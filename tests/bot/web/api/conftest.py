"""A client of the API for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.web.api import shapes as shapes
from tests.bot.web.api.client import Client, new_world, serve


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with serve(new_world()) as it:
        yield it
