"""Keys of the log: what is written is read back, and nobody's id passes for one of ours."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from store import keys
from store.keys import MessageKey, MessagePart, OutsideId, SendKey, TimerKey, TimerKind

STEPS = st.from_regex(r"s\d{1,4}(q|e[0-9a-f]{12})?", fullmatch=True)
OUTSIDE = st.builds(OutsideId, st.sampled_from(["slack", "email", "cron"]), st.text(max_size=40))
ABOUT = (
    STEPS | OUTSIDE.map(str) | st.sampled_from(["h12/handed", "cancel/2f", "s4/refused", "s4/decided/no/verified/U1"])
)
NUMBERED = ("votes", "reminder", "ended")


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
