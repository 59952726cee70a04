"""What Slack tells us, as plain data: pure functions from a payload to what a person did.

A payload is whatever came over the wire, so nothing is taken for granted: an unknown or broken shape is `Ignored`, with
the reason for the log, and never an exception. What does not concern us is ignored as well: bots (ourselves first),
joins and other notices, unfurls.

The shapes: https://docs.slack.dev/reference/events and https://docs.slack.dev/reference/interaction-payloads
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Payload = Mapping[Any, Any]

TALK = {"", "file_share", "thread_broadcast", "me_message"}
"""Subtypes of a message that are somebody's words."""
ARGUMENT = "argument:"
"""Begins the ids of a form's inputs that hold a call's arguments; their names follow."""


@dataclass(frozen=True, slots=True)
class Me:
    """Who we are in this workspace, as `auth.test` says."""

    team: str
    user: str
    bot: str = ""
    url: str = ""
    """Of the workspace, for links; ends with a slash."""


@dataclass(frozen=True, slots=True)
class File:
    id: str
    name: str
    media_type: str = ""
    size_bytes: int = 0
    url: str = ""
    """Answers to our token only."""


@dataclass(frozen=True, slots=True)
class Said:
    channel: str
    ts: str
    thread: str
    """The ts of the message that the thread hangs from; its own where it begins one."""
    user: str
    text: str
    """As Slack wrote it: see `channels.slack.text.unescaped`."""
    to_us: bool
    """We were mentioned, or it is a direct message."""
    direct: bool = False
    external: bool = False
    """From another organisation (Slack Connect): nobody here vouches for them."""
    files: tuple[File, ...] = ()
    parent: str = ""
    """Who wrote the message that the thread hangs from, where Slack says so and this is a reply."""


@dataclass(frozen=True, slots=True)
class Edited:
    channel: str
    ts: str
    thread: str
    text: str
    edit: str
    """The ts of the edit: there may be several."""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Deleted:
    channel: str
    ts: str
    thread: str
    parent: str = ""


@dataclass(frozen=True, slots=True)
class HomeOpened:
    user: str
    channel: str
    tab: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """Somebody pressed the stop button of an agent session."""

    channel: str
    thread: str
    user: str


@dataclass(frozen=True, slots=True)
class Ignored:
    why: str


Happened = Said | Edited | Deleted | HomeOpened | Stopped | Ignored


@dataclass(frozen=True, slots=True)
class Clicker:
    """Who clicked, where, and how to answer them alone."""

    user: str
    name: str
    external: bool
    channel: str = ""
    thread: str = ""


@dataclass(frozen=True, slots=True)
class Approve:
    by: Clicker
    thread_id: str
    step: str
    digest: str


@dataclass(frozen=True, slots=True)
class AskReason:
    """Reject was clicked: a modal asks why."""

    by: Clicker
    value: str
    """Goes through the modal, and comes back with `Reject`."""
    trigger: str
    """Good for 3 seconds."""


@dataclass(frozen=True, slots=True)
class Reject:
    by: Clicker
    thread_id: str
    step: str
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    by: Clicker
    thread_id: str
    step: str
    text: str = ""
    number: int | None = None
    """Of the choice, from 0, where its text did not fit into the button."""


@dataclass(frozen=True, slots=True)
class AskEdit:
    """Edit was clicked: a modal shows what may be changed."""

    by: Clicker
    thread_id: str
    step: str
    digest: str
    value: str
    """Goes through the modal, and comes back with `EditCall`."""
    trigger: str
    """Good for 3 seconds."""


@dataclass(frozen=True, slots=True)
class EditCall:
    by: Clicker
    thread_id: str
    step: str
    digest: str
    arguments: Mapping[str, str]
    """All that were in the form, by name."""
    before: Mapping[str, str]
    """What the form showed at first, likewise."""


Clicked = Approve | AskReason | Reject | Answer | AskEdit | EditCall | Ignored


def parse_event(body: Payload, me: Me) -> Happened:
    """The `event_callback` of the Events API; the same over HTTP and Socket Mode."""
    match body:
        case {"event": {"type": "message" | "app_mention" as kind, **event}}:
            return _message(kind, event, me)
        case {"event": {"type": "app_home_opened", "user": str(user), **event}}:
            return HomeOpened(user, _text(event, "channel"), _text(event, "tab") or "home")
        case {"event": {"type": "agent_session_stopped", **event}}:
            channel = _text(event, "channel") or _text(event, "channel_id")
            thread, user = _text(event, "thread_ts"), _text(event, "user") or _text(event, "user_id")
            return Stopped(channel, thread, user) if channel and thread and user else Ignored("a stop of no session")
        case {"event": {"type": str(kind)}}:
            return Ignored(f"event {kind[:60]}")
        case _:
            return Ignored("no event")


