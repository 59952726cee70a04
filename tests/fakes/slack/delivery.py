"""How an event or a click reaches the bot: one attempt after another, by HTTP or by socket, until it is acknowledged.

An event is sent again at once, after a minute and after five, whatever was wrong; then Slack gives up. Clicks,
submissions and commands are sent once: a person sees that it went wrong and can do it again.
Order is not promised, as in Slack: every delivery is on its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

import aiohttp

from tests.fakes.slack.workspace import Json

if TYPE_CHECKING:
    from tests.fakes.slack.server import SlackServer

Kind = Literal["events_api", "interactive", "slash_commands"]
RETRY_WAITS_SECONDS = (0.0, 60.0, 300.0)
ACKNOWLEDGE_SECONDS = 3.0

Outcome = Literal[
    "pending", "acknowledged", "timeout", "http_timeout", "http_error", "connection_failed", "no_connection"
]


@dataclass(frozen=True)
class Attempt:
    number: int
    """0 is the first; the retry number of the later ones."""
    at: float
    via: str = ""
    """The URL, or the id of the socket."""
    outcome: Outcome = "pending"
    retry_reason: str | None = None
    """Why the one before failed, as the bot was told."""
    status: int | None = None
    answer: Any = None
    """What came with the acknowledgement."""
    no_retry: bool = False


@dataclass(eq=False)
class Delivery:
    """One event or interaction, and its history."""

    number: int
    kind: Kind
    payload: Json
    about: tuple[str, str] = ("", "")
    """Channel and ts of the message that it comes from, or ("", view id)."""
    accepts_response_payload: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    state: Literal["waiting", "acknowledged", "failed", "dropped"] = "waiting"
    delayed: bool = False
    problem: str = ""
    """What was wrong with the answer that came with the acknowledgement."""

    @property
    def event(self) -> Json:
        event: Json = self.payload.get("event", {})
        return event

    @property
    def event_id(self) -> str:
        return str(self.payload.get("event_id", ""))

    @property
    def type(self) -> str:
        """ "app_mention", "message.message_changed", "block_actions"."""
        if self.kind != "events_api":
            return str(self.payload.get("type", self.kind))
        subtype = self.event.get("subtype")
        kind = self.event.get("type", self.payload.get("type"))
        return f"{kind}.{subtype}" if subtype else str(kind)

    @property
    def answer(self) -> Any:
        return self.attempts[-1].answer if self.attempts else None

    @property
    def begun(self) -> bool:
        return bool(self.attempts) or self.state != "waiting" or self.delayed

    def __repr__(self) -> str:
        history = ", ".join(f"{attempt.outcome} via {attempt.via or 'nothing'}" for attempt in self.attempts)
        return f"<{self.type} {self.event_id} {self.state}: {history or 'not sent'}>"


Answered = Callable[[Delivery, Any], None]


class Deliveries:
    def __init__(self, server: SlackServer) -> None:
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()
        self._drops = 0
        self._delays: list[float | asyncio.Event] = []
        self.all: list[Delivery] = []

    def drop(self, count: int) -> None:
        self._drops += count

    def delay(self, count: int, until: float | asyncio.Event) -> None:
        self._delays += [until] * count

    def begin(
        self,
        kind: Kind,
        payload: Json,
        *,
        about: tuple[str, str] = ("", ""),
        accepts_response_payload: bool = False,
        then: Answered | None = None,
    ) -> Delivery:
        """`then` is called once, with the answer that came with the acknowledgement."""
        delivery = Delivery(len(self.all), kind, payload, about, accepts_response_payload)
        self.all.append(delivery)
        if self._drops:
            self._drops -= 1
            delivery.state = "dropped"
            self._server.changes.tell()
            return delivery
        delay = self._delays.pop(0) if self._delays else None
        delivery.delayed = delay is not None
        self._spawn(self._deliver(delivery, delay, then))
        return delivery

    async def again(self, delivery: Delivery) -> None:
        """Sent once more now, acknowledged or not. Returns when that is acknowledged or was not."""
        number = delivery.attempts[-1].number + 1 if delivery.attempts else 0
        await self._attempt(delivery, number, "timeout" if self._server.http_target is None else "http_timeout")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery: Delivery, delay: float | asyncio.Event | None, then: Answered | None) -> None:
        if isinstance(delay, asyncio.Event):
            await delay.wait()
        elif delay:
            await asyncio.sleep(delay)
        waits = self._server.retry_waits_seconds if delivery.kind == "events_api" else ()
        reason = None
        for number, wait_seconds in enumerate((0.0, *waits)):
            await asyncio.sleep(wait_seconds)
            attempt = await self._attempt(delivery, number, reason)
            if attempt.outcome == "acknowledged":
                if then:
                    then(delivery, attempt.answer)
                self._server.changes.tell()
                return
            reason = _REASONS.get(attempt.outcome, attempt.outcome)
            if attempt.no_retry:
                break
        # A redelivery by hand may have been acknowledged meanwhile.
        if delivery.state == "waiting":
            delivery.state = "failed"
        self._server.changes.tell()

    async def _attempt(self, delivery: Delivery, number: int, reason: str | None) -> Attempt:
        index = len(delivery.attempts)
        delivery.attempts.append(Attempt(number, self._server.clock(), retry_reason=reason))
        self._server.changes.tell()
        if self._server.http_target is not None:
            done = await self._by_http(delivery, delivery.attempts[index], self._server.http_target)
        else:
            done = await self._server.sockets.send(delivery, delivery.attempts[index])
        delivery.attempts[index] = done
        if done.outcome == "acknowledged":
            delivery.state = "acknowledged"
        self._server.changes.tell()
        return done

    async def _by_http(self, delivery: Delivery, attempt: Attempt, url: str) -> Attempt:
        if delivery.kind == "events_api":
            content_type, body = "application/json", json.dumps(delivery.payload)
        elif delivery.kind == "interactive":
            content_type, body = (
                "application/x-www-form-urlencoded",
                urlencode({"payload": json.dumps(delivery.payload)}),
            )
        else:
            content_type, body = "application/x-www-form-urlencoded", urlencode(delivery.payload)
        headers = {"Content-Type": content_type, **self.signature(body)}
        if attempt.number and attempt.retry_reason:
            headers |= {"X-Slack-Retry-Num": str(attempt.number), "X-Slack-Retry-Reason": attempt.retry_reason}
        attempt = replace(attempt, via=url)
        try:
            async with (
                asyncio.timeout(self._server.acknowledge_seconds),
                aiohttp.ClientSession() as client,
                client.post(url, data=body.encode(), headers=headers) as response,
            ):
                said = await response.read()
        except TimeoutError:
            return replace(attempt, outcome="http_timeout")
        except aiohttp.ClientConnectorError:
            return replace(attempt, outcome="connection_failed")
        except aiohttp.ClientError:
            return replace(attempt, outcome="http_error")
        if not 200 <= response.status < 300:
            no_retry = response.headers.get("X-Slack-No-Retry") == "1"
            return replace(attempt, outcome="http_error", status=response.status, no_retry=no_retry)
        return replace(attempt, outcome="acknowledged", status=response.status, answer=_answer(said))

    def signature(self, body: str) -> dict[str, str]:
        """https://docs.slack.dev/authentication/verifying-requests-from-slack"""
        timestamp = str(int(self._server.clock()))
        key, base = self._server.signing_secret.encode(), f"v0:{timestamp}:{body}".encode()
        digest = hmac.new(key, base, hashlib.sha256).hexdigest()
        return {
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": f"v0={digest}",
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        }


# Socket Mode knows one reason only.
_REASONS = {"no_connection": "timeout"}


def _answer(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
