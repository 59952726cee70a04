"""The message shortcut "Ask deploybot about this", as Slack sends it: one message, and who asks about it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from channels.slack.events import Ignored, Installation, Payload, Posted, text_in

SHORTCUT_WORDS = "Ask deploybot about this"
"""The name of the shortcut in manifest.yml, and what it says to the agent."""
MESSAGE_CHARS_MAX = 100_000
"""Of the message as JSON. Of a longer one only its text is kept."""
TEXT_CHARS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class AskedAbout:
    channel: str
    thread: str
    """The ts of the first message of the thread in which the message stands."""
    user: str
    external: bool
    ts: str
    """Of the action."""
    message: Payload
    """The message, as in `conversations.replies`."""

    @property
    def id(self) -> str:
        """In a namespace of its own: it is no message in the channel."""
        return f"{self.posted.id}:shortcut"

    @property
    def posted(self) -> Posted:
        """What it says to the agent, as a mention in that thread would."""
        return Posted(
            channel=self.channel,
            ts=self.ts,
            thread=self.thread,
            user=self.user,
            text=SHORTCUT_WORDS,
            to_us=True,
            external=self.external,
        )


def parse_shortcut(body: Payload, me: Installation) -> AskedAbout | Ignored:
    match body:
        case {
            "type": "message_action",
            "channel": {"id": str(channel)},
            "user": {"id": str(user), **by},
            "message": {"ts": str(ts), **message},
            "action_ts": str(action),
        }:
            team = text_in(by, "team_id")
            external = team not in ("", me.team, me.enterprise)
            thread = text_in(message, "thread_ts") or ts
            return AskedAbout(channel, thread, user, external, action, _fitting({"ts": ts, **message}))
        case {"type": str(kind)}:
            return Ignored(f"shortcut {kind[:60]}")
        case _:
            return Ignored("no shortcut")


def _fitting(message: Payload) -> Payload:
    if len(json.dumps(message)) <= MESSAGE_CHARS_MAX:
        return message
    return {name: text_in(message, name)[:TEXT_CHARS_MAX] for name in ("ts", "thread_ts", "user", "username", "text")}
