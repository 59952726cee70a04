"""Keys of the log: what is written is read back, and nobody's id passes for one of ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import keys
from store.codec import decode
from store.events import Event, MessageReceived, TriggerReceived
from store.keys import EventId, MessageKey, MessagePart, OutsideId, SendKey, TimerKey, TimerKind
from tests import PAYLOADS
from tests.benchmarks.threads import recorded
from tests.telling.keys import assert_reads_back

RECORDED = (PAYLOADS / "log-v1.jsonl").read_bytes().splitlines()
BEFORE_IDS_FROM_OUTSIDE_WERE_MARKED = {"Ev01", "Ev02", "Ev09", "<m3@example.com>", "hook/42"}

STEPS = st.from_regex(r"s\d{1,4}(q|e[0-9a-f]{12})?", fullmatch=True)
OUTSIDE = st.builds(OutsideId, st.sampled_from(["slack", "email", "cron"]), st.text(max_size=40))
ABOUT = (
    STEPS | OUTSIDE.map(str) | st.sampled_from(["h12/handed", "cancel/2f", "s4/refused", "s4/decided/no/verified/U1"])
)
NUMBERED = ("votes", "reminder", "ended", "tasks")


@st.composite
def message_keys(draw: st.DrawFn) -> MessageKey:
    part = draw(st.sampled_from([part for part in get_args(MessagePart) if part != "undelivered"]))
    number = draw(st.sampled_from(["remind", "widen", "0", "17"])) if part in NUMBERED else ""
    return MessageKey(draw(ABOUT), part, number, draw(st.integers(0, 30)))


@given(message_keys())
def test_the_key_of_a_message_is_read_back(key: MessageKey) -> None:
    assert MessageKey.parse(str(key)) == key


@given(message_keys())
def test_the_key_of_what_did_not_arrive_names_the_key_that_it_had(key: MessageKey) -> None:
    lost = MessageKey(str(key), "undelivered")
    assert MessageKey.parse(str(lost)) == lost


@given(st.sampled_from(get_args(TimerKind)), ABOUT, message_keys(), st.integers(0, 100))
def test_the_key_of_a_timer_is_read_back(kind: TimerKind, about: str, message: MessageKey, number: int) -> None:
    key = TimerKey(kind, {"choice": "", "send": str(message)}.get(kind, about), number)
    assert TimerKey.parse(str(key)) == key


@given(st.text(max_size=40), message_keys(), st.sampled_from(["", "ana@example.com"]))
def test_the_key_of_a_sent_message_is_read_back(thread: str, message: MessageKey, recipient: str) -> None:
    thread_id = "t" + thread.encode().hex()
    key = SendKey(thread_id, str(message).replace(" ", ""), recipient)
    assert SendKey.parse(str(key)) == key


TEXTS = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=40)
NUMBERS = st.integers(0, 100)
MESSAGES = message_keys().map(str)
TIMERS = (
    st.builds(TimerKey, st.just("send"), MESSAGES, NUMBERS)
    | st.builds(TimerKey, st.sampled_from(["wait", "remind", "expire"]), STEPS, NUMBERS)
    | st.builds(TimerKey, st.just("choice"), number=NUMBERS)
).map(str)
EVENT_IDS: dict[Callable[..., str], tuple[str, st.SearchStrategy[str]]] = {
    keys.chosen: ("chosen", st.builds(keys.chosen, STEPS)),
    keys.requested: ("requested", st.builds(keys.requested, STEPS)),
    keys.decided: (
        "decided",
        st.builds(
            keys.decided,
            STEPS,
            approved=st.booleans(),
            trust=st.sampled_from(["verified", "unverified"]),
            who=st.text(min_size=1, max_size=300),
            may=st.text(max_size=9),
        ),
    ),
    keys.decided_by_standing_approval: ("decided", st.builds(keys.decided_by_standing_approval, STEPS)),
    keys.answered: ("answered", st.builds(keys.answered, STEPS, TEXTS)),
    keys.started: ("started", st.builds(keys.started, STEPS, NUMBERS)),
    keys.not_begun: ("notbegun", st.builds(keys.not_begun, STEPS, NUMBERS)),
    keys.waiting: ("waiting", st.builds(keys.waiting, STEPS, NUMBERS)),
    keys.finished: ("finished", st.builds(keys.finished, STEPS)),
    keys.interrupted: ("interrupted", st.builds(keys.interrupted, STEPS)),
    keys.refused: ("refused", st.builds(keys.refused, STEPS)),
    keys.agent_changed: ("agent", st.builds(keys.agent_changed, STEPS)),
    keys.handed_over: ("handed", st.builds(keys.handed_over, NUMBERS)),
    keys.handed_over_after_cut: ("cut", st.builds(keys.handed_over_after_cut, st.just("20261127T040000Z"))),
    keys.events_lost: ("lost", st.builds(keys.events_lost, st.lists(STEPS))),
    keys.unserved: ("unserved", st.builds(keys.unserved, NUMBERS)),
    keys.choice_failed: ("failed", st.builds(keys.choice_failed, NUMBERS)),
    keys.choice_outdated: ("outdated", st.builds(keys.choice_outdated, NUMBERS)),
    keys.fired: ("fired", st.builds(keys.fired, TIMERS)),
    keys.sent: ("sent", st.builds(keys.sent, MESSAGES)),
    keys.failed: ("failed", st.builds(keys.failed, MESSAGES, NUMBERS)),
    keys.came_back: ("refused", st.builds(keys.came_back, MESSAGES, NUMBERS)),
    keys.edited: ("edited", st.builds(keys.edited, OUTSIDE.map(str), TEXTS)),
    keys.deleted: ("deleted", st.builds(keys.deleted, OUTSIDE.map(str))),
    keys.forked: ("fork", st.builds(keys.forked, st.just("tabc"), NUMBERS)),
    keys.revoked: ("revoked", st.builds(keys.revoked, st.just("g1f2e3d4c"))),
    keys.used: ("used", st.builds(keys.used, st.just("g1f2e3d4c"), st.just("tabc"), STEPS)),
    keys.new: ("cancel", st.builds(keys.new, st.just("cancel"))),
}
OF_NO_EVENT = {
    *(keys.thread_id_of, keys.step_at, keys.question_about, keys.edit_of, keys.call),
    *(keys.short, keys.short_hash, keys.is_of_a_turn),
}


def test_no_writer_of_an_id_is_left_out() -> None:
    writers = {one for _, one in inspect.getmembers(keys, inspect.isfunction) if one.__module__ == keys.__name__}
    assert writers == EVENT_IDS.keys() | OF_NO_EVENT


@pytest.mark.parametrize("writer", EVENT_IDS, ids=lambda writer: writer.__name__)
@given(data=st.data())
def test_the_id_of_an_event_is_read_back(data: st.DataObject, writer: Callable[..., str]) -> None:
    name, texts = EVENT_IDS[writer]
    text = data.draw(texts)
    found = EventId.parse(text)
    assert found
    assert (found.name, str(found)) == (name, text)


@pytest.mark.parametrize("kind", ["m", "pause", "resume", "cancel"])
def test_the_id_of_what_a_person_does_is_read_back(kind: str) -> None:
    found = EventId.parse(keys.new(kind))
    assert found
    assert (found.name, found.step) == (kind, "")


def test_the_first_event_of_a_thread_is_read_back() -> None:
    assert EventId.parse(keys.OPENED) == EventId("", "opened")


@given(STEPS, message_keys())
def test_the_id_of_an_event_names_its_step(step: str, message: MessageKey) -> None:
    of_this = replace(message, about=step)
    for text in (keys.finished(step), keys.sent(str(of_this)), keys.fired(str(TimerKey("send", str(of_this), 1)))):
        found = EventId.parse(text)
        assert found
        assert found.step == step
    for text in (keys.OPENED, keys.handed_over(9), keys.fired(str(TimerKey("choice", number=1)))):
        found = EventId.parse(text)
        assert found
        assert found.step == ""


@given(OUTSIDE)
def test_an_id_from_outside_is_none_of_ours(outside: OutsideId) -> None:
    assert EventId.parse(str(outside)) is None


@pytest.mark.parametrize("event", [decode(line) for line in RECORDED], ids=lambda event: event.id)
def test_every_key_in_the_oldest_log_is_read_back(event: Event) -> None:
    if event.id in BEFORE_IDS_FROM_OUTSIDE_WERE_MARKED:
        assert isinstance(event, MessageReceived | TriggerReceived)
        assert EventId.parse(event.id) is None
        assert OutsideId.parse(event.id) is None
    else:
        assert_reads_back(event)


async def test_every_key_in_the_recorded_threads_is_read_back() -> None:
    """Those of `tests.benchmarks`. What people do to a thread otherwise, `tests.stories.anybody` reads back."""
    events = [event for one in await recorded() for event in one.thread.events]
    assert len(events) > 1_000
    for event in events:
        assert_reads_back(event)


@given(OUTSIDE)
def test_an_id_from_outside_is_read_back(outside: OutsideId) -> None:
    found = OutsideId.parse(str(outside))
    assert found
    assert str(found) == str(outside)
    assert len(found.event_id) == 32 or found == outside


@given(st.text(max_size=60))
def test_nobody_gives_an_id_that_is_one_of_ours(text: str) -> None:
    outside = str(OutsideId("email", text))
    assert outside.count("/") == 2
    assert outside not in (keys.finished(text), keys.chosen(text), keys.OPENED)
    assert TimerKey.parse(outside) is None


def test_a_name_that_fits_stands_in_a_key_as_it_is() -> None:
    """Else what was answered before would count as another answer."""
    name = "n" * keys.ID_CHARS_MAX
    assert keys.short(name) == name
    assert keys.short(name + "n") != keys.short(name + "m")
    assert len(keys.short(name + "n")) < len(name)


def test_what_is_no_key_is_said_to_be_none() -> None:
    for text in ("", "s4", "s4/finished", "/say", "votes/3", "s4/say/3", "at/3"):
        assert MessageKey.parse(text) is None, text
    for text in ("", "s4/wait", "s4/wait/x", "choice", "s4/choice/1", "wait/1", "s4/started/1"):
        assert TimerKey.parse(text) is None, text


def test_the_letters_of_keys_stand() -> None:
    """Mails in people's boxes, buttons and logs hang on them."""
    assert str(MessageKey("s4", "card", surface=2)) == "s4/card/at/2"
    assert str(MessageKey("s4", "votes", "17", 2)) == "s4/votes/17/at/2"
    assert str(MessageKey("s4", "reminder", "widen")) == "s4/reminder/widen"
    assert str(MessageKey("h9/handed", "say")) == "h9/handed/say"
    assert str(TimerKey("send", "s4/card/at/2", 3)) == "s4/card/at/2/send/3"
    assert str(TimerKey("choice", number=3)) == "choice/3"
    assert str(TimerKey("expire", "s4")) == "s4/expire/0"
    assert str(SendKey("tabc", "s4/card", "ana@example.com")) == "tabc/s4/card ana@example.com"
    assert str(OutsideId("email", "a/b%c@example.com")) == "from/email/a%2Fb%25c@example.com"
    assert keys.decided("s4", approved=True, trust="verified", who="U1") == "s4/decided/yes/verified/U1"
    assert keys.question_about("s4") == "s4q"
    assert keys.edit_of("s4ea1", "x").startswith("s4e")
