"""What Vercel delivers to webhooks: signed, and sent when a test says so, or at once.

The signature is the HMAC-SHA1 of the raw body, in hexadecimal (https://vercel.com/docs/webhooks/webhooks-api).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from tests.fakes.vercel import answers

if TYPE_CHECKING:
    from tests.fakes.vercel.account import Account, Made

SECRET = "hook-secret-for-tests-only"


@dataclass(frozen=True)
class Signed:
    """A delivery as it goes out. The same one may be sent twice, late, or never."""

    kind: str
    deployment: str
    body: bytes
    headers: dict[str, str]


def signed(document: dict[str, object], secret: str = SECRET) -> Signed:
    body = json.dumps(document, separators=(",", ":")).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
    headers = {"Content-Type": "application/json", "x-vercel-signature": signature}
    payload = document["payload"]
    assert isinstance(payload, dict)
    return Signed(str(document["type"]), str(payload["deployment"]["id"]), body, headers)


class Hooks:
    def __init__(self, account: Account) -> None:
        self.secret = SECRET
        self.waiting: list[Signed] = []
        """Not sent yet, in the order of what happened."""
        self.statuses: list[int] = []
        """What was answered to those that were sent."""
        self._account = account
        self._url = ""
        self._number = 0
        self._sending: set[asyncio.Task[int]] = set()

    def send_to(self, url: str) -> None:
        """From now on, each is sent as soon as it happens."""
        self._url = url

    def happened(self, kind: str, made: Made) -> None:
        self._number += 1
        delivery = signed(answers.delivery(self._account, kind, made, self._number), self.secret)
        if not self._url:
            self.waiting.append(delivery)
            return
        task = asyncio.get_running_loop().create_task(self.send(delivery, self._url))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def send(self, delivery: Signed, url: str) -> int:
        """The status that was answered."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=delivery.body, headers=delivery.headers) as answer,
        ):
            self.statuses.append(answer.status)
            return answer.status

    async def close(self) -> None:
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
