"""The Slack for tests as a process of its own, to play with a bot by hand or from another language.

    python -m tests.fakes.slack --port 8100 --manifest manifest.yml

The first line on stdout is JSON with the URLs and tokens for the bot. Then a person speaks in JSON lines on stdin, one
act each, and reads a line for each answer and for whatever the bot says:

    {"do": "mention", "channel": "deploys", "user": "ana", "text": "what is in production?"}
    {"do": "click", "user": "ben", "ts": "1790000000.000100", "target": "Approve"}
    {"do": "fail", "method": "chat.postMessage", "after_effect": true, "cut": true}

A message is named by its `ts`, a modal by its `view` id. Acts are the methods of SlackServer in `_ACTS`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from typing import Any

from tests.fakes.slack import Message, SlackServer
from tests.fakes.slack.delivery import Delivery
from tests.fakes.slack.shapes import message_json
from tests.fakes.slack.views_api import View
from tests.fakes.slack.workspace import Json

_ACTS = (
    "say mention dm upload post_as_bot edit delete react join leave open_home change_context stop_session click select"
)
_ACTS += " submit close_view command fail drop disconnect cut_sockets redeliver verify_url messages"


async def _do(slack: SlackServer, asked: Json) -> Any:
    name = asked.pop("do")
    if name not in _ACTS.split():
        raise ValueError(f"no act {name!r}; there are: {_ACTS}")
    act = getattr(slack, name)
    if "ts" in asked:
        ts = asked.pop("ts")
        shown = next((message for message in slack.workspace.every_message() if message.ts == ts), None)
        if shown is None:
            raise ValueError(f"no message {ts!r}")
        asked["shown" if name in ("click", "select") else "message"] = shown
    if "view" in asked:
        view = slack.all_views[asked.pop("view")]
        asked["shown" if name in ("click", "select") else "view"] = view
    if "delivery" in asked:
        asked["delivery"] = slack.deliveries.all[asked["delivery"]]
    if name == "upload":
        asked["content"] = str(asked["content"]).encode()
    done = act(**asked)
    return await done if asyncio.iscoroutine(done) else done


def _told(slack: SlackServer, value: Any) -> Any:
    match value:
        case Message():
            shape = message_json(slack.workspace, value, with_metadata=True)
            return shape | {"channel": value.channel, "reads": slack.text_of(value), "buttons": slack.buttons_of(value)}
        case View():
            return {"view": value.id, "reads": slack.text_of(value), "errors": dict(value.errors)}
        case Delivery():
            return {"delivery": value.number, "type": value.type, "state": value.state}
        case list():
            return [_told(slack, item) for item in value]
        case str() | int() | bool() | None:
            return value
    return repr(value)


async def _listen(slack: SlackServer, lines: asyncio.StreamReader) -> None:
    while line := await lines.readline():
        try:
            _print({"done": _told(slack, await _do(slack, json.loads(line)))})
        except Exception as error:  # whatever a person typed, the server goes on
            _print({"error": f"{type(error).__name__}: {error}"})


async def _watch(slack: SlackServer) -> None:
    """Prints what the bot says and changes, and the modals it opens."""
    known: dict[str, Message | View] = {}
    while True:
        messages = [each for each in slack.workspace.every_message() if each.user == slack.workspace.bot.id]
        for message in messages:
            if known.get(message.ts) != message:
                _print({"changed" if message.ts in known else "said": _told(slack, message)})
                known[message.ts] = message
        for view in slack.views:
            if known.get(view.id) != view:
                _print({"opened": _told(slack, view)})
                known[view.id] = view
        await slack.changes.next()


def _print(said: Json) -> None:
    print(json.dumps(said, ensure_ascii=False), flush=True)


async def _serve(slack: SlackServer) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with slack:
        users = {user.name: user.id for user in slack.workspace.users.values()}
        channels = {channel.name: channel.id for channel in slack.workspace.channels.values()}
        environment = {
            "SLACK_API_URL": slack.api_url,
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
            "SLACK_SIGNING_SECRET": slack.signing_secret,
        }
        _print({"url": slack.url, "environment": environment, "users": users, "channels": channels})
        work = [asyncio.ensure_future(_watch(slack))]
        if lines := await _stdin():
            work.append(asyncio.ensure_future(_listen(slack, lines)))
        await stop.wait()
        for task in work:
            task.cancel()


async def _stdin() -> asyncio.StreamReader | None:
    """None when stdin cannot be listened to, as /dev/null in the background."""
    lines = asyncio.StreamReader()
    try:
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    except (OSError, ValueError):
        return None
    return lines


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="A Slack for tests. Prints its URLs once it listens.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--manifest", help="take scopes, events and features from this manifest.yml")
    parser.add_argument("--http-target", help="send events there by HTTP, signed, instead of through Socket Mode")
    options = parser.parse_args(arguments)
    others: Json = {"port": options.port, "http_target": options.http_target}
    manifest = options.manifest
    asyncio.run(_serve(SlackServer.from_manifest(manifest, **others) if manifest else SlackServer(**others)))


if __name__ == "__main__":
    main(sys.argv[1:])
