"""A model server for tests: OpenAI's chat completions over real HTTP on loopback, with scripted answers.

    async with ModelServer({"intent": "nothing_to_do"}, error(429, headers={"Retry-After": "1"})) as server:
        ...  # server.url is a base URL; server.requests holds what came in

A script is a row of replies, or a function of the request. A dict with an `intent` is a step, a string is said as it
is, and a `Reply` is anything else, down to rubbish. `response_format` says what the server is able to do; as OpenAI
does, it answers 400 to a strict schema that breaks the rules. For other processes:

    python -m tests.fakes.model_server --port 0 --script script.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from aiohttp import web

MODEL = "test-model-2026"
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64},
}

Capability = Literal["json_schema", "json_object", "none", "ignored"]
"""The highest `response_format` that is taken; `ignored` takes all and does nothing with them."""


@dataclass(frozen=True)
class Reply:
    content: Any = None
    refusal: str | None = None
    finish_reason: str = "stop"
    tool_calls: tuple[dict[str, Any], ...] = ()
    usage: dict[str, Any] | None = field(default_factory=lambda: dict(USAGE))

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent instead of a completion."""
    content_type: str = "application/json"
    dropped: bool = False
    """Half of the body is sent, then the connection is cut."""
    after: asyncio.Event | None = None
    """Answer when this is set."""
    delay_seconds: float = 0.0
    when: str = ""
    """Give this reply only to a request whose user message holds this text."""


Scripted = Reply | dict[str, Any] | str
Script = Callable[[dict[str, Any]], Scripted | Awaitable[Scripted]]


def step(data: Mapping[str, Any], **others: Any) -> Reply:
    return Reply(content=json.dumps({"step": data}), **others)


def refusal(text: str) -> Reply:
    return Reply(refusal=text)


def truncated(text: str = '{"step": {"intent": "do') -> Reply:
    return Reply(content=text, finish_reason="length")


def filtered() -> Reply:
    return Reply(content="", finish_reason="content_filter")


def tool_call(name: str, arguments: str) -> Reply:
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return Reply(tool_calls=(call,), finish_reason="tool_calls")


