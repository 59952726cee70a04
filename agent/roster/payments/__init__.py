"""payments: payment links, prices, customers and refunds at Stripe. A person approves each call, as it was shown.

A repeated call has the same idempotency key, for which Stripe gives its first answer again for at least 24 hours. Later
nobody knows, so it is not repeated. https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, JsonValue

from agent import Agent, AgentError, Call, Facts, OutcomeUnknown, Tool, ToolError, Wait
from agent.roster.payments.account import Account, NoAnswer, Record, Table

NAME, TEXT_CHARS_MAX = "payments", 80
ATTEMPTS_MAX, WAIT_SECONDS, KEY_KEPT = 5, 20.0, timedelta(hours=23)
# Their smallest unit; that of all others is a hundredth. https://docs.stripe.com/currencies#minor-units
_WHOLE, _THOUSANDTHS = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf", "bhd jod kwd omr tnd"
Shown = Mapping[str, tuple[str, ...]]
_SIGNS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


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
    fields = {**record.get("metadata", {}), **record.get("billing_details", {}), **record}
    found = {name: fields[name] for name in names if fields.get(name) is not None}
    return {k: money(v, fields["currency"]) if type(v) is int else short(v) for k, v in found.items()}


class _Lists(Tool):
    shown: ClassVar[Shown] = {}
    given: ClassVar[Mapping[str, JsonValue]] = {"active": True, "limit": 100}
    needs: ClassVar[tuple[type, ...]] = (Account,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking at Stripe"

    async def run(self, call: Call) -> JsonValue:
        found = {kind: await call.need(Account).ask(kind, "list", dict(self.given)) for kind in self.shown}
        return {kind: [row(one, *self.shown[kind]) for one in records] for kind, records in found.items()}


class FindCustomers(_Lists):
    """Customers by a part of their name, or by their whole mail address."""

    text: str = Field(min_length=3, max_length=100)
    third_party: ClassVar[bool] = True  # They wrote their names themselves.

    async def run(self, call: Call) -> JsonValue:
        text, query = self.text.strip(), f"name~{json.dumps(self.text.strip(), ensure_ascii=False)}"
        # A search may miss who was added within the last minute.
        asked = ("list", {"email": text, "limit": 100}) if "@" in text else ("search", {"query": query, "limit": 100})
        found = await call.need(Account).ask("customers", *asked)
        return {"customers": [row(one, "id", "name", "email") for one in found]}


class ListProducts(_Lists):
    """The products that are sold now, and prices. The newest 200 of each."""

    shown: ClassVar[Shown] = {"products": ("id", "name"), "prices": ("id", "product", "unit_amount", "type")}


class ListPaymentLinks(_Lists):
    """The newest 200 payment links that can be used."""

    shown: ClassVar[Shown] = {"payment_links": ("id", "url", "about")}


class ListPayments(_Lists):
    """The newest 200 payments, to find one that is to be refunded."""

    shown: ClassVar[Shown] = {"charges": ("id", "amount", "amount_refunded", "status", "name", "email")}
    given: ClassVar[Mapping[str, JsonValue]] = {"limit": 100}
    third_party: ClassVar[bool] = True


class _Creates(Tool):
    kind: ClassVar[str]
    needs: ClassVar[tuple[type, ...]] = (Account,)
    repeatable: ClassVar[bool] = True
    third_party: ClassVar[bool] = True
    dangers: ClassVar[tuple[str, ...]] = ("note",)
    on_cards: ClassVar[Mapping[str, str]] = {"about": "in full", "amount": "amount in the smallest unit", "of": "of"}
    doing: ClassVar[str] = "is asking Stripe"
    timeout_seconds: ClassVar[float] = 120  # four requests, each as slow as it may be

    def needs_approval(self) -> bool:
        return True

    def bound_to(self, call: Call) -> Mapping[str, JsonValue]:
        account = call.need(Account)  # Another key may be one for real money.
        return {"the account": hashlib.sha256(f"{account.table.api_base} {account.key}".encode()).hexdigest()}

    def title(self, facts: Facts) -> str:
        return str(facts["about"])

    async def prepare(self, call: Call) -> Facts:
        return {**await self.look_up(call.need(Account)), "as_of": call.now.isoformat(timespec="minutes")}

    async def look_up(self, account: Account) -> Facts:
        """What people are shown; `about` says all that counts. Raises ToolError."""
        raise NotImplementedError

    def given(self) -> Record:
        """What Stripe gets."""
        raise NotImplementedError

    async def run(self, call: Call) -> JsonValue | Wait:
        as_of, account = call.facts["as_of"], call.need(Account)
        look = f"It may be there: look at Stripe for one with the metadata call={call.key} before you ask again."
        if call.attempt == 1 and {**await self.look_up(account), "as_of": as_of} != call.facts:
            raise ToolError("Not done: what was approved has changed since. It can be asked for anew.")
        if call.attempt > 1 and call.now - datetime.fromisoformat(str(as_of)) > KEY_KEPT:
            raise OutcomeUnknown(f"It was interrupted, and it is too late to repeat it. {look}")
        given = {**self.given(), "metadata": {"call": call.key, "about": call.facts["about"]}}
        try:
            made = await account.ask(self.kind, "create", given, {"idempotency_key": call.key})
        except ToolError as error:
            if call.attempt == 1 and not isinstance(error, NoAnswer):
                raise
            if call.attempt < ATTEMPTS_MAX:
                return Wait(WAIT_SECONDS * call.attempt, f"{error} I ask again, under the same key.")
            raise OutcomeUnknown(f"{error} {look}") from None
        return row(made, "id", "url", "amount", "status")


class CreateCustomer(_Creates):
    """Add a customer who is not there yet."""

    name: str = Field(min_length=1, max_length=80)
    email: str = Field(pattern=r"^[^\s@<>]+@[^\s@<>]+$", max_length=200)
    kind: ClassVar[str] = "customers"

    async def look_up(self, account: Account) -> Facts:
        if known := await account.ask("customers", "list", {"email": self.email, "limit": 1}):
            raise ToolError(f"{self.email} is the customer {known[0]['id']} already.")
        return {"about": f"Add the customer {self.name} <{self.email}>"}

    def given(self) -> Record:
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
        return short((await account.ask("products", "retrieve", self.product)).get("name"))

    async def look_up(self, account: Account) -> Facts:
        return {"about": f"Add a price: {money(self.amount, self.currency)} for {await self.what(account)}"}

    def given(self) -> Record:
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
            if known.get("deleted"):
                raise ToolError(f"{self.customer} was deleted.")
            facts["customer"] = row(known, "id", "name", "email")  # each by itself: a name can look like all of it
            payer = f"{short(known['name'])} <{short(known['email'])}>, once"
        facts["about"] = f"Payment link: {money(self.amount, self.currency)} from {payer}, for {what}"
        for link in await account.ask("payment_links", "list", {"active": True, "limit": 100}):
            if link["metadata"].get("about") == facts["about"]:
                facts["note"] = f"there is a link for the SAME already: {link['url']}"
        return facts

    def given(self) -> Record:
        once = {"restrictions": {"completed_sessions": {"limit": 1}}} if self.customer else {}
        return {"line_items": [{"price_data": super().given(), "quantity": 1}], **once}


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
        about = f"Refund {money(self.amount, self.currency)} to {short(by['name'])} <{short(by['email'])}>"
        return {"about": about, "of": row(paid, "id", "amount", "amount_refunded")}

    def given(self) -> Record:
        return {"charge": self.payment, "amount": self.amount}


LOOKS = (FindCustomers, ListProducts, ListPaymentLinks, ListPayments)
TOOLS: tuple[type[Tool], ...] = (*LOOKS, CreateCustomer, CreatePrice, CreatePaymentLink, Refund)


def build(table: Mapping[str, Any], home: Path) -> Agent:
    """Raises pydantic's ValidationError, AgentError."""
    account = Account(Table.model_validate(table))
    if importlib.util.find_spec("stripe") is None:
        raise AgentError(
            "Its library is not installed (stripe): run pip install '.[payments]' in the program's folder."
        )
    return _of(account)


def build_for_evals(home: Path) -> Agent:
    from agent.roster.payments.evals.in_memory import InMemory

    return _of(InMemory())


def _of(account: Account) -> Agent:
    prompt = Path(__file__).with_name("prompt.md").read_text(encoding="utf-8")
    prompt += f"\nCurrencies: {', '.join(account.table.currencies)}.\n"
    return Agent(name=NAME, prompt=prompt, tools=TOOLS, resources={Account: account}, check=account.problems)
