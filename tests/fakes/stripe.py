"""A Stripe for tests: the parts of its API that the payments agent uses, over real HTTP on loopback.

    async with StripeServer() as stripe:
        stripe.add("customers", name="Terri Lee", email="terri@example.com")
        stripe.fails(Fault(cut_off=True))     # the next POST is carried out, and the connection is cut
        ...                                   # stripe.url is the base; stripe.requests holds what came in

Requests are form-encoded with nested brackets, answers are JSON in the shapes of the published API
(https://docs.stripe.com/api): lists in pages, error objects, and idempotency keys, for which the first answer is given
again until `forget_keys()`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from aiohttp import web

KEY = "sk_test_51FakeFakeFakeFakeFake"
PREFIXES = {
    "customers": "cus",
    "products": "prod",
    "prices": "price",
    "payment_links": "plink",
    "charges": "ch",
    "refunds": "re",
}
LIMIT_MAX = 100
Record = dict[str, Any]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """Without /v1/."""
    given: Record
    headers: Mapping[str, str]

    @property
    def idempotency_key(self) -> str:
        return self.headers.get("Idempotency-Key", "")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the next request that fits."""

    status: int = 0
    """Answered instead; nothing is carried out."""
    error: Record = field(default_factory=dict)
    cut_off: bool = False
    """It is carried out, and the connection is cut instead of an answer."""
    until: asyncio.Event | None = None
    """It is carried out, and answered when this is set."""
    method: str = "POST"


