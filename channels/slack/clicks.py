"""Parses the payloads of clicks and modal submissions. Pure.

Payloads are untrusted: an unknown or malformed one becomes `Ignored` with a reason for the log, never an exception.
`channels.slack.buttons` decodes a button's value. This module does not judge whether a click still counts.

The shapes: https://docs.slack.dev/reference/interaction-payloads
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from channels.slack.buttons import HELPFUL, UNHELPFUL, ButtonValue, chosen_in
from channels.slack.events import Ignored, Installation, Payload, text_in

ARGUMENT = "argument:"
"""Prefix of the block id of an input for an argument; the argument's name follows."""


@dataclass(frozen=True, slots=True)
class Clicker:
    """The person who clicked, and where to answer them in private."""

    user: str
    name: str
    external: bool
    channel: str = ""
    """Empty: they clicked in their App Home."""
    thread: str = ""
    click: str = ""
    """The id of the click or of the submission: the same for each redelivery."""

    @property
    def is_at_home(self) -> bool:
        return not self.channel


@dataclass(frozen=True, slots=True)
class Approve:
    by: Clicker
    thread_id: str
    step: str
    digest: str


@dataclass(frozen=True, slots=True)
class AskReason:
    """Reject was clicked: a modal asks for the reason."""

    by: Clicker
    value: ButtonValue
    """The modal carries it and brings it back with `Reject`."""
    trigger: str
    """Expires after 3 seconds."""


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
    """The index of the choice, if its text did not fit into the button."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Feedback on a message of the agent."""

    by: Clicker
    thread_id: str
    step: str
    helpful: bool
    ts: str
    """Tells several clicks apart: the last one counts."""


@dataclass(frozen=True, slots=True)
class AskAnswer:
    """A modal asks for the answer to a question, in words."""

    by: Clicker
    value: ButtonValue
    """The modal carries it and brings it back with `Answer`."""
    trigger: str


@dataclass(frozen=True, slots=True)
class AskEdit:
    """Edit was clicked: a modal shows the editable arguments."""

    by: Clicker
    thread_id: str
    step: str
    digest: str
    value: ButtonValue
    """The modal carries it and brings it back with `EditCall`."""
    trigger: str
    """Expires after 3 seconds."""


@dataclass(frozen=True, slots=True)
class EditCall:
    by: Clicker
    thread_id: str
    step: str
    digest: str
    arguments: Mapping[str, str]
    """All arguments in the form, by name."""
    before: Mapping[str, str]
    """Their initial values in the form."""

    @property
    def changed(self) -> Mapping[str, str]:
        return {name: text for name, text in self.arguments.items() if text != self.before.get(name)}


Clicked = Approve | AskReason | Reject | Answer | Rate | AskAnswer | AskEdit | EditCall | Ignored


def parse_click(body: Payload, me: Installation) -> Clicked:
    """Parses `block_actions` and `view_submission` payloads."""
    by = _clicker(body, me)
    if by is None:
        return Ignored("a click of nobody")
    match body:
        case {"type": "block_actions", "actions": [{"action_id": str(action), **rest}, *_]}:
            return _action(by, action, rest, text_in(body, "trigger_id"))
        case {"type": "view_submission", "view": {"callback_id": "reject", "private_metadata": str(value), **view}}:
            return _rejected(by, value, view)
        case {"type": "view_submission", "view": {"callback_id": "edit", "private_metadata": str(value), **view}}:
            return _edited(by, value, view)
        case {"type": "view_submission", "view": {"callback_id": "answer", "private_metadata": str(value), **view}}:
            return _answered(by, value, view)
        case {"type": str(kind)}:
            return Ignored(f"interaction {kind[:60]}")
        case _:
            return Ignored("no interaction")


