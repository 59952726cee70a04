"""What people are told: each kind of message has its words, and one that is tried again says the same ones."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.speech.messages import outgoing
from channels.base import (
    Answered,
    Card,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminder,
    Settled,
    Text,
    Undelivered,
    Vote,
)
from store.events import Event, ToolWaiting
from store.outbox import Kind, Unsent
from store.thread import Thread
from store.values import Place
from tests.matrices import examples
from tests.telling.anything import ANYTHING, any_story
from tests.telling.story import (
    ANN,
    AT,
    BOB,
    LATER,
    approved,
    asked,
    cancelled,
    chosen,
    done,
    failed,
    finished,
    fired,
    handed_to_human,
    interrupted,
    message,
    not_sent,
    paused,
    refused,
    rejected,
    requested,
    sent,
    started,
    thread,
    waits,
)

ROOM = Place(channel="room", address="/C1/")
ASKED = (message(), chosen("s1", acts=True, target="prod"))
TWO_OF_RELEASE = requested("s1", "d1", group="release", quorum=2, then="leads", remind_at=LATER, asks=(ROOM,))
CARD = Card("s1", "d1", "push", {"target": "prod"}, {}, "Ann", AT, group="release", quorum=2)
BUTTONS = asked("s1").model_copy(update={"closes": True})


def shows(step: str = "s1") -> ToolWaiting:
    return waits(step).model_copy(update={"shown": True, "note": "deployment of backend"})


WAITS = (
    message(),
    chosen("s1", "slow"),
    started("s1"),
    shows(),
    sent("s1/progress").model_copy(update={"receipt": "p"}),
)
"""A step that takes long; people were shown that it is under way."""

REWRITES = (Card, Reminder, Settled, Answered, Progress)
"""What may take the place of a message that is out, or stand under it."""

EACH: dict[Kind, tuple[tuple[Event, ...], Outgoing]] = {
    "words": ((message(), done("s1")), Text("It is out.")),
    "question": ((message(), asked("s1")), Question("s1", "Which tag?", "")),
    "card": ((*ASKED, TWO_OF_RELEASE), CARD),
    "votes": (
        (*ASKED, TWO_OF_RELEASE, sent("s1/card"), sent("s1/card/at/1"), approved("s1", BOB, "d1", groups=("release",))),
        replace(CARD, votes=(Vote("Bob", AT),)),
    ),
    "reminder": (
        (*ASKED, TWO_OF_RELEASE, sent("s1/card"), sent("s1/card/at/1"), fired("s1/remind/0")),
        Reminder("s1", "push", "Ann", AT, "release"),
    ),
    "settled": (
        (*ASKED, requested("s1"), sent("s1/card"), rejected("s1", BOB).model_copy(update={"comment": "not today"})),
        Settled("s1", "push", "rejected", {"target": "prod"}, {}, "Ann", by=BOB, at=AT, comment="not today"),
    ),
    "answered": (
        (message(), BUTTONS, sent("s1/say"), message("m2", "v2", by=BOB, answers="s1")),
        Answered("Which tag?", "Bob", "v2"),
    ),
    "progress": (WAITS[:-1], Progress("deployment of backend", "under_way")),
    "ended": ((*WAITS, finished("s1")), Progress("deployment of backend", "done", receipt="p")),
    "handed": (
        (message(), handed_to_human()),
        Notice("I stopped and need a person: Three errors in a row. Write to me and I will continue."),
    ),
    "notice": ((message(), cancelled()), Notice("Cancelled by Ann. Nothing more is begun.")),
    "undelivered": (
        (message(), done("s1"), not_sent("s1/say", 30, None).model_copy(update={"elsewhere": True})),
        Undelivered(
            ANN, "I could not say something in terminal:desk (no answer). `bot show t1` has all of it."
        ),
    ),
}  # fmt: skip


def unsent_of(now: Thread, kind: Kind) -> Outgoing:
    """What is said of that kind, at the thread's own place."""
    return next(outgoing(now, unsent) for unsent in all_unsent(now) if unsent.kind == kind)


def all_unsent(now: Thread) -> list[Unsent]:
    return [unsent for _, unsent in now.state.outbox.items()]


def with_receipt(said: Outgoing, receipt: str) -> Outgoing:
    return replace(said, receipt=receipt) if isinstance(said, REWRITES) else said


