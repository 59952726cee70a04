"""The installation in a workspace: its client, who we are there, and the two ways of listening (a socket, HTTP).

It owns what runs for as long as we listen. What comes in is heard by `channels.slack.inbound`; nothing is said here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Mapping

import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.web.async_client import AsyncWebClient

from channels.base import AnswersHttp, ChannelUnavailable
from channels.inbound import Inbox
from channels.slack.events import Me
from channels.slack.inbound import Desk, SlackInbound
from channels.slack.refusals import CALL_FAILED
from channels.slack.sweep import Sweep

log = structlog.get_logger(__name__)

SCOPES = frozenset(
    {
        "app_mentions:read",
        "assistant:write",
        "channels:history",
        "chat:write",
        "files:read",
        "groups:history",
        "im:history",
        "im:write",
        "mpim:history",
        "users:read",
        "users:read.email",
    }
)
"""What the code needs, and manifest.yml asks for."""
SOCKET_LOOK_SECONDS = 15.0


def client_of(token: str, api_url: str) -> AsyncWebClient:
    """Without the SDK's retries: after a broken connection they would post twice."""
    return AsyncWebClient(
        token=token,
        base_url=api_url.rstrip("/") + "/",
        timeout=20,
        retry_handlers=[],
        logger=_quiet("slack_sdk"),
    )


async def who_we_are(client: AsyncWebClient) -> tuple[Me, frozenset[str]]:
    """And the scopes that we were given. Raises ChannelUnavailable."""
    try:
        answer = await client.auth_test()
    except SlackApiError as error:
        text = f"Slack does not take SLACK_BOT_TOKEN: {error.response.get('error')}. Install the app again and copy it."
        raise ChannelUnavailable(text) from None
    except CALL_FAILED as error:
        raise ChannelUnavailable(f"Cannot reach Slack at {client.base_url}: {error}.") from None
    headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}
    scopes = (scope.strip() for scope in headers.get("x-oauth-scopes", "").split(","))
    me = Me(
        team=str(answer["team_id"]),
        user=str(answer["user_id"]),
        bot=str(answer.get("bot_id") or ""),
        url=str(answer.get("url") or ""),
    )
    return me, frozenset(filter(None, scopes))


async def opens_sockets(client: AsyncWebClient, app_token: str) -> None:
    """Raises ChannelUnavailable where Socket Mode is off or the token is not for it."""
    try:
        await client.apps_connections_open(app_token=app_token)
    except SlackApiError as error:
        text = (
            f"Slack opens no socket: {error.response.get('error')}. Check SLACK_APP_TOKEN, and that Socket Mode is on."
        )
        raise ChannelUnavailable(text) from None
    except CALL_FAILED as error:
        raise ChannelUnavailable(f"Cannot reach Slack at {client.base_url}: {error}.") from None


@contextlib.asynccontextmanager
async def listening(
    client: AsyncWebClient, me: Me, inbox: Inbox, desk: Desk, *, app_token: str, signing_secret: str
) -> AsyncIterator[AnswersHttp]:
    """Hear of what happens in Slack: over a socket where there is an app token, and of what is posted to us.

    Raises ChannelUnavailable.
    """
    inbound = SlackInbound(client, me, inbox, desk)
    sweep = Sweep(client, me, inbound.hear, desk.places_to_sweep)
    known = AuthorizeResult(
        enterprise_id=None,
        team_id=me.team,
        bot_user_id=me.user,
        bot_id=me.bot,
        bot_token=client.token,
    )

    async def authorize() -> AuthorizeResult:
        return known

    app = AsyncApp(
        # Without the token: with it Bolt asks auth.test by itself at the first event, and acknowledges that event
        # unheard where Slack is in trouble.
        client=AsyncWebClient(base_url=client.base_url, retry_handlers=[], logger=_quiet("slack_sdk")),
        authorize=authorize,
        # Socket Mode has no signatures; an empty secret would pass for one over HTTP.
        signing_secret=signing_secret or None,
        request_verification_enabled=bool(signing_secret),
        process_before_response=True,
        attaching_conversation_kwargs_enabled=False,
        # Its warnings are for those who write Bolt apps: that the token in the environment is unused, say.
        logger=_quiet("slack_bolt", logging.ERROR),
    )
    inbound.listen(app)
    socket: AsyncSocketModeHandler | None = None
    if app_token:
        socket = AsyncSocketModeHandler(app, app_token, logger=_quiet("slack_socket"))
        await opens_sockets(client, app_token)  # or the SDK would try for ever, in silence
        await socket.connect_async()  # type: ignore[no-untyped-call]
    keeping = asyncio.create_task(_keep_up(sweep, socket.client if socket else None), name="slack")
    try:
        yield functools.partial(_over_http, app)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        if socket:
            await socket.close_async()  # type: ignore[no-untyped-call]
        await inbound.aclose()


async def _over_http(
    app: AsyncApp, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], str]:
    # Bolt looks at the signature.
    asked = AsyncBoltRequest(body=body.decode(), query=dict(query), headers=dict(headers))
    answer = await app.async_dispatch(asked)
    return answer.status, dict(answer.first_headers_without_set_cookie()), answer.body or ""


async def _keep_up(sweep: Sweep, socket: SocketModeClient | None) -> None:
    """Fetch what was missed, now and each time that the socket was away."""
    await sweep.all()
    was_away = False
    while socket:
        await asyncio.sleep(SOCKET_LOOK_SECONDS)
        is_away = not await socket.is_connected()
        if is_away:
            # The SDK tries the same URL again and again, and the ticket in it is good for half a minute.
            socket.wss_uri = None
        elif was_away:
            await sweep.all()
        was_away = is_away


def _quiet(name: str, level: int = logging.WARNING) -> logging.Logger:
    """Bolt and the SDK log whole payloads at debug."""
    logger = logging.getLogger(name)
    logger.setLevel(level)
    return logger