def error(
    status: int, message: str = "It went wrong.", *, headers: Mapping[str, str] | None = None, **fields: Any
) -> Reply:
    """With an error body like OpenAI's. `fields` are its `code`, `param` and `type`."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **fields}}
    return Reply(status=status, headers=headers or {}, body=json.dumps(body).encode())


def raw(body: bytes, *, status: int = 200, content_type: str = "application/json") -> Reply:
    return Reply(body=body, status=status, content_type=content_type)


def dropped() -> Reply:
    return Reply(content="x" * 1000, dropped=True)


class ModelServer:
    def __init__(
        self,
        *script: Scripted | Script,
        response_format: Capability = "json_schema",
        port: int = 0,
        repeat: bool = False,
    ) -> None:
        """`repeat`: the last reply is given again and again. Otherwise a request beyond the script is answered 418."""
        self._function = script[0] if script and callable(script[0]) else None
        self._replies = [] if self._function else [_reply(cast(Scripted, item)) for item in script]
        self._capability = response_format
        self._port = port
        self._repeat = repeat
        self._arrived = asyncio.Condition()
        self.requests: list[dict[str, Any]] = []
        """The bodies of all requests for completions, rejected ones included."""
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def asked_by(self) -> list[str]:
        """The mode of each request."""
        return [request.get("response_format", {}).get("type", "prompt") for request in self.requests]

    def script(self, *replies: Scripted) -> None:
        """Add replies."""
        self._replies.extend(_reply(item) for item in replies)

    def forget(self) -> None:
        """What has come in so far."""
        self.requests.clear()
        self.bodies.clear()
        self.headers.clear()

    async def arrived(self, count: int) -> None:
        """Returns when so many requests have come in."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64_000_000)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "tests"}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked: dict[str, Any] = json.loads(body)
        async with self._arrived:
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            self.requests.append(asked)
            number = len(self.requests)
            self._arrived.notify_all()
        reply = self._rejection(asked) or await self._scripted(asked)
        if reply.after:
            await reply.after.wait()
        await asyncio.sleep(reply.delay_seconds)
        data = _completion(reply, number) if reply.body is None else reply.body
        if reply.dropped:
            return await _cut_off(request, data)
        return web.Response(
            status=reply.status, body=data, headers={"Content-Type": reply.content_type, **reply.headers}
        )

    async def _scripted(self, asked: dict[str, Any]) -> Reply:
        if self._function:
            given = self._function(asked)
            return _reply(await given if isinstance(given, Awaitable) else given)
        said = asked["messages"][-1]["content"]
        said = said if isinstance(said, str) else json.dumps(said)  # in parts, with images
        index = next((i for i, reply in enumerate(self._replies) if reply.when in said), None)
        if index is None:
            return error(418, "The script of this test has no reply for this request.")
        if self._repeat and index == len(self._replies) - 1:
            return self._replies[index]
        return self._replies.pop(index)

    def _rejection(self, asked: dict[str, Any]) -> Reply | None:
        wanted = asked.get("response_format", {})
        kind = wanted.get("type", "text")
        rank = ["text", "json_object", "json_schema"]
        if kind not in rank:
            return error(400, f"Invalid value: '{kind}'.", param="response_format.type")
        if self._capability == "ignored" or kind == "text":
            return None
        if self._capability == "none":
            return error(400, "Unrecognized request argument supplied: response_format")
        if rank.index(kind) > rank.index(self._capability):
            message = f"Invalid parameter: 'response_format' of type '{kind}' is not supported with this model."
            return error(400, message, param="response_format")
        if kind == "json_object" and "json" not in json.dumps(asked["messages"]).lower():
            message = "'messages' must contain the word 'json' in some form, to use 'response_format' of this type."
            return error(400, message, param="messages")
        shape = wanted.get("json_schema", {})
        broken = strict_mode_violations(shape.get("schema")) if shape.get("strict") else []
        if kind == "json_schema" and broken:
            message = f"Invalid schema for response_format '{shape.get('name')}': {broken[0]}."
            return error(400, message, param="response_format")
        return None


def _reply(item: Scripted) -> Reply:
    if isinstance(item, Reply):
        return item
    if isinstance(item, str):
        return Reply(content=item)
    if "intent" in item:
        return step(item)
    fields = dict(item)
    if "step" in fields:
        return step(fields.pop("step"), **fields)
    if "error" in fields:
        return replace(error(**fields.pop("error")), **fields)
    return Reply(**fields)


def _completion(reply: Reply, number: int) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": reply.content, "refusal": reply.refusal}
    if reply.tool_calls:
        message["tool_calls"] = list(reply.tool_calls)
    data: dict[str, Any] = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}],
    }
    if reply.usage is not None:
        data["usage"] = reply.usage
    return json.dumps(data).encode()


async def _cut_off(request: web.Request, data: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(data))})
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    assert request.transport is not None
    request.transport.close()  # after what was written has gone out
    return response


# Strict mode's rules: https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas"

_KNOWN = {
    "array": {"items", "minItems", "maxItems"},
    "boolean": set[str](),
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "null": set[str](),
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "object": {"properties", "required", "additionalProperties", "$defs"},
    "string": {"pattern", "format"},
}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
PROPERTIES_MAX = 5_000
NESTING_MAX = 10
NAME_CHARS_MAX = 120_000
ENUM_VALUES_MAX = 1_000


def strict_mode_violations(schema: Any) -> list[str]:
    """What strict mode would object to. Empty: the schema is taken."""
    if not isinstance(schema, dict) or schema.get("type") != "object" or "anyOf" in schema:
        return ["schema must be a JSON Schema of 'type: \"object\"'"]
    return list(_Rules(schema).check())