def _message(kind: str, event: Payload, me: Me) -> Happened:
    channel, ts = _text(event, "channel"), _text(event, "ts")
    subtype = _text(event, "subtype")
    if not channel or not ts:
        return Ignored("a message without a place")
    if subtype == "message_changed":
        return _changed(channel, event, me)
    if subtype == "message_deleted":
        return _deleted(channel, event, me)
    if subtype not in TALK:
        return Ignored(f"message {subtype[:60]}")
    user = _text(event, "user")
    if not user or _is_bot(event, me):
        return Ignored("a bot's message")
    text = _text(event, "text")
    direct = _text(event, "channel_type") == "im" or channel.startswith("D")
    return Said(
        channel=channel,
        ts=ts,
        thread=_text(event, "thread_ts") or ts,
        user=user,
        text=text,
        to_us=kind == "app_mention" or direct or f"<@{me.user}>" in text or f"<@{me.user}|" in text,
        direct=direct,
        external=_is_external(event, me),
        files=files_of(event),
        parent=_text(event, "parent_user_id"),
    )


def _changed(channel: str, event: Payload, me: Me) -> Happened:
    match event:
        case {"message": {"ts": str(ts), **message}}:
            previous = event.get("previous_message")
            before = _text(previous, "text") if isinstance(previous, Mapping) else None
            thread, parent = _text(message, "thread_ts") or ts, _text(message, "parent_user_id")
            if _text(message, "subtype") == "tombstone":
                return Deleted(channel, ts, thread, parent)
            if _is_bot(message, me):
                return Ignored("a bot's edit")
            text = _text(message, "text")
            if text == before:
                return Ignored("a change of something else than the text")  # an unfurl, a reply count
            return Edited(channel, ts, thread, text, _text(event, "ts"), parent)
        case _:
            return Ignored("a change of no message")


def _deleted(channel: str, event: Payload, me: Me) -> Happened:
    previous = event.get("previous_message")
    message: Payload = previous if isinstance(previous, Mapping) else {}
    ts = _text(event, "deleted_ts") or _text(message, "ts")
    if not ts or _is_bot(message, me):
        return Ignored("a deletion that is none of ours")
    return Deleted(channel, ts, _text(message, "thread_ts") or ts, _text(message, "parent_user_id"))


def parse_click(body: Payload, me: Me) -> Clicked:
    """`block_actions` and `view_submission`."""
    by = _clicker(body, me)
    if by is None:
        return Ignored("a click of nobody")
    match body:
        case {"type": "block_actions", "actions": [{"action_id": str(action), **rest}, *_]}:
            return _action(by, action, rest, _text(body, "trigger_id"))
        case {"type": "view_submission", "view": {"callback_id": "reject", "private_metadata": str(value), **view}}:
            return _rejected(by, value, view)
        case {"type": "view_submission", "view": {"callback_id": "edit", "private_metadata": str(value), **view}}:
            return _edited(by, value, view)
        case {"type": str(kind)}:
            return Ignored(f"interaction {kind[:60]}")
        case _:
            return Ignored("no interaction")


def _action(by: Clicker, action: str, rest: Payload, trigger: str) -> Clicked:
    value = _text(rest, "value")
    number: int | None = None
    match rest.get("selected_option"):
        case {"value": str(selected)}:
            # The option holds its number; what it answers stands in the block's id, as thread and step.
            number = int(selected) if selected.isdecimal() and len(selected) < 4 else None
            value = _value_of_block(_text(rest, "block_id"))
        case _:
            pass
    if action == "reject":
        return AskReason(by, value, trigger) if _fields(value) and trigger else Ignored("a rejection of nothing")
    fields = _fields(value)
    if fields is None:
        return Ignored(f"action {action[:60]}")
    thread_id, step = str(fields["t"]), str(fields["s"])
    if action == "approve" and fields.get("d"):
        return Approve(by, thread_id, step, str(fields["d"]))
    if action == "edit" and fields.get("d") and trigger:
        return AskEdit(by, thread_id, step, str(fields["d"]), value, trigger)
    if action == "answer" or action.startswith("answer:"):
        text = fields.get("a")
        number = fields["n"] if isinstance(fields.get("n"), int) else number
        if isinstance(text, str) or number is not None:
            return Answer(by, thread_id, step, text if isinstance(text, str) else "", number)
    return Ignored(f"action {action[:60]}")


