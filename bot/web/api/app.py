"""The routes of the HTTP API. It judges nothing and keeps no state; the inbox and the store do.

A caller is a person like any other, and the team's policies say what they may do. A client that lost our answer can
repeat its request: with the same `Idempotency-Key`, the second request is the same as the first.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, FastAPI, Header, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from bot import listing
from bot.deciding import DecisionResult
from bot.inbox import Inbox
from bot.team.people import People
from bot.team.reach import Reach, out_of_reach
from bot.views.document import document
from bot.web import statuses
from bot.web.api import shapes as shapes
from bot.web.api.listing import Wanted
from bot.web.api.stream import HEARTBEAT_SECONDS, server_sent
from bot.web.callers import HEADERS, Authentication, Caller, caller_of, problem, reply
from channels import places, terminal
from channels.inbound import InboundMessage, Refused
from channels.places import Command, NoPlace
from store.base import Store, StoreUnavailable, ThreadDiverged, UnknownThread
from store.codec import EventTooLarge
from store.text import one_line
from store.thread import Thread
from store.values import Place

RETRY_SECONDS = 5
STREAMS_MAX = 100
"""The most open streams of one process: each holds a connection to the store."""


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
    token: str
    """The token of the machine `api`; empty: only people in the team file may call."""
    agents: Collection[str]
    agent: str
    """The default agent."""
    reach: Reach
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    streams: int = 0
    """The number of open streams."""

    def app(self) -> FastAPI:
        app = _Described(
            title="deploybot",
            version="1",
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            generate_unique_id_function=lambda route: route.name,
            responses=_errors(),
        )
        route, one = app.add_api_route, "/api/threads/{thread_id}"
        for path, method, endpoint, status, shape, errors in (
            ("/api/threads", "POST", self.open_thread, 202, shapes.Opened, ()),
            ("/api/threads", "GET", self.list_threads, 200, shapes.Listed, ()),
            (one, "GET", self.show_thread, 200, shapes.ShownWhole, (404,)),
            (f"{one}/messages", "POST", self.say, 202, shapes.Shown, (404, 409)),
            (f"{one}/answers", "POST", self.answer, 202, shapes.Shown, (404, 409)),
            (f"{one}/edit", "POST", self.edit, 200, shapes.Shown, (403, 404, 409, 410)),
            (f"{one}/pause", "POST", self.pause, 200, shapes.Shown, (404, 409)),
            (f"{one}/resume", "POST", self.resume, 200, shapes.Shown, (404, 409)),
            (f"{one}/cancel", "POST", self.cancel, 200, shapes.Shown, (404, 409)),
            (f"{one}/fork", "POST", self.fork, 201, shapes.Shown, (404, 409)),
        ):
            shown = {"response_model": shape, "status_code": status, "responses": _errors(*errors)}
            route(path, cast(Callable[..., Awaitable[Response]], endpoint), methods=[method], **cast(Any, shown))
        decided = _errors(404) | {status: {"model": shapes.NotDecided} for status in (403, 409, 410)}
        route(f"{one}/decisions", self.decide, methods=["POST"], response_model=shapes.Decided, responses=decided)
        stream: dict[int | str, dict[str, Any]] = {
            200: {"description": "Server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
        }
        route(
            f"{one}/events",
            self.follow,
            methods=["GET"],
            response_class=StreamingResponse,
            response_model=None,
            responses=stream | _errors(404),
        )
        for error, handler in _HANDLERS.items():
            app.add_exception_handler(error, handler)
        app.add_middleware(Authentication, known=lambda token: caller_of(token, self.people, self.token))
        return app

    # Threads

    async def open_thread(self, request: Request, asked: shapes.NewThread, by: By, key: Key = "") -> Response:
        """Open a thread with a message."""
        agent = asked.agent or self.agent
        if agent not in self.agents:
            raise HTTPException(422, f"There is no agent {agent!r}; there are: {', '.join(self.agents) or 'none'}.")
        if asked.place and asked.place.channel not in self.reach:
            channels = ", ".join(self.reach)
            raise HTTPException(422, f"There is no channel {asked.place.channel!r}; there are: {channels}.")
        if asked.place and (why := out_of_reach(_named(asked.place), self.reach)):
            raise HTTPException(422, f"body.place: {why}")
        once = await self._once(request, asked, by, key)
        # Nothing is shown at a terminal place: the client reads the thread itself.
        place = _place(asked.place, once) if asked.place else terminal.place_of(once)
        thread_id = await self.inbox.message(place, InboundMessage(by.person, asked.text, once), agent=agent)
        link = _link(thread_id)
        links = {"self": link} | {name: f"{link}/{name}" for name in ("events", "messages", "decisions")}
        return reply({"id": thread_id, "links": links}, 202, {"Location": link})

    async def list_threads(self, asked: Annotated[Wanted, Query()]) -> Response:
        """A page of the threads, the most recently changed first. A thread that changes meanwhile may come twice."""
        wanted = asked.filter()
        page = await self.store.page(wanted, limit=asked.limit, after=asked.after)
        return reply({"threads": await listing.documents(self.store, page.rows, wanted), "next": page.after or None})

    async def show_thread(self, thread_id: str) -> Response:
        """A thread with all its events."""
        return reply(document(await self.store.load(thread_id), with_events=True))

    async def follow(self, request: Request, thread_id: str, last_event_id: LastEventId = None) -> Response:
        """The thread's events as they happen, each with its index as `id`."""
        if self.streams >= STREAMS_MAX:
            return problem(503, "Too many streams are open.", headers={"Retry-After": str(RETRY_SECONDS)})
        thread = await self.store.load(thread_id)
        first = 0 if last_event_id is None else last_event_id + 1
        if first > thread.version:
            raise HTTPException(422, f"Last-Event-ID is beyond the thread's {thread.version} events.")

        async def counted() -> Any:
            self.streams += 1
            try:
                stopping, seconds = request.app.state.stopping, self.heartbeat_seconds
                async for text in server_sent(self.store, thread, first, stopping=stopping, heartbeat_seconds=seconds):
                    yield text
            finally:
                self.streams -= 1

        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(counted(), headers=headers, media_type="text/event-stream")

    # What people do

    async def say(self, request: Request, thread_id: str, asked: shapes.NewMessage, by: By, key: Key = "") -> Response:
        """Write to the thread."""
        once = await self._once(request, asked, by, key)
        return _shown(await self.inbox.say(thread_id, by.person, asked.text, event_id=once), 202)

    async def answer(self, thread_id: str, asked: shapes.Answer, by: By) -> Response:
        """Answer the open question."""
        return _shown(await self.inbox.answer(thread_id, by.person, asked.text, step=asked.question), 202)

    async def decide(self, thread_id: str, asked: shapes.Decision, by: By) -> Response:
        """Approve or reject the request that waits."""
        _person(by)
        result = await self.inbox.decide(
            thread_id,
            by.person,
            approved=asked.approved,
            comment=asked.comment,
            step_id=asked.request,
            digest=asked.digest,
            proof=by.proof,
        )
        outcome, status = result.outcome, statuses.OF_OUTCOME[result.outcome]
        if status == 200:
            return reply(document(result.thread) | {"outcome": outcome})
        return problem(status, result.text, outcome=outcome, standing=_standing(result))

    async def edit(self, thread_id: str, asked: shapes.Edit, by: By) -> Response:
        """Edit the call that waits instead of approving it: a new request follows."""
        _person(by)
        step, digest, arguments = asked.request, asked.digest, asked.arguments
        return _shown(
            await self.inbox.edit(
                thread_id, by.person, step_id=step, digest=digest, arguments=arguments, proof=by.proof
            )
        )

    async def pause(self, thread_id: str, by: By) -> Response:
        """Pause the thread: nothing new begins."""
        return _shown(await self.inbox.pause(thread_id, by.person))

    async def resume(self, thread_id: str, by: By) -> Response:
        """Resume a paused thread, or reopen a cancelled one; what was cancelled stays cancelled."""
        return _shown(await self.inbox.resume(thread_id, by.person))

    async def cancel(self, thread_id: str, by: By, asked: shapes.Cancel | None = None) -> Response:
        """Cancel the thread: nothing new begins."""
        return _shown(await self.inbox.cancel(thread_id, by.person, asked.reason if asked else ""))

    async def fork(self, request: Request, thread_id: str, asked: shapes.Fork, by: By, key: Key = "") -> Response:
        """A new thread with the first events of this one. Ongoing work does not continue there."""
        if asked.at > (version := (await self.store.load(thread_id)).version):
            raise HTTPException(422, f"body.at: the thread has {version} events.")
        once = await self._once(request, asked, by, key)
        fork = await self.inbox.fork(thread_id, asked.at, by.person, terminal.place_of(once))
        return _shown(fork, 201, {"Location": _link(fork.id)})

    async def _once(self, request: Request, asked: BaseModel, by: Caller, key: str) -> str:
        """The id of this request: the same for the same caller and key. Raises HTTPException, StoreUnavailable.

        It is stored before anything is done: of two concurrent requests with different bodies, one is refused.
        """
        if not key:
            return f"api-{uuid.uuid4().hex}"
        once = f"api-{_hash(by.proof, key)}"
        what = _hash(request.url.path, asked.model_dump_json())
        if not await self.store.set_note(once, what, expected="") and await self.store.get_note(once) != what:
            raise HTTPException(422, "This Idempotency-Key was used for another request.")
        return once


