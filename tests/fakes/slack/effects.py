"""What a call or a person's act does in Slack: it changes the workspace and becomes an event, if the app gets those.

An event reaches the app when its type is subscribed to, its scope is granted and the bot is in the conversation.
The bot's own messages come back to it as events too, as in Slack: to ignore them is the bot's work.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from tests.fakes.slack import limits
from tests.fakes.slack.faults import Changes
from tests.fakes.slack.shapes import event_callback, message_json
from tests.fakes.slack.views_api import RESPONSE_URL_SECONDS, TRIGGER_SECONDS, ResponseUrl, Trigger, View
from tests.fakes.slack.workspace import CHANNEL_TYPES, SCOPE_FAMILIES, Channel, Clock, Json, Message, User, Workspace

if TYPE_CHECKING:
    from tests.fakes.slack.delivery import Deliveries, Delivery

SUBSCRIPTIONS = frozenset(
    {"app_mention", "app_home_opened", "app_context_changed", "agent_session_stopped"}
    | {f"message.{family}" for family in SCOPE_FAMILIES.values()}
)
SCOPES = frozenset(
    {"app_mentions:read", "assistant:write", "chat:write", "im:write", "reactions:write", "users:read"}
    | {"users:read.email"}
    | {f"{family}:history" for family in SCOPE_FAMILIES.values()}
)
_EVENT_SCOPES = {
    "app_mention": "app_mentions:read",
    "reaction_added": "reactions:read",
    "reaction_removed": "reactions:read",
    **{f"message.{family}": f"{family}:history" for family in SCOPE_FAMILIES.values()},
}


@dataclass(frozen=True)
class Features:
    """What is switched on in the app's configuration."""

    socket_mode: bool = True
    interactivity: bool = True
    home_tab: bool = True
    messages_tab: bool = True
    agent: bool = True


@dataclass(frozen=True)
class Installation:
    scopes: frozenset[str] = SCOPES
    subscriptions: frozenset[str] = SUBSCRIPTIONS
    features: Features = field(default_factory=Features)
    bot_name: str = "deploybot"

    @classmethod
    def from_manifest(cls, path: Path | str) -> Self:
        """Reads manifest.yml (or JSON): a scope or event that it forgets is missing here as it would be in Slack."""
        manifest = yaml.safe_load(Path(path).read_text())
        settings, features = manifest.get("settings") or {}, manifest.get("features") or {}
        home = features.get("app_home") or {}
        return cls(
            scopes=frozenset((manifest.get("oauth_config") or {}).get("scopes", {}).get("bot") or ()),
            subscriptions=frozenset((settings.get("event_subscriptions") or {}).get("bot_events") or ()),
            features=Features(
                socket_mode=bool(settings.get("socket_mode_enabled")),
                interactivity=bool((settings.get("interactivity") or {}).get("is_enabled")),
                home_tab=bool(home.get("home_tab_enabled")),
                messages_tab=bool(home.get("messages_tab_enabled"))
                and not home.get("messages_tab_read_only_enabled", False),
                agent="agent_view" in features or "assistant_view" in features,
            ),
            bot_name=(features.get("bot_user") or {}).get("display_name", "bot"),
        )


@dataclass(frozen=True)
class Session:
    """A thread's agent session (`typing` False), or the assistant's line under it (`typing` True)."""

    channel: str
    thread: str
    status: str
    title: str = ""
    typing: bool = False


