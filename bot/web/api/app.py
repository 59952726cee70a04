"""The routes of the HTTP API. They keep no state: the inbox and the store do.

A caller with a person's token is that person, and the team's policies say what they may do. Beyond that, each route
names the scope that a token needs, and a thread that the token does not cover (`bot.web.sight`) is not there. A client
that lost our answer can repeat its request: with the same `Idempotency-Key`, the second request is the same as the
first.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import Depends, FastAPI, Header, Query
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from bot import listing
from bot.deciding import DecisionResult
from bot.inbox import Inbox
from bot.team.named_places import NamedPlaces
from bot.team.people import People
from bot.team.reach import Reach, out_of_reach
from bot.team.tokens import Scope, Tokens
from bot.views.document import document
from bot.web import statuses
from bot.web.api import shapes as shapes
from bot.web.api.errors import HANDLERS, Described, errors
from bot.web.api.listing import Wanted
from bot.web.api.stream import HEARTBEAT_SECONDS, Streams, server_sent
from bot.web.callers import HEADERS, Authentication, Caller, Door, address_of, problem, reply
from bot.web.refusals import Refusals
from bot.web.sight import may_see, whole_row
from channels import places, terminal
from channels.inbound import InboundMessage
from channels.places import Command, NoPlace
from store.base import Store, UnknownThread
from store.keys import thread_id_of
from store.text import one_line
from store.thread import Thread
from store.triggers import TriggerReceived
from store.values import Place

THREAD_ID_CHARS_MAX = 40


def _caller(request: Request) -> Caller:
    """The caller that `Authentication` found."""
    return cast(Caller, request.state.caller)


By = Annotated[Caller, Depends(_caller)]
Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="The same key with the same request gives the same answer and does nothing new.",
    ),
]
LastEventId = Annotated[
    int | None, Header(alias="Last-Event-ID", ge=0, description="The index of the last event that was received.")
]


@dataclass
class Api:
    store: Store
    inbox: Inbox
    people: People
    tokens: Tokens
    agents: Collection[str]
    agent: str
    """The default agent."""
    reach: Reach
    places: NamedPlaces
    now: Callable[[], datetime]
    refusals: Refusals = field(default_factory=Refusals)
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    streams: Streams = field(default_factory=Streams)

    def app(self) -> FastAPI:
        app = Described(
            title="deploybot",
            version="1",
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            generate_unique_id_function=lambda route: route.name,
            responses=errors(),
        )
        route, one = app.add_api_route, "/api/threads/{thread_id}"
        routes: tuple[tuple[str, str, Any, int, Any, Scope, tuple[int, ...]], ...] = (
            ("/api/threads", "POST", self.open_thread, 202, shapes.Opened, "write", (404,)),
            ("/api/threads", "GET", self.list_threads, 200, shapes.Listed, "read", ()),
            (one, "GET", self.show_thread, 200, shapes.ShownWhole, "read", (404,)),
            (f"{one}/messages", "POST", self.say, 202, shapes.Shown, "write", (404, 409)),
            (f"{one}/answers", "POST", self.answer, 202, shapes.Shown, "write", (404, 409)),
            (f"{one}/edit", "POST", self.edit, 200, shapes.Shown, "decide", (404, 409, 410)),
            (f"{one}/stop", "POST", self.stop, 200, shapes.Shown, "write", (404, 409)),
            (f"{one}/pause", "POST", self.pause, 200, shapes.Shown, "write", (404, 409)),
            (f"{one}/resume", "POST", self.resume, 200, shapes.Shown, "write", (404, 409)),
            (f"{one}/cancel", "POST", self.cancel, 200, shapes.Shown, "write", (404, 409)),
            (f"{one}/fork", "POST", self.fork, 201, shapes.Shown, "write", (404, 409)),
        )
        for path, method, endpoint, status, shape, scope, more in routes:
            shown = {"response_model": shape, "status_code": status, "responses": errors(*more)}
            route(path, endpoint, methods=[method], dependencies=self._needs(scope), **cast(Any, shown))
        decided: Any = errors(404) | {status: {"model": shapes.NotDecided} for status in (403, 409, 410)}
        decides = {"dependencies": self._needs("decide"), "response_model": shapes.Decided, "responses": decided}
        route(f"{one}/decisions", self.decide, methods=["POST"], **cast(Any, decides))
        stream: dict[int | str, dict[str, Any]] = {
            200: {"description": "Server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
        }
        route(
            f"{one}/events",
            self.follow,
            methods=["GET"],
            dependencies=[*self._needs("read"), Depends(self._counted, scope="request")],
            response_class=StreamingResponse,
            response_model=None,
            responses=stream | errors(404),
        )
        for error, handler in HANDLERS.items():
            app.add_exception_handler(error, handler)
        app.add_middleware(Authentication, door=Door(self.tokens, self.people, self.refusals, self.now))
        return app

    # What a token covers

    def _needs(self, scope: Scope) -> list[Any]:
        """The dependency of a route that needs this scope."""

        async def check(request: Request, by: By) -> None:
            is_machine = scope == "decide" and not by.person.member  # It decides nothing, whatever its token says.
            if scope in by.token.scopes and not is_machine:
                return
            self._refused(request, by, "scope", scope=scope)
            if is_machine:
                what = "Only people may decide: call with a token that has an owner and the scope decide."
            else:
                what = f"This token may not {scope}: its scopes are {', '.join(by.token.scopes)}."
            challenge = {"WWW-Authenticate": 'Bearer realm="deploybot", error="insufficient_scope"'}
            raise HTTPException(403, what, challenge)

        return [Depends(check)]

    async def _seen(self, request: Request, by: Caller, thread_id: str) -> Thread:
        """The thread, if the token covers it. Raises UnknownThread.

        A thread that it does not cover and one that is not there are refused alike, also in how they are counted.
        """
        with contextlib.suppress(UnknownThread):
            thread = await self.store.load(thread_id)
            if may_see(by, whole_row(thread), self.places):
                return thread
        self._refused(request, by, "thread", thread=one_line(thread_id, THREAD_ID_CHARS_MAX))
        raise UnknownThread(thread_id)

    def _refused(self, request: Request, by: Caller, reason: str, **more: str) -> None:
        self.refusals.refused(address_of(request.scope), reason, by.name, **more)

    # Threads

    async def open_thread(self, request: Request, asked: shapes.NewThread, by: By, key: Key = "") -> Response:
        """Open a thread with a message, or with a trigger."""
        agent, agents = asked.agent or self.agent, [name for name in self.agents if by.token.covers(name)]
        if agent not in agents:
            self._refused(request, by, "agent")
            raise HTTPException(422, f"There is no agent {agent!r}; there are: {', '.join(agents) or 'none'}.")
        if asked.place:
            self._check_place(request, by, asked.place)
        once = await self._once(request, asked, by, key)
        # Nothing is shown at a terminal place: the client reads the thread itself.
        place = _place(asked.place, once) if asked.place else terminal.place_of(once)
        if asked.place and await self.store.exists(thread_id_of(place)):
            await self._seen(request, by, thread_id_of(place))
        if asked.trigger:
            trigger = _trigger(asked.trigger, by, once, self.now())
            thread_id = await self.inbox.trigger(place, trigger, agent=agent, namespace="api trigger")
        else:
            thread_id = await self.inbox.message(place, InboundMessage(by.person, asked.text or "", once), agent=agent)
        link = _link(thread_id)
        links = {"self": link} | {name: f"{link}/{name}" for name in ("events", "messages", "decisions")}
        return reply({"id": thread_id, "links": links}, 202, {"Location": link})

    def _check_place(self, request: Request, by: Caller, where: shapes.Where) -> None:
        """Raises HTTPException where the team file lets nobody open a thread over the API."""
        if where.channel not in self.reach:
            channels = ", ".join(self.reach)
            raise HTTPException(422, f"There is no channel {where.channel!r}; there are: {channels}.")
        if why := out_of_reach(_named(where), self.reach):
            raise HTTPException(422, f"body.place: {why}")
        if not self.places.allow(_place(where, "")):
            self._refused(request, by, "place")
            what = f"body.place: {_named(where)!r} is not a place that the team file names; [api] places may name more."
            raise HTTPException(422, what)

    async def list_threads(self, asked: Annotated[Wanted, Query()], by: By) -> Response:
        """A page of the threads, the most recently changed first. A thread that changes meanwhile may come twice."""
        wanted = asked.filter(lambda row: may_see(by, row, self.places))
        page = await self.store.page(wanted, limit=asked.limit, after=asked.after)
        return reply({"threads": await listing.documents(self.store, page.rows, wanted), "next": page.after or None})

    async def show_thread(self, request: Request, thread_id: str, by: By) -> Response:
        """A thread with all its events."""
        return reply(document(await self._seen(request, by, thread_id), with_events=True))

    async def follow(self, request: Request, thread_id: str, by: By, last_event_id: LastEventId = None) -> Response:
        """The thread's events as they happen, each with its index as `id`."""
        thread = await self._seen(request, by, thread_id)
        first = 0 if last_event_id is None else last_event_id + 1
        if first > thread.version:
            raise HTTPException(422, f"Last-Event-ID is beyond the thread's {thread.version} events.")
        stopping, seconds = request.app.state.stopping, self.heartbeat_seconds
        stream = server_sent(self.store, thread, first, stopping=stopping, heartbeat_seconds=seconds)

        async def while_the_token_holds() -> AsyncIterator[str]:
            async with contextlib.aclosing(stream):
                async for text in stream:
                    if self.now() >= by.token.until:
                        return
                    yield text

        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(while_the_token_holds(), headers=headers, media_type="text/event-stream")

    async def _counted(self, by: By) -> AsyncIterator[None]:
        """A stream's place: taken before the thread is loaded, given back after the response has ended."""
        with self.streams.one_of(by.name):
            yield

    # What people do

    async def say(self, request: Request, thread_id: str, asked: shapes.NewMessage, by: By, key: Key = "") -> Response:
        """Write to the thread."""
        await self._seen(request, by, thread_id)
        once = await self._once(request, asked, by, key)
        return _shown(await self.inbox.say(thread_id, by.person, asked.text, event_id=once), by, 202)

    async def answer(self, request: Request, thread_id: str, asked: shapes.Answer, by: By) -> Response:
        """Answer the open question."""
        await self._seen(request, by, thread_id)
        return _shown(await self.inbox.answer(thread_id, by.person, asked.text, step=asked.question), by, 202)

    async def decide(self, request: Request, thread_id: str, asked: shapes.Decision, by: By) -> Response:
        """Approve or reject the request that waits."""
        await self._seen(request, by, thread_id)
        result = await self.inbox.decide(
            thread_id,
            by.person,
            approved=asked.approved,
            comment=asked.comment,
            step_id=asked.request,
            digest=asked.digest,
            proof=by.proof,
            way="api",
        )
        outcome, status = result.outcome, statuses.OF_OUTCOME[result.outcome]
        if status == 200:
            return _shown(result.thread, by, outcome=outcome)
        return problem(status, result.text, outcome=outcome, standing=_standing(result))

    async def edit(self, request: Request, thread_id: str, asked: shapes.Edit, by: By) -> Response:
        """Edit the call that waits instead of approving it: a new request follows."""
        await self._seen(request, by, thread_id)
        step, digest, arguments = asked.request, asked.digest, asked.arguments
        return _shown(
            await self.inbox.edit(
                thread_id, by.person, step_id=step, digest=digest, arguments=arguments, proof=by.proof, way="api"
            ),
            by,
        )

    async def stop(self, request: Request, thread_id: str, by: By) -> Response:
        """End what is under way and withdraw the request. What has begun goes on to its end; the next words go on."""
        await self._seen(request, by, thread_id)
        return _shown(await self.inbox.stop(thread_id, by.person), by)

    async def pause(self, request: Request, thread_id: str, by: By) -> Response:
        """Pause the thread: nothing new begins."""
        await self._seen(request, by, thread_id)
        return _shown(await self.inbox.pause(thread_id, by.person), by)

    async def resume(self, request: Request, thread_id: str, by: By) -> Response:
        """Resume a paused thread, or reopen a cancelled one; what was cancelled stays cancelled."""
        await self._seen(request, by, thread_id)
        return _shown(await self.inbox.resume(thread_id, by.person), by)

    async def cancel(self, request: Request, thread_id: str, by: By, asked: shapes.Cancel | None = None) -> Response:
        """Cancel the thread: nothing new begins."""
        await self._seen(request, by, thread_id)
        return _shown(await self.inbox.cancel(thread_id, by.person, asked.reason if asked else ""), by)

    async def fork(self, request: Request, thread_id: str, asked: shapes.Fork, by: By, key: Key = "") -> Response:
        """A new thread with the first events of this one. Ongoing work does not continue there."""
        if asked.at > (version := (await self._seen(request, by, thread_id)).version):
            raise HTTPException(422, f"body.at: the thread has {version} events.")
        once = await self._once(request, asked, by, key)
        fork = await self.inbox.fork(thread_id, asked.at, by.person, terminal.place_of(once))
        return _shown(fork, by, 201, {"Location": _link(fork.id)})

    async def _once(self, request: Request, asked: BaseModel, by: Caller, key: str) -> str:
        """The id of this request: the same for the same caller and key. Raises HTTPException, StoreUnavailable.

        It is stored before anything is done: of two concurrent requests with different bodies, one is refused.
        """
        if not key:
            return f"api-{uuid.uuid4().hex}"
        once = f"api-{_hash(by.proof, key)}"
        what = _hash(request.url.path, asked.model_dump_json())
        if not await self.store.set_note(once, what, expected=""):
            raise HTTPException(422, "This Idempotency-Key was used for another request.")
        return once


