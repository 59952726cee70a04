"""A process that serves hooks and dies on demand. `tests.stories.program` forks it: `crash_gate ORDER`, in JSON.

Each of its writes to the store has a point before and a point after it, and so has each answer. It kills itself with
SIGKILL at the one that it was told. Where it listens, it writes into a file.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.inbox import Inbox
from bot.logs import set_up_logging
from bot.web.hooks.taking import Hooks
from bot.web.hooks.way_in import WayIn
from bot.web.server import application, serving
from store.redis.store import RedisStore
from tests.bot.web.hooks.gate import hooks_in
from tests.fakes.clock import Clock
from tests.stories.crash_worker import Points


class CrashingStore(RedisStore):
    points: Points

    async def append(self, *args: Any, **more: Any) -> Any:
        async with self.points.around("append"):
            return await super().append(*args, **more)

    async def post(self, *args: Any, **more: Any) -> Any:
        async with self.points.around("post"):
            return await super().post(*args, **more)

    async def set_note(self, *args: Any, **more: Any) -> Any:
        async with self.points.around("note"):
            return await super().set_note(*args, **more)

    async def shelve(self, *args: Any, **more: Any) -> Any:
        async with self.points.around("record"):
            return await super().shelve(*args, **more)


class Answers:
    """ASGI middleware: a point before and after each answer begins."""

    def __init__(self, app: ASGIApp, points: Points) -> None:
        self._app = app
        self._points = points

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sends(message: Message) -> None:
            if message["type"] == "http.response.body":
                async with self._points.around("answer"):
                    await send(message)
            else:
                await send(message)

        await self._app(scope, receive, sends)


async def serve(order: dict[str, Any]) -> None:
    points = CrashingStore.points = Points(**order["points"])
    store = await CrashingStore.open(order["redis_url"], order["prefix"])
    clock = Clock()
    clock.advance(order["at"] - clock().timestamp())
    hooks = Hooks(store, Inbox(store, clock=clock), hooks_in(order["text"]), agent="deploy", now=clock)
    app = application(store, None, hooks=WayIn(hooks, store))

    app.add_middleware(Answers, points=points)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with serving(app, "127.0.0.1", 0) as url:
        written = Path(order["url"])
        written.with_suffix(".new").write_text(url)
        written.with_suffix(".new").rename(written)
        await ended.wait()


def main() -> None:
    set_up_logging("error", sys.stderr)
    asyncio.run(serve(json.loads(sys.argv[1])))
