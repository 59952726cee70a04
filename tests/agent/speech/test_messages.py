"""What people are told: each kind of message has its words, and one that is tried again says the same ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.speech.messages import outgoing, question, way
from agent.speech.offers import offer_of
from agent.speech.undelivered import person_to_notify
from channels.messages import (
    NEW,
    Answered,
    Approval,
    Dropped,
    Ended,
    ListedTask,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminded,
    Rewrite,
    Tasks,
    Text,
    Under,
    Vote,
    Way,
)
from store.events import Event, ToolWaiting
from store.keys import MessageKey, MessagePart
from store.outbox import Kind, Unsent
from store.text import instant
from store.thread import Thread
from store.values import Place
from tests.matrices import examples
from tests.telling.anything import ANYTHING, any_story
from tests.telling.story import (
    ANN,
    AT,
    BOB,
    EVE,
    LATER,
    approved,
    arrived,
    asked,
    came_back,
    cancelled,
    chosen,
    done,
    edit_of,
    failed,
    finished,
    fired,
    handed_to_human,
    interrupted,
    listed,
    message,
    not_sent,
    offered,
    paused,
    placed,
    refused,
    rejected,
    reopened,
    requested,
    sent,
    started,
    thread,
    unserved,
    waits,
)

ROOM = Place(channel="room", address="/C1/")
ASKED = (message(), chosen("s1", acts=True, target="prod"))
TWO_OF_RELEASE = requested("s1", "d1", group="release", quorum=2, then="leads", remind_at=LATER, asks=(ROOM,))
CARD = Approval(
    "s1",
    "d1",
    "push",
    {"target": "prod"},
    {},
    "U1",
    AT,
    group="release",
    quorum=2,
    asked_by=ANN,
    words="deploy v3, please",
)
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

EACH: dict[Kind, tuple[tuple[Event, ...], Outgoing]] = {
    "text": ((message(), done("s1")), Text("It is out.", "s1")),
    "question": ((message(), asked("s1")), Question("s1", "Which tag?", "")),
    "card": ((*ASKED, TWO_OF_RELEASE), CARD),
    "votes": (
        (*ASKED, TWO_OF_RELEASE, sent("s1/card"), sent("s1/card/at/1"), approved("s1", BOB, "d1", groups=("release",))),
        replace(CARD, votes=(Vote("U2", AT, BOB),)),
    ),
    "reminder": (
        (*ASKED, TWO_OF_RELEASE, sent("s1/card"), sent("s1/card/at/1"), fired("s1/remind/0")),
        replace(CARD, state=Reminded()),
    ),
    "settled": (
        (*ASKED, requested("s1"), sent("s1/card"), rejected("s1", BOB).model_copy(update={"comment": "not today"})),
        replace(CARD, digest="digest of s1", group="anyone", quorum=1, state=Ended("rejected", BOB, AT, "not today")),
    ),
    "answered": (
        (message(), BUTTONS, sent("s1/say"), message("m2", "v2", by=BOB, answers="s1")),
        Question("s1", "Which tag?", state=Answered("Bob", "v2")),
    ),
    "offer": ((arrived(), offered()), offer_of(offered())),
    "offer_closed": (
        (arrived(), offered(), sent("m1/offered/notice"), placed(thread="t2")),
        Question(
            "m1/offered", "What is this message for?", state=Answered("Ann", "Use it as the answer to: «Which, 2?»")
        ),
    ),
    "progress": (WAITS[:-1], Progress("deployment of backend", "under_way")),
    "ended": ((*WAITS, finished("s1")), Progress("deployment of backend", "done")),
    "tasks": ((message(), listed("s1")), Tasks((ListedTask("Push it", "to_do"), ListedTask("Look", "to_do")))),
    "tasks_moved": (
        (message(), listed("s1"), sent("s1/say"), chosen("s2", acts=True), requested("s2")),
        Tasks((ListedTask("Push it", "waiting_for_approval"), ListedTask("Look", "to_do"))),
    ),
    "handed_to_human": (
        (message(), handed_to_human()),
        Notice("I stopped and need a person: Three errors in a row. Write to me and I will continue."),
    ),
    "notice": ((message(), cancelled()), Notice("Cancelled by Ann. I will not start anything else.")),
    "unserved": (
        (message(), unserved()),
        Notice(
            "I cannot go on yet: No worker here knows the agent 'ops'. I will go on by myself as soon as a worker can."
        ),
    ),
    "edit_ended": (
        (message(), chosen("s1", acts=True), requested("s1"), edit_of("s1"), handed_to_human()),
        Notice(
            "The edit by U1 was not checked, because I stopped and need a person. The original request is unchanged."
        ),
    ),
    "undelivered": (
        (message(), done("s1"), not_sent("s1/say", 30, None).model_copy(update={"elsewhere": True})),
        Notice(
            f"I could not send a message in terminal:desk (no answer). It was an answer of {instant(AT)}. "
            "`bot show t1` prints the thread."
        ),
    ),
}  # fmt: skip


def unsent_of(now: Thread, kind: Kind) -> Outgoing:
    """What is said of that kind, at the thread's own place."""
    return next(outgoing(now, unsent) for unsent in all_unsent(now) if unsent.kind == kind)


