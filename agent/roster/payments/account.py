"""The team's account at Stripe: the one place that calls it. https://docs.stripe.com/api

Every failure becomes words for people and the model, and none shows the key. The SDK is an optional extra: it is
imported when it is first used.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from agent import ToolError, secret

RECORDS_MAX, SECONDS_MAX, REQUEST_SECONDS_MAX = 200, 25, 10
Record = dict[str, Any]
"""As Stripe sends it."""


class Table(BaseModel):
    """[agents.payments] of bot.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currencies: tuple[Annotated[str, Field(pattern="^[a-z]{3}$")], ...] = Field(min_length=1)
    """Those that it may use: `["usd"]`."""
    api_key_env: str = Field(default="STRIPE_API_KEY", pattern="^[A-Z_][A-Z0-9_]*$")
    """The name of the variable with the key. The key itself never stands in the file."""
    api_base: str = Field(default="https://api.stripe.com", pattern=r"^https?://[^/?#@]+$")


class NoAnswer(ToolError):
    """It is not known whether Stripe did what it was asked to do."""


class Account:
    def __init__(self, table: Table) -> None:
        self.table = table

    @property
    def key(self) -> str:
        """Raises ToolError."""
        return secret(self.table.api_key_env)

    async def ask(self, kind: str, verb: str, *given: object) -> Any:
        """What this method of the SDK answers, as JSON; of a list, the newest RECORDS_MAX. Raises ToolError."""
        import stripe

        stripe.enable_telemetry, key = False, self.key
        try:
            async with asyncio.timeout(SECONDS_MAX), aiohttp.ClientSession() as session:
                http = stripe.AIOHTTPClient(timeout=REQUEST_SECONDS_MAX, session=session)
                base: Any = {"api": self.table.api_base}
                # Its retry has the same idempotency key.
                client = stripe.StripeClient(key, http_client=http, base_addresses=base, max_network_retries=1)
                answer = await getattr(getattr(client.v1, kind), f"{verb}_async")(*given)
                return await _listed(answer) if verb in ("list", "search") else answer.to_dict()
        except TimeoutError:
            raise NoAnswer(f"Stripe gave no answer within {SECONDS_MAX} s.") from None
        except (stripe.APIConnectionError, aiohttp.ClientError, OSError):
            raise NoAnswer("Stripe cannot be reached.") from None
        except stripe.StripeError as error:
            said = " ".join((error.user_message or "").replace(key, "(key)").split())
            said = re.sub(r"\b(sk|rk|pk)_[\w*]+", "(key)", said)[:300]
            if isinstance(error, stripe.RateLimitError | stripe.APIError | stripe.IdempotencyError):
                raise NoAnswer(f"Stripe cannot do it now: {said}") from None
            raise ToolError(f"Stripe refuses it: {said}") from None

    async def problems(self) -> list[str]:
        """For `bot doctor`: whether the key may read what the tools read."""
        try:
            for kind in ("customers", "products", "prices", "payment_links", "charges"):
                await self.ask(kind, "list", {"limit": 100})
        except ToolError as error:
            return [f"agents.payments: {error} It needs a key in {self.table.api_key_env} that may read {kind}."]
        return []


async def _listed(page: Any) -> list[Record]:
    found: list[Record] = []
    async for one in page.auto_paging_iter():
        found.append(one.to_dict())
        if len(found) == RECORDS_MAX:
            break
    return found