def _place(where: shapes.Where, once: str) -> Place:
    """Raises HTTPException."""
    try:
        return places.parse(_named(where), Command(once))
    except NoPlace as wrong:
        raise HTTPException(422, f"body.place {wrong}.") from None


def _named(where: shapes.Where) -> str:
    return f"{where.channel}:{where.address}"


def _link(thread_id: str) -> str:
    return f"/api/threads/{thread_id}"


def _hash(*parts: str) -> str:
    whole = "\0".join(parts).encode(errors="surrogatepass")
    return hashlib.blake2b(whole, digest_size=16).hexdigest()


def _person(by: Caller) -> None:
    """Refuse machines: only people decide. Raises HTTPException."""
    if not by.person.member:
        raise HTTPException(
            403, "Only people may decide: call with a person's own token (api_token_sha256 in the team file)."
        )


def _shown(thread: Thread, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return reply(document(thread), status, headers)


def _standing(result: DecisionResult) -> dict[str, Any] | None:
    request = result.step.request
    decision = request.decision if request else None
    if decision is None:
        return None
    at = decision.model_dump(mode="json", include={"at"})["at"]
    return {"approved": decision.approved, "by": decision.by.name, "at": at, "comment": decision.comment}


# What goes wrong


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem(statuses.of_refusal(error), str(error))


async def _unknown(request: Request, _: Exception) -> Response:
    return problem(404, f"There is no thread {one_line(str(request.path_params.get('thread_id', '')), 100)}.")


async def _away(_: Request, error: Exception) -> Response:
    return problem(503, str(error), headers={"Retry-After": str(RETRY_SECONDS)})


async def _too_large(_: Request, error: Exception) -> Response:
    return problem(413, str(error))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, headers=error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    """Leaves out the values, which may be secret."""
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(str(part)[:60] for part in item['loc'])}: {item['msg']}" for item in error.errors()[:10]]
    return problem(422, "; ".join(found))


async def _broken(_: Request, __: Exception) -> Response:
    return problem(500, "This is a bug in the program. Its log has the details.")


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    Refused: _refused,
    UnknownThread: _unknown,
    StoreUnavailable: _away,
    ThreadDiverged: _away,
    EventTooLarge: _too_large,
    HTTPException: _http,
    RequestValidationError: _invalid,
    Exception: _broken,
}


def _errors(*more: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": shapes.Problem} for status in (400, 401, 413, 422, 503, *more)}


class _Described(FastAPI):
    """Adds to the OpenAPI description what FastAPI does not know: authentication, and the type of problems."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema:
            return self.openapi_schema
        schema = super().openapi()
        schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}]
        for operations in schema["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        response["content"] = {"application/problem+json": response["content"]["application/json"]}
        return schema
