"""The server itself: its addresses, its life, faults, and what a test reads.

Everything happens in one event loop and one place in memory. Nothing is kept when it ends.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from tests.fakes.slack import conversations_api, files_api, people_api, streams_api, views_api, web_api
from tests.fakes.slack.delivery import ACKNOWLEDGE_SECONDS, RETRY_WAITS_SECONDS, Deliveries, Delivery
from tests.fakes.slack.driver import People
from tests.fakes.slack.effects import Installation, elements_of
from tests.fakes.slack.faults import Arguments, Call, Fault, Hold
from tests.fakes.slack.limits import Refused
from tests.fakes.slack.shapes import texts_in
from tests.fakes.slack.sockets import Connection, Reason, Sockets
from tests.fakes.slack.views_api import View
from tests.fakes.slack.workspace import Channel, Json, Message, Workspace
from tests.patience import PATIENCE_SECONDS

# Importing these is what fills the table of methods.
assert conversations_api
assert files_api
assert people_api
assert streams_api

Found = TypeVar("Found")

BOT_TOKEN = "xoxb-test-bot-token"
APP_TOKEN = "xapp-1-test-app-token"
SIGNING_SECRET = "test-signing-secret"


class SlackServer(People):
    def __init__(
        self,
        workspace: Workspace | None = None,
        installation: Installation | None = None,
        *,
        port: int = 0,
        http_target: str | None = None,
        bot_token: str = BOT_TOKEN,
        app_token: str = APP_TOKEN,
        signing_secret: str = SIGNING_SECRET,
        acknowledge_seconds: float = ACKNOWLEDGE_SECONDS,
        retry_waits_seconds: Sequence[float] = RETRY_WAITS_SECONDS,
        trigger_seconds: float = views_api.TRIGGER_SECONDS,
        posts_per_second: float | None = None,
        posts_burst: int = 1,
        ping_seconds: float = 10.0,
    ) -> None:
        """`http_target`: deliveries go there by HTTP, signed; without it they go through Socket Mode.

        `posts_per_second` enforces the rate of posting, which is off otherwise.
        """
        installation = installation or Installation()
        super().__init__(workspace or Workspace.small(bot_name=installation.bot_name), installation)
        self.http_target = http_target
        self.bot_token = bot_token
        self.app_token = app_token
        self.signing_secret = signing_secret
        self.acknowledge_seconds = acknowledge_seconds
        self.retry_waits_seconds = tuple(retry_waits_seconds)
        self.trigger_seconds = trigger_seconds
        self.posts_per_second = posts_per_second
        self.posts_burst = posts_burst
        self.sockets = Sockets(self, ping_seconds=ping_seconds)
        self.deliveries = Deliveries(self)
        self.calls: list[Call] = []
        """Every call that came in, refused ones included, in the order of their coming."""
        self.uploads: dict[str, files_api.Upload] = {}
        """Begun and not completed, by file id."""
        self.faults: list[Fault] = []
        self.holds: list[Hold] = []
        self._port = port

    @classmethod
    def from_manifest(cls, path: Path | str, **others: Any) -> Self:
        """Scopes, events and features are those of manifest.yml: what it forgets will not work."""
        return cls(installation=Installation.from_manifest(path), **others)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def api_url(self) -> str:
        """For SLACK_API_URL and slack_sdk's `base_url`."""
        return f"{self.url}/api/"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=16_000_000)
        app.router.add_route("*", "/api/{method}", self._answer)
        app.router.add_get("/link/", self.sockets.handle)
        app.router.add_get("/files-pri/{file}/{name}", self._file)
        app.router.add_get("/files-pri/download/{file}/{name}", self._file)
        app.router.add_get("/files-tmb/{file}/{name}", self._file)
        app.router.add_post("/upload/v1/{file}", self._upload)
        app.router.add_post("/actions/{key:.+}", self._response)
        # A handler ends when its client goes: a call that is held before its effect dies with the bot.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.workspace.base_url = self.url
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hold in self.holds:
            hold.release()
        await self.deliveries.stop()
        await self.sockets.close()
        await self._runner.cleanup()

    # What a test plans

    def fail(
        self,
        method: str,
        error: str = "internal_error",
        *,
        status: int = 200,
        retry_after_seconds: int | None = None,
        times: int = 1,
        after_effect: bool = False,
        cut: bool = False,
        body: bytes | None = None,
        when: Callable[[Arguments], bool] = lambda arguments: True,
    ) -> Fault:
        """The next `times` calls of `method` ("*": any) that `when` is true of fail.

        `after_effect`: it has happened, but the answer says otherwise. `cut`: the connection is closed without an
        answer; slack_sdk then sends the call once more by itself. `retry_after_seconds` goes with status 429.
        """
        if retry_after_seconds is not None and status == 200:
            status, error = 429, "ratelimited"
        fault = Fault(method, error, status, retry_after_seconds, times, after_effect, cut, body, when)
        self.faults.append(fault)
        return fault

    def hold(self, method: str, *, after_effect: bool = False, when: Callable[[Arguments], bool] | None = None) -> Hold:
        """Calls of `method` wait at the gate until it is released."""
        gate = Hold(method, after_effect=after_effect, when=when)
        self.holds.append(gate)
        return gate

    def drop(self, count: int = 1) -> None:
        """The next deliveries are lost for good."""
        self.deliveries.drop(count)

    def delay(self, count: int = 1, *, until: float | asyncio.Event) -> None:
        """The next deliveries go out so many seconds later, or when the event is set."""
        self.deliveries.delay(count, until)

    async def redeliver(self, delivery: Delivery) -> None:
        """The same once more, acknowledged or not. Returns when that attempt is over."""
        await self.deliveries.again(delivery)

    async def disconnect(
        self,
        reason: Reason = "refresh_requested",
        connection: Connection | None = None,
        *,
        grace_seconds: float = 1.0,
    ) -> None:
        """Slack rotates its sockets. Returns when the sockets (without `connection`: all) are closed."""
        await self.sockets.disconnect(reason, connection, grace_seconds=grace_seconds)

    def cut_sockets(self) -> None:
        self.sockets.cut()

    async def verify_url(self) -> bool:
        """The challenge of "Enable Events" in the app's settings: whether the bot echoed it."""
        challenge = secrets.token_hex(16)
        payload = {"type": "url_verification", "token": "verification-token-of-old", "challenge": challenge}
        delivery = self.deliveries.begin("events_api", payload)
        await self.wait_for(lambda: delivery.state != "waiting")
        said = delivery.answer
        return challenge == (said.get("challenge") if isinstance(said, dict) else said)

    # What a test waits for and reads

    async def wait_for(self, predicate: Callable[[], Found], seconds: float = PATIENCE_SECONDS) -> Found:
        """Returns what the predicate gives as soon as it is true: `await slack.wait_for(lambda: slack.views)`.

        It is asked after every call, message, delivery and connection. Raises TimeoutError with what there was.
        """
        return await self.changes.wait_for(predicate, seconds, self._seen_so_far)

    async def acknowledged(self, what: Message | Delivery, seconds: float = PATIENCE_SECONDS) -> list[Delivery]:
        """Returns when the bot has acknowledged it: for a message, the event (or both) of its posting and editing."""
        mine = [what] if isinstance(what, Delivery) else self.deliveries_of(what)
        await self.wait_for(lambda: all(delivery.state != "waiting" for delivery in mine), seconds)
        lost = [delivery for delivery in mine if delivery.state != "acknowledged"]
        assert not lost, f"not acknowledged: {lost}"
        return mine

    async def connected(self, count: int = 1, seconds: float = PATIENCE_SECONDS) -> list[Connection]:
        """Returns when so many sockets are open."""
        await self.wait_for(lambda: len(self.sockets.open) >= count, seconds)
        return list(self.sockets.open)

    async def said(
        self,
        containing: str,
        channel: Channel | str | None = None,
        thread: Message | str | None = None,
        seconds: float = PATIENCE_SECONDS,
    ) -> Message:
        """Returns the newest message of the bot whose visible text contains that, as soon as there is one."""

        def newest() -> Message | None:
            places = [self.workspace.channel(channel)] if channel else list(self.workspace.channels.values())
            everything = [message for place in places for message in self.messages(place, thread)]
            mine = [message for message in everything if message.user == self.workspace.bot.id]
            return next((message for message in reversed(mine) if containing in self.text_of(message)), None)

        found = await self.wait_for(newest, seconds)
        assert found
        return found

    def messages(self, channel: Channel | str, thread: Message | str | None = None) -> list[Message]:
        """Oldest first, as they are now; of one thread with its root, or of the whole channel with all replies.

        Ephemeral ones too: they have a `visible_to`."""
        everything = self.workspace.messages(self.workspace.channel(channel).id)
        if thread is None:
            return everything
        root = thread.thread if isinstance(thread, Message) else thread
        return [message for message in everything if message.thread == root]

    def now(self, message: Message) -> Message:
        """The message as it is now. Raises AssertionError when it was deleted."""
        found = self.workspace.message(message.channel, message.ts)
        assert found, f"deleted: {self.text_of(message)!r}"
        return found

    def calls_of(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method == method]

    def deliveries_of(self, message: Message | View) -> list[Delivery]:
        about = ("", message.id) if isinstance(message, View) else (message.channel, message.ts)
        return [delivery for delivery in self.deliveries.all if delivery.about == about]

    def text_of(self, shown: Message | View) -> str:
        """All that a person reads, a line for each piece. Where there are blocks, `text` is only for notifications."""
        if isinstance(shown, View):
            return "\n".join(texts_in(shown.content))
        return "\n".join(texts_in(shown.blocks)) if shown.blocks else shown.text

    def buttons_of(self, shown: Message | View) -> list[str]:
        """The texts of its buttons, in order."""
        blocks = shown.content["blocks"] if isinstance(shown, View) else shown.blocks
        return [str(texts_in(element["text"])[0]) for _, element in elements_of(blocks) if "text" in element]

    @property
    def views(self) -> list[View]:
        """The modals that are open, oldest first."""
        return [view for view in self.all_views.values() if view.is_open and view.content["type"] == "modal"]

    def session_status(self, channel: Channel | str, thread: Message | str) -> str | None:
        root = thread.thread if isinstance(thread, Message) else thread
        session = self.sessions.get((self.workspace.channel(channel).id, root))
        return session.status if session else None

    # HTTP

    def record(self, call: Call) -> Call:
        if call.number < len(self.calls):
            self.calls[call.number] = call
        else:
            self.calls.append(call)
        self.changes.tell()
        return call

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        return await web_api.answer(self, request)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """Without a good token Slack sends its login page, with status 200."""
        file = self.workspace.files.get(request.match_info["file"].rpartition("-")[2])
        allowed = request.headers.get("Authorization") == f"Bearer {self.bot_token}" and "files:read" in self.scopes
        if not allowed:
            return web.Response(text="<!DOCTYPE html><title>Sign in | Slack</title>", content_type="text/html")
        if file is None or file.deleted:
            raise web.HTTPNotFound
        content = file.preview if request.path.startswith("/files-tmb/") else file.content
        return web.Response(body=content, content_type=file.mimetype)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        upload = self.uploads.get(request.match_info["file"])
        content = await request.read()
        if upload is None or len(content) != upload.length:
            return web.Response(text="error", status=400)
        self.uploads[upload.file_id] = replace(upload, content=content)
        return web.Response(text=f"OK - {upload.length}")

    async def _response(self, request: web.Request) -> web.StreamResponse:
        try:
            body: Json = await request.json()
        except ValueError:
            body = {}
        call = self.record(Call(len(self.calls), "response_url", body, self.clock()))
        try:
            views_api.take_response(self, request.match_info["key"], body)
        except Refused as refused:
            said = {"ok": False, "error": refused.error} | refused.fields
            self.record(replace(call, answer=said, status=404))
            return web.json_response(said, status=404)
        self.record(replace(call, answer={"ok": True}, status=200))
        return web.json_response({"ok": True})

    def _seen_so_far(self) -> str:
        calls = [f"{call.method}{'' if call.ok else f' ({call.error or call.status})'}" for call in self.calls[-10:]]
        messages = [
            f"{self.workspace.users[message.user].name if message.user in self.workspace.users else message.user}: "
            f"{self.text_of(message)[:100]!r}"
            for message in list(self.workspace.every_message())[-10:]
        ]
        return f"Latest calls: {calls}. Messages: {messages}. Deliveries: {self.deliveries.all[-10:]}"
