"""The installation in a workspace: its client, who we are there, and the two ways of listening (a socket, HTTP)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Mapping

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.web.async_client import AsyncWebClient

from channels.base import AnswersHttp, ChannelUnavailable
from channels.inbound import Inbox
from channels.slack.adapter import Desk, SlackAdapter
from channels.slack.parse import Me
from store.base import StoreUnavailable
from store.values import Place

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
SWEEP_RETRIES_MAX = 5
SWEEP_RETRY_SECONDS = 5.0


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
    except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
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
    except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ChannelUnavailable(f"Cannot reach Slack at {client.base_url}: {error}.") from None


@contextlib.asynccontextmanager
async def listening(
    client: AsyncWebClient, me: Me, inbox: Inbox, desk: Desk, *, app_token: str, signing_secret: str
) -> AsyncIterator[AnswersHttp]:
    """Hear of what happens in Slack: over a socket where there is an app token, and of what is posted to us.

    Raises ChannelUnavailable.
    """
    adapter = SlackAdapter(client, me, inbox, desk)
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
    adapter.listen(app)
    socket: AsyncSocketModeHandler | None = None
    if app_token:
        socket = AsyncSocketModeHandler(app, app_token, logger=_quiet("slack_socket"))
        await opens_sockets(client, app_token)  # or the SDK would try for ever, in silence
        await socket.connect_async()  # type: ignore[no-untyped-call]
    keeping = asyncio.create_task(_keep_up(adapter, desk, socket.client if socket else None), name="slack")
    try:
        yield functools.partial(_over_http, app)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        if socket:
            await socket.close_async()  # type: ignore[no-untyped-call]
        await adapter.aclose()


async def _over_http(
    app: AsyncApp, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], str]:
    # Bolt looks at the signature.
    asked = AsyncBoltRequest(body=body.decode(), query=dict(query), headers=dict(headers))
    answer = await app.async_dispatch(asked)
    return answer.status, dict(answer.first_headers_without_set_cookie()), answer.body or ""


async def _keep_up(adapter: SlackAdapter, desk: Desk, socket: SocketModeClient | None) -> None:
    """Fetch what was missed, now and each time that the socket was away."""
    await _sweep(adapter, desk)
    was_away = False
    while socket:
        await asyncio.sleep(SOCKET_LOOK_SECONDS)
        is_away = not await socket.is_connected()
        if is_away:
            # The SDK tries the same URL again and again, and the ticket in it is good for half a minute.
            socket.wss_uri = None
        elif was_away:
            await _sweep(adapter, desk)
        was_away = is_away


async def _sweep(adapter: SlackAdapter, desk: Desk) -> None:
    """What was said in our threads while nobody listened."""
    try:
        await _sweep_all(adapter, await desk.places_to_sweep())
    except StoreUnavailable as error:
        log.warning("sweep_failed", error=str(error))
    except Exception:
        # Our own mistake, about one thread perhaps. Whoever looks after the socket goes on.
        log.exception("sweep_failed")


async def _sweep_all(adapter: SlackAdapter, places: Mapping[Place, str]) -> None:
    for place, since in places.items():
        for _ in range(SWEEP_RETRIES_MAX):
            try:
                if heard := await adapter.sweep(place, since):
                    log.info("sweep_found", place=place.address, messages=heard)
                break
            except SlackApiError as error:
                if error.response.get("error") != "ratelimited":
                    log.warning("sweep_failed", place=place.address, error=str(error.response.get("error")))
                    break
                await asyncio.sleep(float(error.response.headers.get("Retry-After", "10")))
            except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError, StoreUnavailable) as error:
                log.warning("sweep_failed", place=place.address, error=str(error)[:200])
                await asyncio.sleep(SWEEP_RETRY_SECONDS)


def _quiet(name: str, level: int = logging.WARNING) -> logging.Logger:
    """Bolt and the SDK log whole payloads at debug."""
    logger = logging.getLogger(name)
    logger.setLevel(level)
    return logger