def assert_says_the_same(now: Thread, later: Thread) -> None:
    """Of all that is unsent now, each whenever it is sent; but the receipts of what is out are looked up anew."""
    for unsent in all_unsent(now):
        assert with_receipt(outgoing(later, unsent), "") == with_receipt(outgoing(now, unsent), "")


def test_there_is_a_story_for_each_kind_of_message() -> None:
    assert set(EACH) == set(get_args(Kind))


@pytest.mark.parametrize("kind", EACH)
def test_each_kind_of_message_has_its_words(kind: Kind) -> None:
    events, said = EACH[kind]
    assert unsent_of(thread(*events), kind) == said


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ((finished("s1"),), ("done", "")),
        ((failed("s1"),), ("failed", "No tag 'v3'.")),
        ((fired("s1/wait/1"), refused("s1")), ("failed", "unknown intent")),
        ((fired("s1/wait/1"), started("s1", 2), interrupted("s1")), ("stopped", "")),
        ((cancelled(),), ("stopped", "")),
    ],
)
def test_how_what_took_long_has_ended_is_told_under_its_beginning(
    ending: tuple[Event, ...], said: tuple[str, str]
) -> None:
    ended = unsent_of(thread(*WAITS, *ending), "ended")
    assert isinstance(ended, Progress)
    assert (ended.state, ended.error, ended.receipt) == (*said, "p")


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (
            (message(), cancelled(), sent("cancel/1/notice"), message("m2")),
            "This thread was cancelled, so I do not act",
        ),
        ((message(clipped_from=60_000),), "Your message has 60,000 characters; I read the first 17 of them."),
        ((message(), paused(), message("m2")), "You wrote this while I was paused."),
        ((*ASKED, requested("s1"), chosen("s2", acts=True, target="prod")), "That is what I asked approval for above"),
    ],
)
def test_a_notice_says_what_the_program_did_with_it(events: tuple[Event, ...], says: str) -> None:
    said = unsent_of(thread(*events), "notice")
    assert isinstance(said, Notice)
    assert said.text.startswith(says)


def test_a_question_that_nobody_answers_any_more_says_so() -> None:
    assert unsent_of(thread(message(), BUTTONS, sent("s1/say"), cancelled()), "answered") == Answered(
        "Which tag?", "", ""
    )


def test_what_did_not_arrive_is_told_with_the_place_where_it_was_to_be() -> None:
    lost = not_sent("s1/card/at/1", 30, None).model_copy(update={"elsewhere": True})
    said = unsent_of(thread(*ASKED, TWO_OF_RELEASE, sent("s1/card"), lost), "undelivered")
    assert isinstance(said, Undelivered)
    assert said.text.startswith("I could not say something in room:/C1/ (no answer).")


# Tried again


@pytest.mark.parametrize("kind", EACH)
def test_a_message_says_the_same_words_whatever_comes_next(kind: Kind) -> None:
    now = thread(*EACH[kind][0])
    for event in (*ANYTHING, message("m9", "and now?", by=BOB)):
        assert_says_the_same(now, now.extended([event]))


@examples(300)
@given(st.sampled_from([*EACH]), st.lists(st.sampled_from(ANYTHING), max_size=12))
def test_a_message_that_is_tried_again_says_the_same_words_after_the_thread_has_moved_on(
    kind: Kind, more: list[Event]
) -> None:
    now = thread(*EACH[kind][0])
    assert_says_the_same(now, now.extended(more))


@examples(300)
@given(any_story, st.integers(1, 32))
def test_whatever_has_happened_everything_unsent_has_words_that_stay(events: tuple[Event, ...], cut: int) -> None:
    now = Thread("t1").extended(events[:cut])
    assert_says_the_same(now, now.extended(events[cut:]))


def test_what_is_tried_again_rewrites_what_has_gone_out_meanwhile() -> None:
    waiting = thread(*ASKED, TWO_OF_RELEASE, approved("s1", BOB, "d1", groups=("release",)))
    assert unsent_of(waiting, "votes") == EACH["votes"][1]
    shown = waiting.extended([sent("s1/card").model_copy(update={"receipt": "r7"})])
    assert unsent_of(shown, "votes") == with_receipt(EACH["votes"][1], "r7")
