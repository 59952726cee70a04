"""A Stripe for tests, and the account that uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.roster.payments.account import Account, Table
from tests.fakes.stripe import KEY, StripeServer


@pytest.fixture
async def stripe() -> AsyncIterator[StripeServer]:
    async with StripeServer() as server:
        yield server


@pytest.fixture
def account(stripe: StripeServer, monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setenv("STRIPE_API_KEY", KEY)
    return Account(Table(currencies=("usd", "jpy"), api_base=stripe.url))