class _Rules:
    def __init__(self, schema: dict[str, Any]) -> None:
        self._root = schema
        self._properties = 0
        self._enum_values = 0
        self._name_chars = 0

    def check(self) -> Iterator[str]:
        definitions = self._root.get("$defs", {})
        yield from self._node(self._root, (), 0)
        for name, definition in definitions.items():
            self._name_chars += len(name)
            yield from self._node(definition, ("$defs", name), 0)
        if self._properties > PROPERTIES_MAX:
            yield f"{self._properties} properties, the maximum is {PROPERTIES_MAX}"
        if self._enum_values > ENUM_VALUES_MAX:
            yield f"{self._enum_values} enum values, the maximum is {ENUM_VALUES_MAX}"
        if self._name_chars > NAME_CHARS_MAX:
            yield f"names and values of {self._name_chars} characters, the maximum is {NAME_CHARS_MAX}"

    def _node(self, node: Any, path: tuple[str, ...], depth: int) -> Iterator[str]:
        where = f"In context={path!r}, "
        if not isinstance(node, dict):
            yield f"{where}{node!r} is not of type 'object'"
            return
        if "$ref" in node:
            yield from self._ref(node, where)
            return
        if "anyOf" in node:
            for key in node.keys() - {"anyOf", "description"}:
                yield f"{where}'{key}' is not permitted beside 'anyOf'"
            for index, branch in enumerate(node["anyOf"]):
                yield from self._node(branch, (*path, "anyOf", str(index)), depth)
            return
        kinds = node.get("type")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if not isinstance(kinds, list) or not kinds or any(kind not in _KNOWN for kind in kinds):
            yield f"{where}schema must have a 'type' key"
            return
        known = {"type", "description", "enum"}.union(*(_KNOWN[kind] for kind in kinds))
        for key in sorted(node.keys() - known):
            yield f"{where}'{key}' is not permitted"
        if "$defs" in node and path:
            yield f"{where}'$defs' is permitted at the root only"
        if node.get("format", "date") not in _FORMATS:
            yield f"{where}'{node['format']}' is not a valid format"
        if "(?" in node.get("pattern", ""):
            yield f"{where}lookaround is not supported in 'pattern'"
        enum = node.get("enum", [])
        self._enum_values += len(enum)
        self._name_chars += sum(len(str(value)) for value in enum)
        if "array" in kinds:
            yield from self._node(node.get("items"), (*path, "items"), depth)
        if "object" in kinds:
            yield from self._object(node, path, depth + 1, where)

    def _ref(self, node: dict[str, Any], where: str) -> Iterator[str]:
        if node.keys() != {"$ref"}:
            yield f"{where}$ref cannot have keywords {sorted(node.keys() - {'$ref'})}"
        if node["$ref"].removeprefix("#/$defs/") not in self._root.get("$defs", {}):
            yield f"{where}reference can only point to definitions defined at the top level of the schema"

    def _object(self, node: dict[str, Any], path: tuple[str, ...], depth: int, where: str) -> Iterator[str]:
        if depth > NESTING_MAX:
            yield f"{where}{depth} levels of nesting exceed the limit of {NESTING_MAX}"
            return
        if node.get("additionalProperties") is not False:
            yield f"{where}'additionalProperties' is required to be supplied and to be false"
        properties = node.get("properties", {})
        if sorted(node.get("required", [])) != sorted(properties):
            yield f"{where}'required' is required to be supplied and to be an array including every key in properties"
        self._properties += len(properties)
        for name, child in properties.items():
            self._name_chars += len(name)
            yield from self._node(child, (*path, "properties", name), depth)


# As a process of its own


async def _serve(server: ModelServer) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        print(server.url, flush=True)
        await stop.wait()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="A scripted model server. Prints its base URL once it listens.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument(
        "--script",
        type=Path,
        required=True,
        help='JSON: a list of replies: {"intent": …}, {"step": {…}, "when": "…"}, "text", {"error": {"status": 429}}, '
        'or the fields of Reply; or {"replies": […], "response_format": "none", "repeat": true}',
    )
    options = parser.parse_args(arguments)
    script = json.loads(options.script.read_text())
    settings = {"replies": script} if isinstance(script, list) else script
    replies = settings.pop("replies")
    asyncio.run(_serve(ModelServer(*replies, port=options.port, **settings)))


if __name__ == "__main__":
    main(sys.argv[1:])