def _value_of_block(block_id: str) -> str:
    thread_id, _, step = block_id.removesuffix("/answer").partition("/")
    return json.dumps({"t": thread_id, "s": step})


def _rejected(by: Clicker, value: str, view: Payload) -> Clicked:
    fields = _fields(value)
    if fields is None or not fields.get("d"):
        return Ignored("a rejection of nothing")
    reason = ""
    match view:
        case {"state": {"values": {"reason": {"text": {"value": str(text)}}}}}:
            reason = text
        case _:
            pass
    return Reject(_back_at(by, fields), str(fields["t"]), str(fields["s"]), str(fields["d"]), reason.strip())


def _edited(by: Clicker, value: str, view: Payload) -> Clicked:
    fields = _fields(value)
    if fields is None or not fields.get("d"):
        return Ignored("an edit of nothing")
    before: dict[str, str] = {}
    arguments: dict[str, str] = {}
    blocks, state = view.get("blocks"), view.get("state")
    for block in blocks if isinstance(blocks, list) else ():
        match block:
            case {"block_id": str(block_id), "element": Mapping() as element} if block_id.startswith(ARGUMENT):
                before[block_id.removeprefix(ARGUMENT)] = _text(element, "initial_value")
            case _:
                pass
    values = state.get("values") if isinstance(state, Mapping) else None
    for block_id, typed in values.items() if isinstance(values, Mapping) else ():
        name = block_id.removeprefix(ARGUMENT) if isinstance(block_id, str) else ""
        match typed:
            case {"text": {"value": str() | None as text}} if name in before:
                arguments[name] = text or ""
            case _:
                pass
    if not arguments:
        return Ignored("an edit of nothing")
    return EditCall(_back_at(by, fields), str(fields["t"]), str(fields["s"]), str(fields["d"]), arguments, before)


def _back_at(by: Clicker, fields: Mapping[str, Any]) -> Clicker:
    """Where the form came from: a submission does not say it."""
    return Clicker(by.user, by.name, by.external, str(fields.get("c", "")), str(fields.get("p", "")))


def _fields(value: str) -> dict[str, Any] | None:
    """What a button carries: `t`hread, `s`tep, `d`igest, or the `a`nswer."""
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not all(isinstance(fields.get(key), str) and fields[key] for key in "ts"):
        return None
    return fields


def _clicker(body: Payload, me: Me) -> Clicker | None:
    user = body.get("user") if isinstance(body, Mapping) else None
    if not isinstance(user, Mapping) or not _text(user, "id"):
        return None
    channel = thread = ""
    match body.get("container"):
        case {"channel_id": str(channel), **container}:
            # Not the message itself: nobody sees what is said to them alone in a thread that has no replies.
            thread = _text(container, "thread_ts")
        case _:
            pass
    team = _text(user, "team_id")
    name = _text(user, "name") or _text(user, "username") or _text(user, "id")
    return Clicker(_text(user, "id"), name, team != me.team, channel, thread)


def files_of(event: Payload) -> tuple[File, ...]:
    files = event.get("files")
    found = []
    for file in files if isinstance(files, list) else ():
        if isinstance(file, Mapping) and _text(file, "id"):
            size = file.get("size")
            found.append(
                File(
                    id=_text(file, "id"),
                    name=_text(file, "name") or _text(file, "title") or _text(file, "id"),
                    media_type=_text(file, "mimetype"),
                    size_bytes=size if isinstance(size, int) and size >= 0 else 0,
                    url=_text(file, "url_private_download") or _text(file, "url_private"),
                )
            )
    return tuple(found)


def _is_bot(event: Payload, me: Me) -> bool:
    return bool(_text(event, "bot_id") or event.get("bot_profile")) or _text(event, "user") in (me.user, "USLACKBOT")


def _is_external(event: Payload, me: Me) -> bool:
    named = [team for key in ("user_team", "source_team") if (team := _text(event, key))] or [_text(event, "team")]
    return any(team not in ("", me.team) for team in named)


def _text(data: Payload, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""
