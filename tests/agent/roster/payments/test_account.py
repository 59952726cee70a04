"""The account over HTTP: pages, errors in words, and that no key is ever shown."""

from __future__ import annotations

import pytest

from agent import ToolError
from agent.roster.payments.account import RECORDS_MAX, Account, NoAnswer, Table
from tests.fakes.stripe import KEY, Fault, StripeServer


async def test_a_list_is_read_from_all_its_pages(stripe: StripeServer, account: Account) -> None:
    for number in range(150):
        stripe.add("products", name=f"Seat {number}")
    stripe.add("products", name="Old", active=False)
    found = await account.ask("products", "list", {"active": True, "limit": 100})
    assert [one["name"] for one in found] == [f"Seat {number}" for number in reversed(range(150))]
    assert len(stripe.requests) == 2


async def test_a_list_has_an_end(stripe: StripeServer, account: Account) -> None:
    for number in range(RECORDS_MAX + 50):
        stripe.add("charges", amount=number)
    assert len(await account.ask("charges", "list", {"limit": 100})) == RECORDS_MAX


async def test_a_search_has_pages_too(stripe: StripeServer, account: Account) -> None:
    for number in range(120):
        stripe.add("customers", name=f"Terri {number}")
    assert len(await account.ask("customers", "search", {"query": 'name~"TERRI"', "limit": 100})) == 120


async def test_the_same_key_gives_the_same_record(stripe: StripeServer, account: Account) -> None:
    first = await account.ask("customers", "create", {"name": "Terri"}, {"idempotency_key": "k1"})
    assert await account.ask("customers", "create", {"name": "Terri"}, {"idempotency_key": "k1"}) == first
    assert len(stripe.records["customers"]) == 1
    with pytest.raises(NoAnswer, match="can only be used with the same parameters"):
        await account.ask("customers", "create", {"name": "Sam"}, {"idempotency_key": "k1"})


async def test_a_lost_answer_is_asked_for_again_under_the_same_key(stripe: StripeServer, account: Account) -> None:
    stripe.fails(Fault(cut_off=True))
    made = await account.ask("customers", "create", {"name": "Terri"}, {"idempotency_key": "k1"})
    assert made["id"] == stripe.records["customers"][0]["id"]
    assert [one.idempotency_key for one in stripe.posts] == ["k1", "k1"]
    assert len(stripe.records["customers"]) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (
            Fault(402, {"message": "Your card was declined.", "type": "card_error", "code": "card_declined"}),
            ToolError,
            "Stripe refuses it: Your card was declined.",
        ),
        (
            Fault(400, {"message": f"No such price: '{KEY}'", "type": "invalid_request_error"}),
            ToolError,
            "Stripe refuses it: No such price: '(key)'",
        ),
        (
            Fault(
                429, {"message": "Request rate limit exceeded.", "type": "invalid_request_error", "code": "rate_limit"}
            ),
            NoAnswer,
            "Stripe cannot do it now: Request rate limit exceeded.",
        ),
    ],
)
async def test_errors_are_words(
    stripe: StripeServer, account: Account, fault: Fault, kind: type[ToolError], words: str
) -> None:
    stripe.fails(fault)
    with pytest.raises(ToolError) as raised:
        await account.ask("customers", "create", {"name": "Terri"}, {"idempotency_key": "k1"})
    assert (type(raised.value), str(raised.value)) == (kind, words)


async def test_a_failure_of_stripe_leaves_open_what_was_done(stripe: StripeServer, account: Account) -> None:
    stripe.fails(*[Fault(500, {"message": "Something went wrong.", "type": "api_error"})] * 2)
    with pytest.raises(NoAnswer, match=r"Stripe cannot do it now: Something went wrong\."):
        await account.ask("customers", "create", {"name": "Terri"}, {"idempotency_key": "k1"})


async def test_nobody_there(account: Account, stripe: StripeServer) -> None:
    await stripe.__aexit__(None, None, None)
    with pytest.raises(NoAnswer, match=r"^Stripe cannot be reached\.$"):
        await account.ask("customers", "list", {})


async def test_doctor_makes_a_real_call_for_all_that_is_read(stripe: StripeServer, account: Account) -> None:
    assert await account.problems() == []
    assert {one.path for one in stripe.requests} == {"customers", "products", "prices", "payment_links", "charges"}


async def test_doctor_says_what_a_key_may_not_do(stripe: StripeServer, account: Account) -> None:
    stripe.forbidden = {"payment_links"}
    (problem,) = await account.problems()
    assert problem.startswith("agents.payments: Stripe refuses it: The provided key '(key)' does not have")
    assert problem.endswith("It needs a key in STRIPE_API_KEY that may read payment_links.")
    assert KEY[-4:] not in problem


async def test_doctor_says_that_a_key_is_wrong_or_missing(
    stripe: StripeServer, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_live_somebodyElsesKey")
    (problem,) = await account.problems()
    assert "Invalid API Key provided: (key)" in problem
    monkeypatch.delenv("STRIPE_API_KEY")
    (problem,) = await account.problems()
    assert "STRIPE_API_KEY is not set" in problem


async def test_the_key_of_another_variable(stripe: StripeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", KEY)
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_another")
    account = Account(Table(currencies=("usd",), api_key_env="SHOP_KEY", api_base=stripe.url))
    assert await account.problems() == []
