"""The account in memory answers as the Stripe for tests does, as far as the tools see it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent import Call, Tool, ToolError
from agent.roster.payments import CreatePaymentLink, FindCustomers, ListPaymentLinks, ListProducts, Refund
from agent.roster.payments.account import Account, Record
from agent.roster.payments.evals.in_memory import InMemory
from tests.fakes.stripe import StripeServer

NOW = datetime(2026, 11, 27, tzinfo=UTC)
LINK = CreatePaymentLink(amount=75000, currency="usd", customer="cus_terri", new_product="February meetup")


def _called(account: Account, facts: Record | None = None) -> Call:
    return Call("t", "t/s4", 1, NOW, "Ann", facts=facts or {}, resources={Account: account})


@pytest.mark.parametrize("step", [FindCustomers(text="sam"), FindCustomers(text="terri@example.com"), ListProducts()])
async def test_it_shows_what_stripe_would(step: Tool, stripe: StripeServer, account: Account) -> None:
    memory = InMemory()
    for kind, records in memory.records.items():
        for record in reversed(records):
            stripe.add(kind, **record)
    assert await step.run(_called(memory)) == await step.run(_called(account))


async def test_what_is_created_is_there() -> None:
    memory = InMemory()
    made = await LINK.run(_called(memory, await LINK.prepare(_called(memory))))
    about = "Payment link: $750.00 from Terri Lee <terri@example.com>, once, for February mee…"
    assert isinstance(made, dict)
    assert await ListPaymentLinks().run(_called(memory)) == {"payment_links": [{**made, "about": about}]}


async def test_a_refund_leaves_less_to_refund() -> None:
    memory = InMemory()
    refund = Refund(payment="ch_samito", amount=30000, currency="usd")
    await refund.run(_called(memory, await refund.prepare(_called(memory))))
    with pytest.raises(ToolError, match=r"\$0\.00 can be refunded"):
        await refund.prepare(_called(memory))


async def test_what_is_not_there() -> None:
    with pytest.raises(ToolError, match="No such customer: 'cus_none'"):
        await InMemory().ask("customers", "retrieve", "cus_none")


async def test_each_case_begins_with_the_same() -> None:
    first = InMemory()
    await LINK.run(_called(first, await LINK.prepare(_called(first))))
    assert InMemory().records["payment_links"] == []