def all_unsent(now: Thread) -> list[Unsent]:
    return [unsent for _, unsent in now.state.outbox.items()]


def assert_says_the_same(now: Thread, later: Thread) -> None:
    """Of all that is unsent now, each whenever it is sent, and to the same person where it is for one alone."""
    for unsent in all_unsent(now):
        assert outgoing(later, unsent) == outgoing(now, unsent)
        if unsent.kind == "undelivered":
            assert person_to_notify(later, unsent) == person_to_notify(now, unsent)


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
    now = thread(*WAITS, *ending)
    (unsent,) = (unsent for unsent in all_unsent(now) if unsent.kind == "ended")
    ended = outgoing(now, unsent)
    assert isinstance(ended, Progress)
    assert (ended.state, ended.error, way(now, unsent)) == (*said, Rewrite("p"))


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (
            (message(), cancelled(), sent("cancel/1/notice"), message("m2")),
            "This thread was cancelled, so I no longer act on it. `bot resume t1` reopens it: then write again.",
        ),
        (
            (message(), cancelled(), sent("cancel/1/notice"), reopened()),
            "Reopened by Ann. What was cancelled stays cancelled. Write to me to go on.",
        ),
        ((message(clipped_from=60_000),), "Your message has 60,000 characters; I read only the first 17."),
        ((message(), paused(), message("m2")), "I am paused."),
        (
            (*ASKED, requested("s1"), chosen("s2", acts=True, target="prod")),
            "I have already asked for approval of this above",
        ),
    ],
)
def test_a_notice_says_what_the_program_did_with_it(events: tuple[Event, ...], says: str) -> None:
    said = unsent_of(thread(*events), "notice")
    assert isinstance(said, Notice)
    assert said.text.startswith(says)


def test_a_question_that_nobody_answers_any_more_says_so() -> None:
    said = unsent_of(thread(message(), BUTTONS, sent("s1/say"), cancelled()), "answered")
    assert said == Question("s1", "Which tag?", state=Dropped())


def test_what_did_not_arrive_is_told_with_the_place_where_it_was_to_be() -> None:
    lost = not_sent("s1/card/at/1", 30, None).model_copy(update={"elsewhere": True})
    said = unsent_of(thread(*ASKED, TWO_OF_RELEASE, sent("s1/card"), lost), "undelivered")
    assert isinstance(said, Notice)
    assert said.text.startswith("I could not send a message in room:/C1/ (no answer).")


