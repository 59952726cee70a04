"""Events: what is written today is read for good, and nothing that is read can stop the program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from store.codec import EVENT_BYTES_MAX, EventTooLarge, as_read, decode, decode_all, encode
from store.events import KINDS, Event, MessageReceived, StepChosen, ToolStarted, UnknownEvent
from store.recorded import Recorded
from store.thread import Thread
from store.values import Attachment, Person, Usage
from tests import PAYLOADS
from tests.telling.story import AT, done, finished, message, started
from tests.telling.strategies import events_of, json_values

RECORDED = (PAYLOADS / "log-v1.jsonl").read_bytes().splitlines()
"""A log as version 1 wrote it. It is never edited: whoever has to change it has broken every log out there."""


# There and back


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_every_event_reads_back_as_it_was_written(kind: str, data: st.DataObject) -> None:
    event = data.draw(events_of(KINDS[kind]))
    line = encode(event)
    assert decode(line) == event
    assert encode(decode(line)) == line
    assert as_read(event, line) == event
    assert b"\n" not in line


def kinds_below(cls: type[Recorded]) -> Iterator[type[Recorded]]:
    """The classes that stand in a log: what they have in common does not."""
    for kind in cls.__subclasses__():
        yield from kinds_below(kind) if kind.__subclasses__() else (kind,)


def test_every_kind_of_event_can_be_read() -> None:
    assert set(KINDS.values()) == set(kinds_below(Recorded)) - {UnknownEvent}


def test_a_line_begins_with_its_version_and_kind_and_leaves_defaults_out() -> None:
    assert encode(started("s1")) == (
        b'{"v":1,"kind":"tool_started","id":"s1/started/1","at":"2026-11-20T09:00:00Z","step":"s1","attempt":1}'
    )


def test_an_event_cannot_be_changed() -> None:
    event = message()
    with pytest.raises(ValidationError):
        event.text = "deploy v4"  # type: ignore[misc]


@pytest.mark.parametrize("event_id", ["", "x" * 513])
def test_an_id_is_neither_empty_nor_endless(event_id: str) -> None:
    with pytest.raises(ValidationError):
        message(event_id)


def test_a_time_without_a_zone_is_no_time() -> None:
    with pytest.raises(ValidationError):
        ToolStarted(id="s1/started/1", at=AT.replace(tzinfo=None), step="s1", attempt=1)


# Old logs


def test_the_recorded_log_of_version_1_still_loads() -> None:
    events = [decode(line) for line in RECORDED]
    assert [type(event).__name__ for event in events if isinstance(event, UnknownEvent)] == []
    assert [encode(event) for event in events] == RECORDED
    assert {event.kind for event in events} >= {
        "thread_opened",
        "thread_forked",
        "message_received",
        "trigger_received",
        "step_chosen",
        "choice_failed",
        "approval_requested",
        "approval_decided",
        "tool_started",
        "tool_waiting",
        "tool_finished",
        "tool_interrupted",
        "step_refused",
        "timer_fired",
        "message_sent",
        "message_failed",
        "agent_changed",
        "handed_to_human",
        "thread_paused",
        "thread_resumed",
        "thread_cancelled",
    }


def test_the_recorded_log_of_version_1_still_means_what_it_meant() -> None:
    thread = Thread("t1").extended(map(decode, RECORDED))
    assert {step.id: step.status for step in thread.state.steps.values()} == {
        "s2": "complete",
        "s5": "superseded",
        "s8": "finished",
        "s18": "failed",
        "s26": "refused",
        "s28": "rejected",
        "s33": "interrupted",
        "s36": "complete",
        "s40": "complete",
        "s48": "finished",
    }
    assert (thread.agent, thread.place.address, thread.status) == ("verify", "C02/1763629200.000100", "cancelled")
    assert list(thread.state.outbox) == ["cancel/1/notice"]


DEFAULTS_OF_VERSION_1 = {
    "message_received.subject": "",
    "message_received.attachments": (),
    "message_received.answers": "",
    "message_received.clipped_from": 0,
    "message_received.quoted": "",
    "message_received.origin": {},
    "trigger_received.data": {},
    "step_chosen.arguments": {},
    "step_chosen.by": "model",
    "step_chosen.acts": False,
    "step_chosen.model": "",
    "step_chosen.usage": None,
    "choice_failed.error": "",
    "choice_failed.retry_at": None,
    "choice_failed.model": "",
    "choice_failed.usage": None,
    "approval_requested.facts": {},
    "approval_requested.policy": {},
    "approval_decided.comment": "",
    "approval_decided.proof": "",
    "approval_decided.by_message": False,
    "tool_started.repeatable": False,
    "tool_waiting.note": "",
    "tool_finished.result": None,
    "tool_finished.error": "",
    "message_sent.receipt": "",
    "message_failed.retry_at": None,
    "agent_changed.reason": "",
    "thread_cancelled.reason": "",
    "Person.address": "",
    "Person.trust": "unverified",
    "Attachment.media_type": "",
    "Attachment.size_bytes": 0,
    "Usage.input_tokens": 0,
    "Usage.output_tokens": 0,
    "Usage.cached_tokens": 0,
}


def test_what_a_log_leaves_out_means_what_it_meant_when_it_was_written() -> None:
    # Defaults are not written, so a changed default changes the past: who was trusted, what may be repeated.
    models = {**KINDS, **{cls.__name__: cls for cls in (Person, Attachment, Usage)}}
    defaults = {
        f"{owner}.{name}": field.default for owner, cls in models.items() for name, field in cls.model_fields.items()
    }
    assert {name: defaults[name] for name in DEFAULTS_OF_VERSION_1} == DEFAULTS_OF_VERSION_1


# Newer logs


def test_fields_of_a_newer_version_are_kept_on_re_encoding() -> None:
    line = (
        b'{"v":1,"kind":"message_received","id":"m1","at":"2026-11-20T09:00:00Z",'
        b'"sender":{"name":"Ann","pronouns":"she"},"text":"hi","reactions":[{"eyes":2}]}'
    )
    event = decode(line)
    assert isinstance(event, MessageReceived)
    assert encode(event) == line


def test_an_unknown_kind_is_kept_as_it_came() -> None:
    line = b'{"v": 1, "kind": "thread_merged", "id": "merge/1", "at": "2026-11-20T09:00:00Z", "into": "t2"}'
    event = decode(line)
    assert event == UnknownEvent(kind="thread_merged", id="merge/1", at=AT, raw=json.loads(line))
    assert encode(event) == line


@pytest.mark.parametrize("more", [b'"seen":2', b'"edits":"s1","holds":true'])
def test_what_was_written_before_it_needed_a_newer_reader_stays_as_it_is(more: bytes) -> None:
    line = b'{"v":1,"kind":"step_chosen","id":"s4/chosen","at":"2026-11-20T09:00:00Z","step":"s4","intent":"push",%b}'
    event = decode(line % more)
    assert isinstance(event, StepChosen)
    assert encode(event) == line % more


def test_an_event_of_a_newer_schema_is_not_read_half() -> None:
    newer = json.loads(encode(done("s1"))) | {"v": 3}
    event = decode(json.dumps(newer).encode())
    assert isinstance(event, UnknownEvent)
    assert (event.kind, event.id, event.at, event.v, event.raw) == ("step_chosen", "s1/chosen", AT, 3, newer)


@pytest.mark.parametrize(
    "odd",
    [
        json.dumps(json.loads(encode(done("s1"))) | {"v": 3}).encode(),
        encode(started("s1")) + b"," + encode(finished("s1")),
        encode(started("s1"))[:-1],
        b"",
    ],
    ids=["of a newer schema", "two in one line", "half of one", "nothing"],
)
def test_a_whole_log_says_what_its_lines_say(odd: bytes) -> None:
    lines = [encode(message()), odd, encode(done("s2"))]
    assert decode_all(lines) == tuple(decode(line) for line in lines)
    assert [type(event) for event in decode_all(lines)] == [MessageReceived, UnknownEvent, StepChosen]


# Broken logs

BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "half a line": encode(message())[:50],
    "no JSON": b"deploy v3, please",
    "binary": bytes(range(256)),
    "another encoding": '{"kind":"message_received"}'.encode("utf-16"),
    "not an object": b"[1, 2, 3]",
    "null": b"null",
    "not a number": b"NaN",
    "a field is missing": b'{"v":1,"kind":"tool_started","id":"a","at":"2026-11-20T09:00:00Z","step":"s1"}',
    "a field is wrong": encode(started("s1")).replace(b'"attempt":1', b'"attempt":"many"'),
    "an id is empty": encode(message()).replace(b'"m1"', b'""'),
    "an id is no string": b'{"kind":"thread_merged","id":{"a":1},"at":"2026-11-20T09:00:00Z"}',
    "a time is no time": b'{"kind":"thread_merged","id":"a","at":"yesterday"}',
    "a time has no zone": b'{"kind":"thread_merged","id":"a","at":"2026-11-20T09:00:00"}',
    "a version is no number": b'{"kind":"thread_merged","id":"a","v":"two"}',
    "an endless number": b'{"kind":"thread_merged","id":"a","v":' + b"9" * 10_000 + b"}",
    "a half surrogate": b'{"kind":"message_\\ud800","id":"\\udfff"}',
    "nested deeper than models are read": b'{"kind":"thread_merged","id":"a","x":' + b"[" * 500 + b"]" * 500 + b"}",
    "nested deeper than Python can": b"[" * 100_000 + b"]" * 100_000,
}


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_line_is_shown_and_stops_nothing(line: bytes) -> None:
    event = decode(line)
    assert isinstance(event, UnknownEvent)
    assert isinstance(decode(encode(event)), UnknownEvent)
    assert Thread("t1").extended([event]).status == "unreadable"


@pytest.mark.parametrize("length", [511, 512, 513])
def test_an_unreadable_event_keeps_as_much_of_its_id_as_an_id_may_have(length: int) -> None:
    name = "x" * length
    assert decode(b'{"kind":"thread_merged","id":"%b"}' % name.encode()).id == name[:512]


@given(st.binary())
def test_no_bytes_raise(line: bytes) -> None:
    decode(line)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(["kind", "id", "at", "v", "step", "sender"], json_values)),
    st.sampled_from([*KINDS, None]),
)
def test_no_json_raises_and_what_cannot_be_read_is_kept_whole(fields: dict[str, Any], kind: str | None) -> None:
    raw = fields | {"kind": kind} if kind else fields
    event = decode(json.dumps(raw).encode())
    if isinstance(event, UnknownEvent):
        assert event.raw == raw
        assert json.loads(encode(event)) == raw


# What cannot be written


@pytest.mark.parametrize(
    "event",
    [
        message(text="\ud83d, \ude00 and 😀"),
        message(text="null"),
        message("<caf\udce9@example.com>"),
        finished("s1", result=[1.0, 10**40, -0.0, float("nan"), float("inf")]),
        decode(b'{"v":9,"kind":"timer_fired","id":"f","at":"2026-11-20T09:00:00Z"}'),
    ],
)
def test_an_event_is_known_as_it_will_be_read_before_it_is_read(event: Event) -> None:
    assert as_read(event, encode(event)) == decode(encode(event))


def test_half_surrogates_become_replacement_characters() -> None:
    event = message(text="\ud83d, \ude00 and 😀")
    assert decode(encode(event)) == message(text="\ufffd, \ufffd and 😀")


def test_half_surrogates_are_found_however_deep_they_are() -> None:
    event = StepChosen(id="s1", at=AT, step="s1", intent="push", arguments={"tags\ud800": [{"v3": ["\udfff", 1]}]})
    decoded = decode(encode(event))
    assert isinstance(decoded, StepChosen)
    assert decoded.arguments == {"tags\ufffd": [{"v3": ["\ufffd", 1]}]}


def test_an_id_with_a_half_surrogate_is_the_same_id_in_memory_and_in_the_log() -> None:
    # As Python's mail parser makes them of a Message-ID that is not ASCII.
    event = message("<caf\udce9@example.com>")
    assert event.id == decode(encode(event)).id == "<caf\ufffd@example.com>"


def test_an_event_may_have_exactly_the_largest_size() -> None:
    room = EVENT_BYTES_MAX - len(encode(finished("s1", result="")))
    assert len(encode(finished("s1", result="x" * room))) == EVENT_BYTES_MAX
    with pytest.raises(EventTooLarge, match=r"'s1/finished' takes 256,001 bytes; the limit is 256,000"):
        encode(finished("s1", result="x" * (room + 1)))


def test_the_limit_is_in_bytes_not_characters() -> None:
    with pytest.raises(EventTooLarge):
        encode(finished("s1", result="😀" * (EVENT_BYTES_MAX // 4)))


def _nested(levels: int) -> JsonValue:
    value: JsonValue = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [1, 149, 150, 199])
def test_nested_values_read_back(levels: int) -> None:
    event = finished("s1", result=_nested(levels))
    assert decode(encode(event)) == event


@pytest.mark.parametrize("levels", [200, 253, 254])
def test_what_could_be_written_but_not_read_again_is_refused(levels: int) -> None:
    # An event that cannot be read stops its thread for good.
    with pytest.raises(EventTooLarge, match=r"^The event 's1/finished' .*\.$"):
        encode(finished("s1", result=_nested(levels)))


def test_a_text_full_of_brackets_is_only_a_text() -> None:
    event = message(text="[{" * 1_000)
    assert decode(encode(event)) == event
