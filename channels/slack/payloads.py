"""How a message that has arrived is kept in the log: all that was parsed of it, but the text. Pure.

What Slack sent is not kept: it may be large, and its parser would have to read old logs for ever.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pydantic import JsonValue, TypeAdapter

from channels.slack.events import Deleted, Edited, Posted

Heard = Posted | Edited | Deleted

_POSTED, _EDITED, _DELETED = TypeAdapter(Posted), TypeAdapter(Edited), TypeAdapter(Deleted)


def payload_of(message: Heard) -> Mapping[str, JsonValue]:
    match message:
        case Deleted():
            return {"deleted": _DELETED.dump_python(message, mode="json")}
        case Edited():
            return {"edited": _EDITED.dump_python(dataclasses.replace(message, text="", posted=None), mode="json")}
        case Posted():
            return {"posted": _POSTED.dump_python(dataclasses.replace(message, text=""), mode="json")}


def message_in(payload: Mapping[str, JsonValue], text: str) -> Heard:
    """Raises KeyError, pydantic.ValidationError: no version of this program wrote it."""
    if "deleted" in payload:
        return _DELETED.validate_python(payload["deleted"])
    if "edited" in payload:
        return dataclasses.replace(_EDITED.validate_python(payload["edited"]), text=text)
    return dataclasses.replace(_POSTED.validate_python(payload["posted"]), text=text)