@pytest.mark.parametrize(
    ("events", "key", "was"),
    [
        ((done("s1"),), "s1/say", "an answer"),
        ((BUTTONS,), "s1/say", "a question"),
        ((ASKED[1], requested("s1")), "s1/card", "the request “push target=prod”"),
        ((ASKED[1], requested("s1")), "s1/reminder/remind", "a reminder of the request “push target=prod”"),
        ((ASKED[1], requested("s1")), "s1/settled", "the outcome of the request “push target=prod”"),
        ((handed_to_human(),), "h1/handed/say", "a notice"),
    ],
)
def test_what_came_back_is_told_with_its_kind_its_date_and_the_subject(
    events: tuple[Event, ...], key: str, was: str
) -> None:
    asked = message().model_copy(update={"subject": "Release\nof Friday"})
    said = unsent_of(thread(asked, *events, sent(key), came_back(key)), "undelivered")
    assert isinstance(said, Notice)
    assert f"It was {was} of {instant(AT)}, in the conversation “Release of Friday”." in said.text


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
    (unsent,) = (unsent for unsent in all_unsent(waiting) if unsent.kind == "votes" and not unsent.surface)
    shown = waiting.extended([sent("s1/card").model_copy(update={"receipt": "r7"})])
    assert (way(waiting, unsent), way(shown, unsent)) == (NEW, Rewrite("r7"))
    assert outgoing(waiting, unsent) == outgoing(shown, unsent) == EACH["votes"][1]


# How it is said


REQUESTED = thread(*ASKED, requested("s1"))
QUESTIONED = thread(message(), asked("s1"))


def showing(before: Thread, part: MessagePart) -> Thread:
    return before.extended([sent(str(MessageKey("s1", part))).model_copy(update={"receipt": "1.2"})])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("card", NEW), ("votes", Rewrite("1.2")), ("settled", Rewrite("1.2")), ("reminder", Under("1.2"))],
)
def test_what_follows_a_card_refers_to_it_once_it_is_out(kind: Kind, expected: Way) -> None:
    assert way(REQUESTED, Unsent(kind, 2, "s1")) == NEW
    assert way(showing(REQUESTED, "card"), Unsent(kind, 2, "s1")) == expected


@pytest.mark.parametrize(
    ("kind", "part"), [("answered", "say"), ("progress", "progress"), ("ended", "progress"), ("tasks_moved", "say")]
)
def test_what_is_kept_up_to_date_takes_the_place_of_the_message_that_said_it(kind: Kind, part: MessagePart) -> None:
    assert way(QUESTIONED, Unsent(kind, 2, "s1")) == NEW
    assert way(showing(QUESTIONED, part), Unsent(kind, 2, "s1")) == Rewrite("1.2")


def test_an_urgent_question_calls_those_who_take_part_and_whom_somebody_verified() -> None:
    urgent = chosen("s1", "request_human_input", question="Which?", options={"urgency": "high"})
    before = (message("a", by=ANN), message("e", by=EVE), message("b", by=BOB), message("a2", by=ANN))
    said = unsent_of(thread(*before, urgent), "question")
    assert isinstance(said, Question)
    assert said.calls == (ANN, BOB)


@pytest.mark.parametrize("kind", ["text", "question", "handed_to_human", "notice", "undelivered"])
def test_everything_else_is_a_message_of_its_own(kind: Kind) -> None:
    assert way(showing(QUESTIONED, "say"), Unsent(kind, 2, "s1")) == NEW


@pytest.mark.parametrize(
    ("options", "offers"),
    [
        ({"format": "yes_no", "choices": []}, ("yes", "no")),
        ({"format": "yes_no", "choices": ["ship it", "wait"]}, ("ship it", "wait")),
        ({"format": "multiple_choice", "choices": ["v1", "v2"]}, ("v1", "v2")),
        ({"format": "free_text", "choices": []}, ()),
        ({}, ()),
        ("of another tool", ()),
    ],
)
def test_what_a_question_offers(options: Any, offers: tuple[str, ...]) -> None:
    assert question(chosen("s1", "request_human_input", question="Which?", options=options)).offers == offers


def test_the_last_person_whom_we_know_hears_of_what_did_not_arrive_unless_it_was_lost_on_its_way_to_them() -> None:
    spoken = (message(by=ANN), message("m2", by=BOB), message("m3", by=EVE))
    now = thread(*spoken, not_sent("s1/say", retry_at=None))
    assert person_to_notify(now, Unsent("undelivered", now.version - 1)) == BOB
    lost = thread(*spoken, came_back("s1/say", recipient=BOB.address))
    assert person_to_notify(lost, Unsent("undelivered", lost.version - 1)) == ANN
    nobody = thread(message(by=EVE), not_sent("s1/say", retry_at=None))
    assert person_to_notify(nobody, Unsent("undelivered", nobody.version - 1)).address == ""