class Effects:
    deliveries: Deliveries

    def __init__(self, workspace: Workspace, installation: Installation) -> None:
        self.workspace = workspace
        self.scopes: set[str] = set(installation.scopes)
        self.subscriptions: set[str] = set(installation.subscriptions)
        self.features = installation.features
        self.changes = Changes()
        self.sessions: dict[tuple[str, str], Session] = {}
        """By channel and thread, as they are now."""
        self.statuses: list[Session] = []
        """Every status that was ever set, oldest first."""
        self.titles: dict[tuple[str, str], str] = {}
        self.prompts: dict[tuple[str, str], tuple[Json, ...]] = {}
        self.all_views: dict[str, View] = {}
        """Closed ones too."""
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        self.stopped_streams: set[str] = set()
        self.posts_per_second: float | None = None
        """Enforces so many messages per second and channel; None: no limit. About 1 in Slack."""
        self.posts_burst = 1
        self.trigger_seconds = TRIGGER_SECONDS
        self._buckets: dict[str, tuple[float, float]] = {}

    @property
    def clock(self) -> Clock:
        """Of timestamps, signatures, triggers and response URLs. Waits for a retry or an answer are real time."""
        return self.workspace.clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        self.workspace.clock = clock

    # Messages

    def post(self, message: Message) -> Message:
        """Into the channel, and out as an event."""
        self.workspace.put(message)
        if message.user == self.workspace.bot.id and message.thread_ts:
            self.set_typing(message.channel, message.thread_ts, "")
        if message.visible_to is None:
            self._message_event(message, message_json(self.workspace, message, with_metadata=True))
        self.changes.tell()
        return message

    def change(self, before: Message, after: Message) -> Message:
        self.workspace.put(after)
        if after.visible_to is None:
            shapes = [message_json(self.workspace, message, with_metadata=True) for message in (after, before)]
            event = {"subtype": "message_changed", "message": shapes[0], "previous_message": shapes[1]}
            self._hidden_event(after, event)
        self.changes.tell()
        return after

    def remove(self, message: Message) -> None:
        self.workspace.remove(message)
        if message.visible_to is None:
            shape = message_json(self.workspace, message, with_metadata=True)
            event = {"subtype": "message_deleted", "deleted_ts": message.ts, "previous_message": shape}
            self._hidden_event(message, event)
        self.changes.tell()

    def _hidden_event(self, message: Message, event: Json) -> None:
        ts = self.workspace.new_ts()
        self._message_event(message, {"type": "message", **event, "hidden": True, "ts": ts, "event_ts": ts})

    def _message_event(self, message: Message, event: Json) -> None:
        channel = self.workspace.channel(message.channel)
        if self.workspace.bot.id not in channel.members:
            return
        if message.broadcast and "subtype" not in event:
            event = event | {"subtype": "thread_broadcast"}
        where = {"channel": channel.id, "channel_type": CHANNEL_TYPES[channel.kind]}
        family = SCOPE_FAMILIES[channel.kind]
        event = {"event_ts": message.ts, **event, **where}
        self.emit(f"message.{family}", event, about=(message.channel, message.ts))

    def put_reaction(self, message: Message, user: User, name: str, *, remove: bool) -> Message:
        reactions = dict(message.reactions)
        others = tuple(each for each in reactions.pop(name, ()) if each != user.id)
        users = others if remove else (*others, user.id)
        after = replace(message, reactions=(*reactions.items(), *([(name, users)] if users else [])))
        self.workspace.put(after)
        event: Json = {
            "type": "reaction_removed" if remove else "reaction_added",
            "user": user.id,
            "reaction": name,
            "item": {"type": "message", "channel": message.channel, "ts": message.ts},
            "item_user": message.user,
            "event_ts": self.workspace.new_ts(),
        }
        if self.workspace.bot.id in self.workspace.channel(message.channel).members:
            self.emit(event["type"], event, about=(message.channel, message.ts))
        self.changes.tell()
        return after

    def emit(self, subscription: str, event: Json, *, about: tuple[str, str] = ("", "")) -> Delivery | None:
        scope = _EVENT_SCOPES.get(subscription)
        if subscription not in self.subscriptions or (scope and scope not in self.scopes):
            return None
        event_id = self.workspace.new_id("Ev")
        context = f"4-{secrets.token_hex(8)}"
        payload = event_callback(self.workspace, event, event_id, context)
        return self.deliveries.begin("events_api", payload, about=about)

    def permalink(self, message: Message) -> str:
        workspace = self.workspace
        url = f"https://{workspace.domain}.slack.com/archives/{message.channel}/p{message.ts.replace('.', '')}"
        return f"{url}?thread_ts={message.thread_ts}&cid={message.channel}" if message.thread_ts else url

    def named(self, blocks: Iterable[Json]) -> tuple[Json, ...]:
        """Blocks as Slack keeps them: each with a block_id, each that can be used with an action_id."""
        return tuple({**_with_actions(block), "block_id": block.get("block_id") or _short_id()} for block in blocks)

    def posting_wait_seconds(self, channel: str) -> int:
        """0: a message may go now, and counts. A bucket per channel that holds `posts_burst`."""
        if self.posts_per_second is None:
            return 0
        now = self.clock()
        left, at = self._buckets.get(channel, (float(self.posts_burst), now))
        left = min(float(self.posts_burst), left + (now - at) * self.posts_per_second)
        if left >= 1:
            self._buckets[channel] = (left - 1, now)
            return 0
        self._buckets[channel] = (left, now)
        return max(1, math.ceil((1 - left) / self.posts_per_second))

    # Sessions

    def set_session(self, channel: str, thread: str, status: str, title: str = "", *, rename: bool = False) -> Session:
        """The title of a session that exists stays, unless it is renamed."""
        before = self.sessions.get((channel, thread))
        session = Session(channel, thread, status, before.title if before and not rename else title)
        self.sessions[channel, thread] = session
        self.statuses.append(session)
        self.changes.tell()
        return session

    def set_typing(self, channel: str, thread: str, status: str) -> None:
        latest = self.typing_in(channel, thread)
        if latest != status:
            self.statuses.append(Session(channel, thread, status, typing=True))
            self.changes.tell()

    def typing_in(self, channel: str, thread: str) -> str:
        """What stands under the thread now ("is thinking…"), or nothing."""
        mine = [each for each in self.statuses if each.typing and (each.channel, each.thread) == (channel, thread)]
        return mine[-1].status if mine else ""

    # Views, and what answers an interaction

    def put_view(self, view: View) -> None:
        self.all_views[view.id] = view
        self.changes.tell()

    def view_stack(self, view: View) -> list[View]:
        """The open modals of one person, one over the other; the last is the one that is seen."""
        return [each for each in self.all_views.values() if each.is_open and each.root_id == view.root_id]

    def home_of(self, user: User | str) -> View | None:
        person = self.workspace.user(user).id
        homes = [view for view in self.all_views.values() if view.content["type"] == "home" and view.user == person]
        return homes[-1] if homes else None

    def new_trigger(self, user: User, view_id: str | None = None) -> str:
        trigger_id = f"{self.workspace.new_id('')}.{secrets.randbelow(10**10)}.{secrets.token_hex(16)}"
        self.triggers[trigger_id] = Trigger(user.id, self.clock() + self.trigger_seconds, view_id)
        return trigger_id

    def new_response_url(self, user: User, channel: Channel, ts: str) -> str:
        key = f"{self.workspace.team_id}/{self.workspace.new_id('')}/{secrets.token_hex(12)}"
        self.response_urls[key] = ResponseUrl(user.id, channel.id, ts, self.clock() + RESPONSE_URL_SECONDS)
        return f"{self.workspace.base_url}/actions/{key}"


def elements_of(blocks: Sequence[Json]) -> list[tuple[Json, Json]]:
    """Everything that can be used, with the block it is in."""
    found: list[tuple[Json, Json]] = []
    for block in blocks:
        inside: list[Any] = [*_listed(block.get("elements")), block.get("accessory"), block.get("element")]
        for element in inside:
            if isinstance(element, dict) and element.get("type") in limits.INTERACTIVE:
                found.append((block, element))
                buttons = (element.get("positive_button"), element.get("negative_button"))
                found += [(block, {**element, **button, "type": element["type"]}) for button in buttons if button]
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _short_id() -> str:
    return secrets.token_urlsafe(4)


def _with_actions(block: Json) -> Json:
    def named(element: Any) -> Any:
        if not isinstance(element, dict) or element.get("type") not in limits.INTERACTIVE:
            return element
        return {**element, "action_id": element.get("action_id") or _short_id()}

    changed = dict(block)
    if isinstance(block.get("elements"), list):
        changed["elements"] = [named(element) for element in block["elements"]]
    changed |= {key: named(block[key]) for key in ("accessory", "element") if key in block}
    return changed