def _place(where: shapes.Where, once: str) -> Place:
    """Raises HTTPException."""
    try:
        return places.parse(_named(where), Command(once))
    except NoPlace as wrong:
        raise HTTPException(422, f"body.place {wrong}.") from None


def _trigger(asked: shapes.Trigger, by: Caller, once: str, at: datetime) -> TriggerReceived:
    """What it says are the caller's words: a trigger is no way to ask for something and be nobody."""
    return TriggerReceived(
        id=once,
        at=at,
        source=asked.source,
        name=asked.name,
        data=asked.data,
        third_party=tuple(asked.third_party),
        by=by.person,
    )


def _named(where: shapes.Where) -> str:
    return f"{where.channel}:{where.address}"


def _link(thread_id: str) -> str:
    return f"/api/threads/{thread_id}"


def _hash(*parts: str) -> str:
    whole = "\0".join(parts).encode(errors="surrogatepass")
    return hashlib.blake2b(whole, digest_size=16).hexdigest()


def _shown(
    thread: Thread, by: Caller, status: int = 200, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """The thread, or for a token that may not read only which one."""
    shown = document(thread) if "read" in by.token.scopes else {"id": thread.id}
    return reply(shown | more, status, headers)


def _standing(result: DecisionResult) -> dict[str, Any] | None:
    request = result.step.request
    decision = request.decision if request else None
    if decision is None:
        return None
    at = decision.model_dump(mode="json", include={"at"})["at"]
    return {"approved": decision.approved, "by": decision.by.name, "at": at, "comment": decision.comment}
