"""Events as lines of JSON, and back.

Only this module knows the format of the log. A line that it cannot read becomes an `UnknownEvent` that holds the raw
JSON, so nothing written by a newer version is lost. It does no I/O and never executes what it reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from store.events import Event, KnownEvent, UnknownEvent
from store.failures import Explained
from store.recorded import SCHEMA_VERSION
from store.text import without_half_surrogates

EVENT_BYTES_MAX = 256_000
"""Every store refuses a larger event."""


_NESTING_SUSPECT = 150
"""pydantic reads at most 200 levels. An event with this many brackets is decoded once before it is written."""

_Known = Annotated[KnownEvent, Field(discriminator="kind")]
_AT_FIRST_USE = ConfigDict(defer_build=True)
_adapter: TypeAdapter[KnownEvent] = TypeAdapter(_Known, config=_AT_FIRST_USE)
_adapter_of_many: TypeAdapter[tuple[KnownEvent, ...]] = TypeAdapter(tuple[_Known, ...], config=_AT_FIRST_USE)
_json: TypeAdapter[JsonValue] = TypeAdapter(JsonValue, config=_AT_FIRST_USE)
_REPLACED = "\ufffd".encode()
_START_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class EventTooLarge(Explained, ValueError):
    """The event's JSON is longer than EVENT_BYTES_MAX, or nested too deeply to be decoded again."""


def encode(event: Event) -> bytes:
    """One line of JSON. Fields with their default value are left out, except the kind and the version.

    Half surrogate pairs, which UTF-8 cannot encode, become U+FFFD. Raises EventTooLarge.
    """
    global _last
    event_before, line = _last
    if event is not event_before:  # Whoever looks at the size of an event appends it next.
        line = _encoded(event)
        _last = event, line
    return line


_last: tuple[Event | None, bytes] = None, b""


def _encoded(event: Event) -> bytes:
    if isinstance(event, UnknownEvent):
        return json.dumps(event.raw).encode()
    try:
        body = event.model_dump_json(exclude_defaults=True, exclude={"kind", "v"})
    except ValueError:
        try:
            event = type(event).model_validate(_storable(event.model_dump()))
            body = event.model_dump_json(exclude_defaults=True, exclude={"kind", "v"})
        except ValueError as error:
            raise EventTooLarge(f"The event {event.id!r} is nested too deeply to be encoded.") from error
    data = f'{{"v":{event.v},"kind":"{event.kind}",{body[1:]}'.encode()
    if len(data) > EVENT_BYTES_MAX:
        raise EventTooLarge(f"The event {event.id!r} takes {len(data):,} bytes; the limit is {EVENT_BYTES_MAX:,}.")
    # An event that cannot be decoded would block its thread for good.
    if data.count(b"[") + data.count(b"{") >= _NESTING_SUSPECT and isinstance(decode(data), UnknownEvent):
        raise EventTooLarge(f"The event {event.id!r} is nested too deeply to be decoded again.")
    return data


def _storable(value: Any) -> Any:
    match value:
        case str():
            return without_half_surrogates(value)
        case dict():
            return {_storable(k): _storable(v) for k, v in value.items()}
        case list() | tuple():
            return [_storable(item) for item in value]
        case _:
            return value


def decode(data: bytes) -> Event:
    """The event in one line of JSON; an `UnknownEvent` if this version cannot read it. Never raises."""
    try:
        event = _adapter.validate_json(data)
    except ValidationError:
        return _unknown_event(data)
    return event if event.v <= SCHEMA_VERSION else _unknown_event(data)


def as_read(event: Event, line: bytes) -> Event:
    """What `decode` gives for the line that `encode` gave for the event: nearly always the event itself. Never raises.

    Only what JSON cannot hold is read as something else: infinite numbers as null, half surrogates as U+FFFD.
    """
    is_itself = event.v <= SCHEMA_VERSION and b"null" not in line and _REPLACED not in line
    return event if is_itself and not isinstance(event, UnknownEvent) else decode(line)


def decode_all(lines: Sequence[bytes]) -> tuple[Event, ...]:
    """`decode` for many lines, in two thirds of the time. Never raises."""
    try:
        events = _adapter_of_many.validate_json(b"[" + b",".join(lines) + b"]")
    except ValidationError:
        return tuple(decode(line) for line in lines)
    if len(events) != len(lines) or any(event.v > SCHEMA_VERSION for event in events):
        return tuple(decode(line) for line in lines)
    return events


def _unknown_event(data: bytes) -> UnknownEvent:
    try:
        raw: Any = _json.validate_python(json.loads(data))
    except (ValueError, RecursionError):
        raw = data.decode(errors="replace")
    fields = raw if isinstance(raw, dict) else {}
    try:
        at = datetime.fromisoformat(str(fields.get("at")))
    except ValueError:
        at = _START_OF_TIME
    return UnknownEvent(
        kind=str(fields.get("kind") or "unreadable"),
        id=str(fields.get("id") or f"unreadable/{hashlib.blake2b(data, digest_size=8).hexdigest()}")[:512],
        at=at if at.tzinfo else at.replace(tzinfo=UTC),
        v=fields["v"] if isinstance(fields.get("v"), int) else 1,
        raw=raw,
    )
