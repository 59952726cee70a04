"""An endpoint for webhooks over real HTTP on loopback, as a careful team would write one.

    async with Receiver() as pager:
        pager.answers(Reply(503), cut_off)                # the next ones; after that, 204
        await pager.gets("request.asked")                 # the document of the first that it has not seen before
        pager.posts, pager.taken                          # all that came; each once, as far as they were answered 2xx

What comes in is verified by the implementation that the authors of Standard Webhooks publish, which shares no code with
ours, and dropped where its webhook-id is known.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web
from standardwebhooks.webhooks import Webhook

from tests.patience import PATIENCE_SECONDS

CHUNK = b"x" * 65_536


def new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


@dataclass(frozen=True)
class Reply:
    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    how: Literal["whole", "endless", "silent", "cut_off"] = "whole"
    """`endless`: the body has no end; `silent`: nothing comes; `cut_off`: taken in, and then the connection is cut."""


@dataclass(frozen=True)
class Post:
    headers: Mapping[str, str]
    body: bytes
    path: str = ""
    """With the query, as it came."""

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Receiver:
    def __init__(self, *, secret: str = "") -> None:
        self.secret = secret or new_secret()
        self.url = ""
        self.posts: list[Post] = []
        self.taken: dict[str, Post] = {}
        """By webhook-id."""
        self.bytes_sent = 0
        """Of endless bodies."""
        self._verifier = Webhook(self.secret)
        self._replies: deque[Reply] = deque()
        self._arrived = asyncio.Condition()
        self._leaving = asyncio.Event()

    def answers(self, *replies: Reply) -> None:
        self._replies.extend(replies)

    async def gets(self, kind: str, count: int = 1) -> Any:
        """The document of the last of so many of that type."""

        def found() -> list[Any]:
            return [post.document for post in self.taken.values() if post.document["type"] == kind]

        async with asyncio.timeout(PATIENCE_SECONDS), self._arrived:
            await self._arrived.wait_for(lambda: len(found()) >= count)
        return found()[count - 1]

    @property
    def types(self) -> list[str]:
        """Of all that it took, each once."""
        return [post.document["type"] for post in self.taken.values()]

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/hooks/bot", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hooks/bot"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        post = Post(dict(request.headers), await request.read(), request.raw_path)
        self._verifier.verify(post.body, dict(request.headers))  # raises, which answers 500
        reply = self._replies.popleft() if self._replies else Reply()
        async with self._arrived:
            self.posts.append(post)
            if 200 <= reply.status < 300:
                self.taken.setdefault(post.id, post)
            self._arrived.notify_all()
        match reply.how:
            case "whole":
                return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
            case "endless":
                return await self._endless(request, reply)
            case "silent":
                await self._leaving.wait()
            case "cut_off":
                assert request.transport is not None
                request.transport.close()
        return web.Response(status=reply.status)

    async def _endless(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        await response.prepare(request)
        while not self._leaving.is_set():
            await response.write(CHUNK)
            self.bytes_sent += len(CHUNK)
        return response