class Refusal(Exception):
    def __init__(self, status: int, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": "invalid_request_error", **more}


class StripeServer:
    def __init__(self, *, key: str = KEY) -> None:
        self.key = key
        self.url = ""
        self.requests: list[Request] = []
        self.records: dict[str, list[Record]] = {kind: [] for kind in PREFIXES}
        """The oldest first."""
        self.forbidden: set[str] = set()
        """The kinds that the key may not use, as a restricted key."""
        self.arrived = asyncio.Event()
        """A POST was carried out."""
        self._faults: deque[Fault] = deque()
        self._answers: dict[str, tuple[tuple[str, Record], int, Record]] = {}
        self._numbers = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/v1/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    # For tests

    def add(self, kind: str, **fields: Any) -> Record:
        self._numbers += 1
        record = {
            "id": f"{PREFIXES[kind]}_{self._numbers:014d}",
            "object": kind.removesuffix("s"),
            "livemode": False,
            "metadata": {},
            **_SHAPES[kind],
            **fields,
        }
        if kind not in ("payment_links",):
            record.setdefault("created", 1_795_000_000 + self._numbers)
        self.records[kind].append(record)
        return record

    def fails(self, *faults: Fault) -> None:
        self._faults.extend(faults)

    def forget_keys(self) -> None:
        """As Stripe may, after 24 hours."""
        self._answers.clear()

    @property
    def posts(self) -> list[Request]:
        return [one for one in self.requests if one.method == "POST"]

    # The API

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        text = await request.text() if request.method == "POST" else request.query_string
        given = nested(text)
        came = Request(request.method, path, given, dict(request.headers))
        self.requests.append(came)
        fault = self._faults.popleft() if self._faults and self._faults[0].method == request.method else None
        if fault and fault.status:
            return web.json_response({"error": fault.error}, status=fault.status)
        headers = {"Request-Id": f"req_{len(self.requests):014d}"}
        try:
            self._authorize(request, path.partition("/")[0])
            status, answer = self._posted(came, headers) if request.method == "POST" else (200, self._got(came))
        except Refusal as refusal:
            status, answer = refusal.status, {"error": refusal.error}
        if request.method == "POST":
            self.arrived.set()
        if fault and fault.until:
            await fault.until.wait()
        if fault and fault.cut_off:
            assert request.transport
            request.transport.abort()
        return web.json_response(answer, status=status, headers=headers)

    def _authorize(self, request: web.Request, kind: str) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if given != self.key:
            raise Refusal(401, f"Invalid API Key provided: {_redacted(given)}")
        if kind in self.forbidden:
            raise Refusal(
                403,
                f"The provided key '{_redacted(given)}' does not have the required permissions for this endpoint on "
                f"account 'acct_123'. Having the 'rak_{kind.removesuffix('s')}_read' permission would allow this "
                "request to continue.",
            )
        if kind not in PREFIXES:
            raise Refusal(404, f"Unrecognized request URL ({request.method}: {request.path}).")

    def _posted(self, came: Request, headers: dict[str, str]) -> tuple[int, Record]:
        what, key = (came.path, came.given), came.idempotency_key
        if key in self._answers:
            known, status, answer = self._answers[key]
            if known != what:
                raise Refusal(
                    400,
                    "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                    f"Try using a key other than '{key}' if you meant to execute a different request.",
                    type="idempotency_error",
                )
            headers["Idempotent-Replayed"] = "true"
            return status, answer
        answer = getattr(self, f"_create_{came.path}")(came.given)
        self._answers[key] = (what, 200, json.loads(json.dumps(answer)))
        return 200, answer

    def _got(self, came: Request) -> Record:
        kind, _, rest = came.path.partition("/")
        if rest == "search":
            return self._searched(kind, came.given)
        return self.find(kind, rest) if rest else self._list(kind, came.given)

    def find(self, kind: str, record_id: str, param: str = "id") -> Record:
        for record in self.records[kind]:
            if record["id"] == record_id:
                return {"id": record_id, "object": record["object"], "deleted": True} if "deleted" in record else record
        message = f"No such {kind.removesuffix('s').replace('_', ' ')}: '{record_id}'"
        raise Refusal(404, message, code="resource_missing", param=param)

    def _list(self, kind: str, given: Record) -> Record:
        filters = {name: value for name, value in given.items() if name in ("active", "email", "product")}
        found = [
            one
            for one in reversed(self.records[kind])
            if "deleted" not in one and all(_text(one.get(name)) == value for name, value in filters.items())
        ]
        if after := given.get("starting_after"):
            found = found[[one["id"] for one in found].index(after) + 1 :]
        limit = min(int(given.get("limit", 10)), LIMIT_MAX)
        return {"object": "list", "url": f"/v1/{kind}", "has_more": len(found) > limit, "data": found[:limit]}

    def _searched(self, kind: str, given: Record) -> Record:
        asked = re.fullmatch(r'name~("(?:[^"\\]|\\.)*")', given.get("query", ""))
        if not asked:
            raise Refusal(400, "We were unable to parse your search query.")
        text = json.loads(asked[1]).casefold()
        found = [one for one in reversed(self.records[kind]) if text in (one["name"] or "").casefold()]
        start, limit = int(given.get("page", 0)), min(int(given.get("limit", 10)), LIMIT_MAX)
        more = len(found) > start + limit
        page = {"object": "search_result", "url": f"/v1/{kind}/search", "has_more": more}
        return page | {"next_page": str(start + limit) if more else None, "data": found[start : start + limit]}

    def _create_customers(self, given: Record) -> Record:
        return self.add("customers", **given)

    def _create_prices(self, given: Record) -> Record:
        return self.add("prices", **self._priced(given, ""), metadata=given.get("metadata", {}))

    def _create_payment_links(self, given: Record) -> Record:
        items = given.get("line_items", {})
        if not items:
            raise Refusal(400, "Missing required param: line_items.", code="parameter_missing", param="line_items")
        for number, item in items.items():
            self.add("prices", **self._priced(item["price_data"], f"line_items[{number}][price_data]"))
        restricted = given.get("restrictions")
        limit = int(restricted["completed_sessions"]["limit"]) if restricted else 0
        return self.add(
            "payment_links",
            url=f"https://buy.stripe.com/test_{self._numbers:020d}",
            metadata=given.get("metadata", {}),
            restrictions={"completed_sessions": {"count": 0, "limit": limit}} if restricted else None,
        )

    def _priced(self, given: Record, param: str) -> Record:
        if not re.fullmatch(r"\d+", given.get("unit_amount", "")):
            raise Refusal(400, f"Invalid integer: {given.get('unit_amount')}", param=f"{param}[unit_amount]")
        if "product" in given:
            product = self.find("products", given["product"], "product")
        else:
            product = self.add("products", name=given["product_data"]["name"])
        return {"unit_amount": int(given["unit_amount"]), "currency": given["currency"], "product": product["id"]}

    def _create_refunds(self, given: Record) -> Record:
        charge, amount = self.find("charges", given["charge"], "charge"), int(given["amount"])
        left = charge["amount"] - charge["amount_refunded"]
        if not left:
            raise Refusal(400, f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
        if amount > left:
            raise Refusal(400, f"Refund amount (${amount / 100:.2f}) is greater than unrefunded amount on charge")
        charge["amount_refunded"] += amount
        fields = {"charge": charge["id"], "amount": amount, "currency": charge["currency"], "status": "succeeded"}
        return self.add("refunds", **fields, metadata=given.get("metadata", {}))


_PAYER = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
_SHAPES: dict[str, Record] = {
    "customers": {"name": None, "email": None, "phone": None, "description": None, "delinquent": False, "balance": 0},
    "products": {
        "name": "",
        "active": True,
        "description": None,
        "default_price": None,
        "type": "service",
        "url": None,
    },
    "prices": {
        "active": True,
        "billing_scheme": "per_unit",
        "currency": "usd",
        "product": "",
        "recurring": None,
        "tax_behavior": "unspecified",
        "type": "one_time",
        "unit_amount": None,
    },
    "payment_links": {
        "active": True,
        "after_completion": {"hosted_confirmation": {"custom_message": None}, "type": "hosted_confirmation"},
        "currency": "usd",
        "restrictions": None,
        "url": "",
    },
    "charges": {
        "amount": 0,
        "amount_captured": 0,
        "amount_refunded": 0,
        "billing_details": _PAYER,
        "captured": True,
        "currency": "usd",
        "customer": None,
        "description": None,
        "paid": True,
        "status": "succeeded",
    },
    "refunds": {"reason": None, "charge": None, "payment_intent": None},
}


def nested(form: str) -> Record:
    """`a[b][0]=c` is `{"a": {"b": {"0": "c"}}}`."""
    found: Record = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        first, *rest = re.findall(r"[^\[\]]+", name)
        where = found
        for part, following in zip([first, *rest], rest, strict=False):
            where = where.setdefault(part, {})
            assert following
        where[[first, *rest][-1]] = value
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _redacted(key: str) -> str:
    """As Stripe shows keys: the beginning and the last four."""
    return f"{key[:8]}{'*' * max(len(key) - 12, 0)}{key[-4:]}"
