"""The HTTP server: health and readiness probes, the pages behind links in mails, Slack's requests, hooks, the API.

It routes requests and limits the size of bodies. The routes authenticate their callers, and `bot.web.guard` limits how
many may connect and how long they may take.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from math import ceil
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.web.admission import Admission, Limits
from bot.web.guard import GuardedConfig
from channels.base import AnswersHttp
from store.base import Store, StoreUnavailable

if TYPE_CHECKING:
    from bot.web.hooks.way_in import WayIn
    from bot.web.page.decide import Decisions

LIMITS = Limits()
SHUTDOWN_SECONDS_MAX = 5
BODY_BYTES_MAX = 1_000_000
"""Slack's largest payloads are far smaller."""


def application(
    store: Store,
    slack: AnswersHttp | None,
    decisions: Decisions | None = None,
    api: Starlette | None = None,
    hooks: WayIn | None = None,
) -> Starlette:
    """`api`: the application of `bot.web.api.app`, to which the other routes are added."""

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        try:
            await store.due_in_seconds()
        except StoreUnavailable as error:
            return JSONResponse({"status": "unavailable", "store": str(error)}, 503)
        return JSONResponse({"status": "ok"})

    routes = [Route("/healthz", alive), Route("/readyz", ready)]
    if decisions:
        routes.append(decisions.route)
    if hooks:
        routes.append(hooks.route)
    if slack:

        async def events(request: Request) -> Response:
            body = b""
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES_MAX:  # Before any signature is checked.
                    return JSONResponse({"status": "too large"}, 413)
            status, headers, answer = await slack(request.query_params, request.headers, body)
            return Response(answer, status, headers)

        routes.append(Route("/slack/events", events, methods=["POST"]))
    app = api or Starlette()
    app.router.routes.extend(routes)
    app.add_exception_handler(ClientDisconnect, _gone)
    return app


async def _gone(_: Request, __: Exception) -> Response:
    """For a caller who went, or was too slow, before the body was whole: nothing was done, and nobody reads this."""
    return Response(status_code=408)


@contextlib.asynccontextmanager
async def serving(app: Starlette, host: str, port: int, limits: Limits = LIMITS) -> AsyncIterator[str]:
    """Serves, and yields the server's URL. Raises OSError if the port is in use.

    At the end it sets `app.state.stopping`, which ends open streams.
    """
    app.state.stopping = asyncio.Event()
    listener = socket.create_server((host, port))
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        # Linux hands it on to each connection. A caller that vanished without a word gives its place back in this time.
        listener.setsockopt(socket.IPPROTO_TCP, option, ceil(limits.write_seconds * 1000))
    config = GuardedConfig(
        app,
        Admission(limits),
        log_config=None,
        log_level="error",  # What callers do wrong is logged by the guard, seldom.
        access_log=False,
        lifespan="off",
        loop="none",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
    )
    server = uvicorn.Server(config)
    # The program handles signals itself.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    try:
        where, number = listener.getsockname()[:2]
        yield f"http://{where}:{number}"
    finally:
        app.state.stopping.set()
        server.should_exit = True
        await task
        listener.close()
