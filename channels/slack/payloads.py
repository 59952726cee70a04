"""How a message or a click that has arrived is kept in the log: all that was parsed of it, but a message's text. Pure.

What Slack sent is not kept, because its parser would have to read old logs for ever; but for the message that somebody
asks about, which we may not be able to read again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue, TypeAdapter

from channels.inbound import Click
from channels.slack.clicks import Answer, Approve, Clicker, EditCall, Rate, Reject
from channels.slack.events import Deleted, Edited, Posted, Stopped
from channels.slack.judging import Act
from channels.slack.place import NAME
from channels.slack.shortcuts import AskedAbout
from store.arrivals import ClickAct

Heard = Posted | Edited | Deleted | AskedAbout

_POSTED, _EDITED, _DELETED = TypeAdapter(Posted), TypeAdapter(Edited), TypeAdapter(Deleted)
_ASKED = TypeAdapter(AskedAbout)


def payload_of(message: Heard) -> Mapping[str, JsonValue]:
    match message:
        case AskedAbout():
            return {"asked": _ASKED.dump_python(message, mode="json")}
        case Deleted():
            return {"deleted": _DELETED.dump_python(message, mode="json")}
        case Edited():
            return {"edited": _EDITED.dump_python(dataclasses.replace(message, text="", posted=None), mode="json")}
        case Posted():
            return {"posted": _POSTED.dump_python(dataclasses.replace(message, text=""), mode="json")}


def message_in(payload: Mapping[str, JsonValue], text: str) -> Heard:
    """Raises KeyError, pydantic.ValidationError: neither this version nor an older one wrote it."""
    if "asked" in payload:
        return _ASKED.validate_python(payload["asked"])
    if "deleted" in payload:
        return _DELETED.validate_python(payload["deleted"])
    if "edited" in payload:
        return dataclasses.replace(_EDITED.validate_python(payload["edited"]), text=text)
    return dataclasses.replace(_POSTED.validate_python(payload["posted"]), text=text)


_ACTS: Mapping[str, tuple[TypeAdapter[Any], type[Act], ClickAct]] = {
    "approve": (TypeAdapter(Approve), Approve, "decides"),
    "reject": (TypeAdapter(Reject), Reject, "decides"),
    "edit": (TypeAdapter(EditCall), EditCall, "edits"),
    "answer": (TypeAdapter(Answer), Answer, "answers"),
    "rate": (TypeAdapter(Rate), Rate, "rates"),
    "stop": (TypeAdapter(Stopped), Stopped, "stops"),
}


def click_of(act: Act) -> Click:
    """The click, to be appended as it arrived."""
    name, (adapter, _, kind) = next(item for item in _ACTS.items() if isinstance(act, item[1][1]))
    if isinstance(act, EditCall):
        act = dataclasses.replace(act, arguments=act.changed, before={})
    payload = {name: adapter.dump_python(act, mode="json")}
    if isinstance(act, Stopped):
        return Click(NAME, act.id, kind, payload, by=act.user, about="")
    return Click(NAME, f"{act.by.user}:{act.by.click}:{name}", kind, payload, by=act.by.user, about=act.step)


def act_in(payload: Mapping[str, JsonValue]) -> Act:
    """Raises as `message_in`."""
    name = next(iter(payload), "")
    act: Act = _ACTS[name][0].validate_python(payload[name])
    return act


def clicker_of(act: Act) -> Clicker:
    """Whom to tell, and where."""
    if isinstance(act, Stopped):
        return Clicker(act.user, act.user, external=False, channel=act.channel, thread=act.thread)
    return act.by