def _action(by: Clicker, action: str, rest: Payload, trigger: str) -> Clicked:
    match rest.get("selected_option"):
        case {"value": str(selected)}:
            number = int(selected) if selected.isdecimal() and len(selected) < 4 else None
            value = chosen_in(text_in(rest, "block_id"), number)
        case _:
            value = ButtonValue.read(text_in(rest, "value"))
    if action == "reject":
        return AskReason(by, value, trigger) if value and trigger else Ignored("a rejection of nothing")
    if value is None:
        return Ignored(f"action {action[:60]}")
    if action == "approve" and value.digest:
        return Approve(by, value.thread_id, value.step, value.digest)
    if action == "edit" and value.digest and trigger:
        return AskEdit(by, value.thread_id, value.step, value.digest, value, trigger)
    if action == "feedback" and value.answer in (HELPFUL, UNHELPFUL):
        return Rate(by, value.thread_id, value.step, value.answer == HELPFUL, text_in(rest, "action_ts"))
    if action == "words" and trigger:
        return AskAnswer(by, value, trigger)
    answers = action == "answer" or action.startswith("answer:")
    if answers and (value.answer is not None or value.number is not None):
        return Answer(by, value.thread_id, value.step, value.answer or "", value.number)
    return Ignored(f"action {action[:60]}")


def _rejected(by: Clicker, text: str, view: Payload) -> Clicked:
    value = ButtonValue.read(text)
    if value is None or not value.digest:
        return Ignored("a rejection of nothing")
    return Reject(_back_at(by, value), value.thread_id, value.step, value.digest, _typed(view, "reason"))


def _answered(by: Clicker, text: str, view: Payload) -> Clicked:
    value = ButtonValue.read(text)
    typed = _typed(view, "answer")
    if value is None or not typed:
        return Ignored("an answer to nothing")
    return Answer(_back_at(by, value), value.thread_id, value.step, typed)


def _typed(view: Payload, block_id: str) -> str:
    """The text in the input of this block."""
    match view:
        case {"state": {"values": {**values}}}:
            match values.get(block_id):
                case {"text": {"value": str(typed)}}:
                    return typed.strip()
    return ""


def _edited(by: Clicker, text: str, view: Payload) -> Clicked:
    value = ButtonValue.read(text)
    if value is None or not value.digest:
        return Ignored("an edit of nothing")
    before: dict[str, str] = {}
    arguments: dict[str, str] = {}
    blocks, state = view.get("blocks"), view.get("state")
    for block in blocks if isinstance(blocks, list) else ():
        match block:
            case {"block_id": str(block_id), "element": Mapping() as element} if block_id.startswith(ARGUMENT):
                before[block_id.removeprefix(ARGUMENT)] = text_in(element, "initial_value")
            case _:
                pass
    values = state.get("values") if isinstance(state, Mapping) else None
    for block_id, typed in values.items() if isinstance(values, Mapping) else ():
        name = block_id.removeprefix(ARGUMENT) if isinstance(block_id, str) else ""
        match typed:
            case {"text": {"value": str() | None as said}} if name in before:
                arguments[name] = said or ""
            case _:
                pass
    if not arguments:
        return Ignored("an edit of nothing")
    return EditCall(_back_at(by, value), value.thread_id, value.step, value.digest, arguments, before)


def _back_at(by: Clicker, value: ButtonValue) -> Clicker:
    """The clicker with the place where the modal was opened, which a submission does not contain."""
    return replace(by, channel=value.channel or "", thread=value.thread or "")


def _clicker(body: Payload, me: Installation) -> Clicker | None:
    user = body.get("user") if isinstance(body, Mapping) else None
    if not isinstance(user, Mapping) or not text_in(user, "id"):
        return None
    channel = thread = ""
    match body.get("container"):
        case {"channel_id": str(channel), **container}:
            # Not the message's own ts: Slack does not show ephemeral messages in a thread without replies.
            thread = text_in(container, "thread_ts")
        case _:
            pass
    team = text_in(user, "team_id")
    name = text_in(user, "name") or text_in(user, "username") or text_in(user, "id")
    external = team not in (me.team, me.enterprise or me.team)
    return Clicker(text_in(user, "id"), name, external, channel, thread, _click_id(body))


def _click_id(body: Payload) -> str:
    match body:
        case {"actions": [{"action_ts": str(ts)}, *_]}:
            return ts
        case {"view": {"id": str(view), **rest}}:
            return f"{view}:{text_in(rest, 'hash')}"
        case _:
            return text_in(body, "trigger_id")
