"""Slack, put together: the desk at which everything ends that people do there, and the two ways of listening."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.web.async_client import AsyncWebClient

from bot.app import ChannelUnavailable
from bot.inbox import Inbox, Refused, thread_id_of
from bot.settings import Settings
from bot.transcript import topic
from channels.base import Earlier
from channels.slack.adapter import SlackAdapter
from channels.slack.channel import NAME
from channels.slack.home import Home, HomeItem
from channels.slack.parse import Me
from store.base import Store, StoreUnavailable, UnknownThread
from store.events import ApprovalDecided, Attachment, MessageReceived, Person, Place
from store.thread import Thread

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
    }
)
"""What the code needs, and manifest.yml asks for."""
HOME_THREADS_MAX = 60
"""How many of the newest threads App Home looks through."""
HOME_ITEMS_MAX = 10
"""In each of its lists."""
SOCKET_LOOK_SECONDS = 15.0
SWEEP_THREADS_MAX = 200
SWEEP_DAYS = 7
SWEEP_RETRIES_MAX = 5


def client_of(settings: Settings) -> AsyncWebClient:
    """Without the SDK's retries: after a broken connection they would post twice."""
    return AsyncWebClient(
        token=settings.slack_bot_token.get_secret_value(),
        base_url=settings.slack_api_url.rstrip("/") + "/",
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


@dataclass(frozen=True)
class SlackDesk:
    """See `channels.slack.adapter.Desk`."""

    store: Store
    inbox: Inbox
    agent_of: Callable[[str], str]
    """Which agent answers in a channel."""
    me: Me

    async def mentioned(
        self,
        place: Place,
        sender: Person,
        text: str,
        *,
        event_id: str,
        attachments: tuple[Attachment, ...],
        before: Sequence[Earlier],
    ) -> None:
        agent = self.agent_of(place.address.split("/")[1])
        await self.inbox.message(
            place, sender, text, agent=agent, event_id=event_id, attachments=attachments, before=before
        )

    async def knows(self, place: Place) -> bool:
        return await self.inbox.knows(place)

    async def reply(
        self, place: Place, sender: Person, text: str, *, event_id: str, attachments: tuple[Attachment, ...] = ()
    ) -> bool:
        return await self.inbox.reply(place, sender, text, event_id=event_id, attachments=attachments)

    async def edited(self, place: Place, *, event_id: str, text: str, edit_id: str) -> bool:
        return await self.inbox.edited(place, event_id=event_id, text=text, edit_id=edit_id)

    async def deleted(self, place: Place, *, event_id: str) -> bool:
        return await self.inbox.deleted(place, event_id=event_id)

    async def decided(self, thread_id: str, by: Person, *, approved: bool, comment: str, step: str, digest: str) -> str:
        try:
            settlement = await self.inbox.decide(
                thread_id,
                by,
                approved=approved,
                comment=comment,
                step_id=step,
                digest=digest,
                proof=f"slack {self.me.team}/{by.address}",
            )
        except (Refused, UnknownThread):
            return "There is nothing to decide here any more."
        return "" if settlement.outcome == "settled" else settlement.text

    async def answered(self, thread_id: str, by: Person, *, step: str, text: str, number: int | None) -> str:
        try:
            await self.inbox.answer(thread_id, by, text, step=step, number=-1 if number is None else number)
        except (Refused, UnknownThread):
            return "That question needs no answer any more."
        return ""

    async def stopped(self, place: Place, by: Person) -> None:
        with contextlib.suppress(Refused, UnknownThread):
            await self.inbox.cancel(thread_id_of(place), by, "stopped in Slack")

    async def home_of(self, user: str) -> Home:
        waiting: list[HomeItem] = []
        asked: list[HomeItem] = []
        recent: list[HomeItem] = []
        for thread in await self._newest(HOME_THREADS_MAX):
            people = [e.sender.address for e in thread.events if isinstance(e, MessageReceived)]
            people += [e.by.address for e in thread.events if isinstance(e, ApprovalDecided)]
            if user not in people:
                continue  # it may be held where this person cannot look
            item = self._item(thread)
            if thread.turn == "human":
                waiting.append(item)
            elif people[0] == user:
                asked.append(item)
            else:
                recent.append(item)
        return Home(
            waiting=tuple(waiting[:HOME_ITEMS_MAX]),
            asked=tuple(asked[:HOME_ITEMS_MAX]),
            recent=tuple(recent[:HOME_ITEMS_MAX]),
            more=sum(max(len(items) - HOME_ITEMS_MAX, 0) for items in (waiting, asked, recent)),
        )

    def _item(self, thread: Thread) -> HomeItem:
        _, channel, ts = thread.place.address.split("/")
        first = next((e for e in thread.events if isinstance(e, MessageReceived)), None)
        link = f"{self.me.url}archives/{channel}/p{ts.replace('.', '')}" if self.me.url else ""
        return HomeItem(
            thread_id=thread.id,
            title=topic(thread),
            status=thread.status.replace("_", " "),
            link=link,
            at=thread.events[-1].at,
            requested_by=first.sender.name if first else "",
        )

    async def _newest(self, limit: int) -> list[Thread]:
        """Of those in Slack."""
        threads = await asyncio.gather(*map(self.store.load, await self.store.recent(limit)))
        return [thread for thread in threads if _is_ours(thread)]

    async def places_to_sweep(self) -> Mapping[Place, str]:
        """Our threads of the last days, each with the ts of the newest message that is known."""
        since = datetime.now(UTC) - timedelta(days=SWEEP_DAYS)
        places = {}
        for thread in await self._newest(SWEEP_THREADS_MAX):
            if thread.events[-1].at > since and not thread.state.cancelled:
                known = [e.id.rpartition(":")[2] for e in thread.events if isinstance(e, MessageReceived)]
                newest = max((ts for ts in known if _is_ts(ts)), default="")
                if newest:
                    places[thread.place] = newest
        return places


@contextlib.asynccontextmanager
async def listening(settings: Settings, client: AsyncWebClient, desk: SlackDesk) -> AsyncIterator[AsyncApp]:
    """Hear of what happens in Slack: over a socket where there is an app token. Over HTTP the web server calls the app.

    Raises ChannelUnavailable.
    """
    secret = settings.slack_signing_secret.get_secret_value()
    adapter = SlackAdapter(client, desk.me, desk)
    known = AuthorizeResult(
        enterprise_id=None,
        team_id=desk.me.team,
        bot_user_id=desk.me.user,
        bot_id=desk.me.bot,
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
        signing_secret=secret or None,
        request_verification_enabled=bool(secret),
        process_before_response=True,
        attaching_conversation_kwargs_enabled=False,
        logger=_quiet("slack_bolt"),
    )
    adapter.listen(app)
    socket: AsyncSocketModeHandler | None = None
    if app_token := settings.slack_app_token.get_secret_value():
        socket = AsyncSocketModeHandler(app, app_token, logger=_quiet("slack_socket"))
        await opens_sockets(client, app_token)  # or the SDK would try for ever, in silence
        await socket.connect_async()  # type: ignore[no-untyped-call]
    keeping = asyncio.create_task(_keep_up(adapter, desk, socket.client if socket else None), name="slack")
    try:
        yield app
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        if socket:
            await socket.close_async()  # type: ignore[no-untyped-call]
        await adapter.aclose()


async def _keep_up(adapter: SlackAdapter, desk: SlackDesk, socket: SocketModeClient | None) -> None:
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


async def _sweep(adapter: SlackAdapter, desk: SlackDesk) -> None:
    """What was said in our threads while nobody listened."""
    try:
        places = await desk.places_to_sweep()
    except StoreUnavailable as error:
        log.warning("sweep_failed", error=str(error))
        return
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
                await asyncio.sleep(5)


def _is_ours(thread: Thread) -> bool:
    place = thread.state.place
    return place is not None and place.channel == NAME and place.address.count("/") == 2


def _is_ts(text: str) -> bool:
    whole, _, part = text.partition(".")
    return whole.isdecimal() and part.isdecimal()


def _quiet(name: str) -> logging.Logger:
    """Bolt and the SDK log payloads at debug and every reconnection as an error."""
    logger = logging.getLogger(name)
    logger.setLevel(logging.WARNING)
    return logger
