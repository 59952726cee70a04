"""The connection to a workspace: the client, our identity there, and how we listen (Socket Mode, HTTP).

It owns everything that runs while we listen. `channels.slack.inbound` handles the events; this module posts nothing.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Mapping

import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.base import AnswersHttp, ChannelUnavailable
from channels.inbound import Inbox
from channels.slack.absence import Absences
from channels.slack.events import Installation
from channels.slack.inbound import Desk, SlackInbound
from channels.slack.presence import keeping_up
from channels.slack.refusals import CALL_FAILED
from channels.slack.signed import is_signed
from channels.slack.sweep import Sweep
from channels.slack.tokens import Installations, RotatingClient, RotatingToken, Rotation
from store.base import NoteStore
from store.sealed import SecretKeys

log = structlog.get_logger(__name__)

SCOPES = frozenset(
    {
        "app_mentions:read",
        "assistant:write",
        "channels:history",
        "channels:read",
        "chat:write",
        "commands",
        "files:read",
        "files:write",
        "groups:history",
        "groups:read",
        "im:history",
        "im:write",
        "mpim:history",
        "reactions:write",
        "usergroups:read",
        "users:read",
        "users:read.email",
    }
)
"""The scopes that the code needs. manifest.yml requests the same."""


def client_of(token: str, api_url: str) -> AsyncWebClient:
    """A client without the SDK's retries, which would post twice after a lost connection."""
    return AsyncWebClient(
        token=token,
        base_url=api_url.rstrip("/") + "/",
        timeout=20,
        retry_handlers=[],
        logger=_quiet("slack_sdk"),
    )


def rotating_client(rotation: Rotation, notes: NoteStore, keys: SecretKeys, api_url: str) -> AsyncWebClient:
    """As `client_of`, with a token that Slack rotates. `keys`: encrypt what is kept."""
    token = RotatingToken(Installations(notes, keys), rotation, api_url)
    url = api_url.rstrip("/") + "/"
    return RotatingClient(token, base_url=url, timeout=20, retry_handlers=[], logger=_quiet("slack_sdk"))


async def identify(client: AsyncWebClient) -> tuple[Installation, frozenset[str]]:
    """Our identity in the workspace, and the scopes that were granted. Raises ChannelUnavailable."""
    try:
        answer = await client.auth_test()
    except SlackApiError as error:
        text = f"Slack rejects SLACK_BOT_TOKEN: {error.response.get('error')}. Install the app again and copy it."
        raise ChannelUnavailable(text) from None
    except CALL_FAILED as error:
        raise ChannelUnavailable(f"Cannot reach Slack at {client.base_url}: {error}.") from None
    headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}
    scopes = (scope.strip() for scope in headers.get("x-oauth-scopes", "").split(","))
    me = Installation(
        team=str(answer["team_id"]),
        user=str(answer["user_id"]),
        bot=str(answer.get("bot_id") or ""),
        url=str(answer.get("url") or ""),
        enterprise=str(answer.get("enterprise_id") or ""),
    )
    return me, frozenset(filter(None, scopes))


async def check_socket_mode(client: AsyncWebClient, app_token: str) -> None:
    """Raises ChannelUnavailable if Socket Mode is off, or the token is not valid for it."""
    try:
        await client.apps_connections_open(app_token=app_token)
    except SlackApiError as error:
        code = error.response.get("error")
        text = f"Slack refuses a socket connection: {code}. Check SLACK_APP_TOKEN, and that Socket Mode is on."
        raise ChannelUnavailable(text) from None
    except CALL_FAILED as error:
        raise ChannelUnavailable(f"Cannot reach Slack at {client.base_url}: {error}.") from None


@contextlib.asynccontextmanager
async def listening(
    client: AsyncWebClient, me: Installation, inbox: Inbox, desk: Desk, *, app_token: str, signing_secret: str
) -> AsyncIterator[AnswersHttp]:
    """Listen to Slack: over a socket if there is an app token, and over HTTP with the handler that this yields.

    Raises ChannelUnavailable.
    """
    inbound = SlackInbound(client, me, inbox, desk)
    absences = Absences(desk.notes, me.team, desk.now)
    sweep = Sweep(client, me, inbound, desk, absences)
    known = AuthorizeResult(
        enterprise_id=me.enterprise or None,
        team_id=me.team,
        bot_user_id=me.user,
        bot_id=me.bot,
        bot_token=client.token,
    )

    async def authorize() -> AuthorizeResult:
        return known

    app = AsyncApp(
        # Without the token. With it, Bolt calls auth.test at the first event, and if that fails, it acknowledges the
        # event unhandled.
        client=AsyncWebClient(base_url=client.base_url, retry_handlers=[], logger=_quiet("slack_sdk")),
        authorize=authorize,
        # Socket Mode has no signatures. Over HTTP, an empty secret would be accepted as one.
        signing_secret=signing_secret or None,
        request_verification_enabled=bool(signing_secret),
        process_before_response=True,
        attaching_conversation_kwargs_enabled=False,
        # Bolt's warnings do not concern us: that the token in the environment is unused, for example.
        logger=_quiet("slack_bolt", logging.ERROR),
    )
    inbound.listen(app)
    socket: AsyncSocketModeHandler | None = None
    if app_token:
        socket = AsyncSocketModeHandler(app, app_token, logger=_quiet("slack_socket"))
        await check_socket_mode(client, app_token)  # if this fails, the SDK would retry forever, silently
        await socket.connect_async()  # type: ignore[no-untyped-call]
    try:
        async with keeping_up(sweep, absences, socket.client if socket else None):
            yield functools.partial(_over_http, app, signing_secret)
    finally:
        if socket:
            await socket.close_async()  # type: ignore[no-untyped-call]
        await inbound.aclose()


async def _over_http(
    app: AsyncApp, secret: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], str]:
    # Bolt verifies it too, but parses the body first.
    if not is_signed(body, headers, secret):
        return 401, {"content-type": "application/json"}, '{"error":"invalid request"}'
    try:
        asked = AsyncBoltRequest(body=body.decode(), query=dict(query), headers=dict(headers))
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        # Slack is not known to send such a thing; to send it again would not help.
        log.warning("slack_not_understood", error=f"{type(error).__name__}: {error}"[:200])
        return 400, {"content-type": "application/json"}, '{"error":"not understood"}'
    answer = await app.async_dispatch(asked)
    return answer.status, dict(answer.first_headers_without_set_cookie()), answer.body or ""


def _quiet(name: str, level: int = logging.WARNING) -> logging.Logger:
    """Bolt and the SDK log whole payloads at debug."""
    logger = logging.getLogger(name)
    logger.setLevel(level)
    return logger
