"""The tools: those that only look, and those that create something, which a person approves each time.

What is shown is what is created. A repeated call has the same idempotency key, for which Stripe gives its first answer
again for at least 24 hours; later nobody knows, so it is not repeated. https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from pydantic import Field, JsonValue

from agent import Call, Facts, Tool, ToolError, Wait
from agent.roster.payments.account import Account, NoAnswer, Record

TEXT_CHARS_MAX, ATTEMPTS_MAX, WAIT_SECONDS, KEY_KEPT = 80, 5, 20.0, timedelta(hours=23)
# Their smallest unit; that of all others is a hundredth. https://docs.stripe.com/currencies#minor-units
_WHOLE = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_THOUSANDTHS = "bhd jod kwd omr tnd"
_SIGNS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


class OutcomeUnknown(Exception):
    """It may have been created."""


def money(amount: int, currency: str) -> str:
    """`$750.00` for 75000 and usd."""
    places = 0 if currency in _WHOLE else 3 if currency in _THOUSANDTHS else 2
    number = f"{Decimal(amount).scaleb(-places):,.{places}f}"
    return f"{_SIGNS[currency]}{number}" if currency in _SIGNS else f"{number} {currency.upper()}"


def short(text: object) -> str:
    line = " ".join(str(text or "").split())
    return line if len(line) <= TEXT_CHARS_MAX else f"{line[:TEXT_CHARS_MAX]}…"


def row(record: Record, *names: str) -> Facts:
    """Those of these fields that it has, with amounts as people read them."""
    found = {name: record[name] for name in names if record.get(name) is not None}
    return {k: money(v, record["currency"]) if type(v) is int else short(v) for k, v in found.items()}


class _Looks(Tool):
    needs: ClassVar[tuple[type, ...]] = (Account,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking at Stripe"


class FindCustomers(_Looks):
    """Customers by a part of their name, or by their whole mail address."""

    text: str = Field(min_length=3, max_length=100)
    third_party: ClassVar[bool] = True  # They wrote their names themselves.

    async def run(self, call: Call) -> JsonValue:
        text, query = self.text.strip(), f"name~{json.dumps(self.text.strip(), ensure_ascii=False)}"
        # A search may miss who was added within the last minute.
        asked = ("list", {"email": text, "limit": 100}) if "@" in text else ("search", {"query": query, "limit": 100})
        found = await call.need(Account).ask("customers", *asked)
        return {"customers": [row(one, "id", "name", "email") for one in found]}


class ListProducts(_Looks):
    """The products that are sold now, and prices. The newest 200 of each."""

    async def run(self, call: Call) -> JsonValue:
        products = await call.need(Account).ask("products", "list", {"active": True, "limit": 100})
        prices = await call.need(Account).ask("prices", "list", {"active": True, "limit": 100})
        prices = [row(one, "id", "product", "unit_amount", "type") for one in prices]
        return {"products": [row(one, "id", "name") for one in products], "prices": prices}


class ListPaymentLinks(_Looks):
    """The newest 200 payment links that can be used."""

    async def run(self, call: Call) -> JsonValue:
        found = await call.need(Account).ask("payment_links", "list", {"active": True, "limit": 100})
        return {"payment_links": [row(one, "id", "url") | row(one["metadata"], "about") for one in found]}


class ListPayments(_Looks):
    """The newest 200 payments, to find one that is to be refunded."""

    third_party: ClassVar[bool] = True

    async def run(self, call: Call) -> JsonValue:
        found = await call.need(Account).ask("charges", "list", {"limit": 100})
        shown = ("id", "amount", "amount_refunded", "status")
        return {"payments": [row(one, *shown) | row(one["billing_details"], "name", "email") for one in found]}


class _Creates(Tool):
    kind: ClassVar[str]
    needs: ClassVar[tuple[type, ...]] = (Account,)
    repeatable: ClassVar[bool] = True
    third_party: ClassVar[bool] = True
    dangers: ClassVar[tuple[str, ...]] = ("note",)
    doing: ClassVar[str] = "is asking Stripe"

    def needs_approval(self) -> bool:
        return True

    def bound_to(self, call: Call) -> Mapping[str, JsonValue]:
        return {"the account": call.need(Account).fingerprint}

    def title(self, facts: Facts) -> str:
        return str(facts["about"])

    async def prepare(self, call: Call) -> Facts:
        return {**await self.look_up(call.need(Account)), "as_of": call.now.isoformat(timespec="minutes")}

    async def look_up(self, account: Account) -> Facts:
        """What people are shown; `about` says all that counts. Raises ToolError."""
        raise NotImplementedError

    def given(self, facts: Facts) -> Record:
        """What Stripe gets."""
        raise NotImplementedError

    async def run(self, call: Call) -> JsonValue | Wait:
        as_of, account = call.facts["as_of"], call.need(Account)
        look = f"It may be there: look at Stripe for one with the metadata call={call.key} before you ask again."
        if call.attempt == 1 and {**await self.look_up(account), "as_of": as_of} != call.facts:
            raise ToolError("Not done: what was approved has changed since. It can be asked for anew.")
        if call.attempt > 1 and call.now - datetime.fromisoformat(str(as_of)) > KEY_KEPT:
            raise OutcomeUnknown(f"It was interrupted, and it is too late to repeat it. {look}")
        given = {"metadata": {"call": call.key, "about": call.facts["about"]}, **self.given(call.facts)}
        try:
            made = await account.ask(self.kind, "create", given, {"idempotency_key": call.key})
            return row(made, "id", "url", "amount", "status")
        except ToolError as error:
            if call.attempt == 1 and not isinstance(error, NoAnswer):
                raise
            if call.attempt < ATTEMPTS_MAX:
                return Wait(WAIT_SECONDS * call.attempt, f"{error} I ask again, under the same key.")
            raise OutcomeUnknown(f"{error} {look}") from None


class CreateCustomer(_Creates):
    """Add a customer who is not there yet."""

    name: str = Field(min_length=1, max_length=80)
    email: str = Field(pattern=r"^[^\s@<>]+@[^\s@<>]+$", max_length=200)
    kind: ClassVar[str] = "customers"

    async def look_up(self, account: Account) -> Facts:
        if known := await account.ask("customers", "list", {"email": self.email, "limit": 1}):
            raise ToolError(f"{self.email} is the customer {known[0]['id']} already.")
        return {"about": f"Add the customer {self.name} <{self.email}>"}

    def given(self, facts: Facts) -> Record:
        return {"name": self.name, "email": self.email}


class CreatePrice(_Creates):
    """Add a price, of a product that there is or of a new one, to sell it again and again."""

    amount: int = Field(gt=0, description="in the currency's smallest unit: 75000 for $750")
    currency: str
    product: str = Field(default="", description="the id of a product that there is")
    new_product: str = Field(default="", max_length=80, description="instead of it, the name of a new one")
    kind: ClassVar[str] = "prices"

    async def what(self, account: Account) -> str:
        if self.currency not in account.table.currencies:
            raise ToolError(f"The currency must be {' or '.join(account.table.currencies)}.")
        if bool(self.product) == bool(self.new_product.strip()):
            raise ToolError("Give either the id of a product or the name of a new one.")
        if self.new_product:
            return f"{short(self.new_product)} (new)"
        return short((await account.ask("products", "retrieve", self.product))["name"])

    async def look_up(self, account: Account) -> Facts:
        return {"about": f"Add a price: {money(self.amount, self.currency)} for {await self.what(account)}"}

    def given(self, facts: Facts) -> Record:
        sold = {"product": self.product} if self.product else {"product_data": {"name": self.new_product}}
        return {"unit_amount": self.amount, "currency": self.currency, **sold}


class CreatePaymentLink(CreatePrice):
    """Create a link by which one customer pays an amount, once; without a customer, anybody does, again and again."""

    customer: str = Field(default="", description="the id of the customer; empty: whoever has the link")
    kind: ClassVar[str] = "payment_links"

    async def look_up(self, account: Account) -> Facts:
        what, payer, facts = await self.what(account), "anybody, again and again", Facts()
        if self.customer:
            known = await account.ask("customers", "retrieve", self.customer)
            facts["customer"] = row(known, "id", "name", "email")  # each by itself: a name can look like all of it
            payer = f"{short(known['name'])} <{short(known['email'])}>, once"
        facts["about"] = f"Payment link: {money(self.amount, self.currency)} from {payer}, for {what}"
        for link in await account.ask("payment_links", "list", {"active": True, "limit": 100}):
            if link["metadata"].get("about") == facts["about"]:
                facts["note"] = f"there is a link for the SAME already: {link['url']}"
        return facts

    def given(self, facts: Facts) -> Record:
        once = {"restrictions": {"completed_sessions": {"limit": 1}}} if self.customer else {}
        return {"line_items": [{"price_data": super().given(facts), "quantity": 1}], **once}


class Refund(_Creates):
    """Give a payment back, or a part of it."""

    payment: str = Field(description="its id")
    amount: int = Field(gt=0, description="in the currency's smallest unit")
    currency: str
    kind: ClassVar[str] = "refunds"

    async def look_up(self, account: Account) -> Facts:
        paid = await account.ask("charges", "retrieve", self.payment)
        by, left = paid["billing_details"], paid["amount"] - paid["amount_refunded"]
        if paid["status"] != "succeeded" or self.currency != paid["currency"] or self.amount > left:
            raise ToolError(f"Of {self.payment} ({paid['status']}), {money(left, paid['currency'])} can be refunded.")
        payer = f"{short(by['name'])} <{short(by['email'])}>"
        about = f"Refund {money(self.amount, self.currency)} to {payer}"
        return {"about": about, "of": row(paid, "id", "amount", "amount_refunded")}

    def given(self, facts: Facts) -> Record:
        return {"charge": self.payment, "amount": self.amount}


TOOLS = (
    FindCustomers,
    ListProducts,
    ListPaymentLinks,
    ListPayments,
    CreateCustomer,
    CreatePrice,
    CreatePaymentLink,
    Refund,
)
