"""What people have to be told, and how it leaves the outbox."""

from __future__ import annotations

from datetime import timedelta

import pytest

from store.deliveries import PlaceRegained
from store.events import Event
from store.thread import Thread
from store.values import Place
from tests.store.stories import CARD, SHOWN, request_of, unsent, yes
from tests.telling.story import (
    ANN,
    AT,
    EVE,
    approved,
    asked,
    came_back,
    cancelled,
    chosen,
    done,
    fired,
    handed_to_human,
    message,
    not_sent,
    nothing_to_do,
    opened,
    paused,
    rejected,
    requested,
    sent,
    thread,
    told,
    withdrew,
)

OWED: list[tuple[str, str, tuple[Event, ...]]] = [
    ("s1/say", "text", (message(), done("s1"))),
    ("s1/say", "text", (message(), told("s1"))),
    ("s1/say", "question", (message(), asked("s1"))),
    ("s1/card", "card", CARD),
    ("s1/settled", "settled", (*SHOWN, approved("s1"))),
    ("s1/settled", "settled", (*SHOWN, rejected("s1"))),
    ("s1/closed", "settled", (*SHOWN, withdrew("s2"))),
    ("s2/notice", "notice", (*SHOWN, chosen("s2"))),
    ("h1/handed/say", "handed_to_human", (message(), handed_to_human())),
    ("cancel/1/notice", "notice", (message(), cancelled())),
    ("m2/notice", "notice", (message(), paused(), message("m2"))),
    ("m2/notice", "notice", (message(), cancelled(), sent("cancel/1/notice"), message("m2"))),
    ("m1/notice", "notice", (message(clipped_from=60_000),)),
]


@pytest.mark.parametrize(("key", "what", "events"), OWED)
def test_what_is_unsent_stays_so_until_it_was_sent(key: str, what: str, events: tuple[Event, ...]) -> None:
    now = thread(*events)
    assert unsent(now) == [key]
    assert (now.state.outbox[key].kind, now.state.outbox[key].event) == (what, now.version - 1)
    assert unsent(now.extended([sent("another")])) == [key]
    assert unsent(now.extended([sent(key)])) == []


@pytest.mark.parametrize("silent", [nothing_to_do("s1"), chosen("s1"), withdrew("s1")])
def test_steps_that_say_nothing_owe_nothing(silent: Event) -> None:
    assert unsent(thread(message(), silent)) == []


def test_what_cannot_be_sent_at_all_is_given_up() -> None:
    assert unsent(thread(*CARD, not_sent("s1/card", retry_at=None))) == []


def test_who_asked_is_told_elsewhere_of_what_cannot_be_sent() -> None:
    failed_for_good = not_sent("s1/card", retry_at=None).model_copy(update={"elsewhere": True})
    assert unsent(thread(*CARD, failed_for_good)) == ["s1/card/undelivered"]


def test_a_request_that_nobody_was_shown_cannot_be_decided() -> None:
    failed_for_good = not_sent("s1/card", retry_at=None).model_copy(update={"elsewhere": True})
    assert thread(*CARD, failed_for_good, approved("s1")).state.steps["s1"].status == "refused"


def test_what_was_not_sent_lets_the_others_go_first() -> None:
    assert unsent(thread(*CARD, approved("s1"), not_sent("s1/card"))) == ["s1/settled", "s1/card"]


def test_a_failure_that_is_noted_after_the_message_went_out_changes_nothing() -> None:
    assert unsent(thread(*SHOWN, not_sent("s1/card"))) == []


def test_a_message_that_came_back_is_told_elsewhere_once_and_wakes_no_model() -> None:
    thread = Thread("t1").extended([opened(), message(), done("s1"), sent("s1/say"), came_back("s1/say")])
    assert unsent(thread) == ["bounce/s1/say/1/undelivered"]
    assert not thread.state.news
    # What was told elsewhere and came back too is the end of it.
    again = thread.extended([sent("bounce/s1/say/1/undelivered"), came_back("bounce/s1/say/1/undelivered")])
    assert unsent(again) == []


@pytest.mark.parametrize("by_message", [True, False])
def test_who_decides_by_a_message_that_settles_nothing_is_told_so(by_message: bool) -> None:
    yes: Event = approved("s1", ANN, "d1")
    late: Event = rejected("s1", EVE, "d1").model_copy(update={"by_message": by_message})
    events: list[Event] = [opened(), message(), chosen("s1", acts=True), requested("s1", "d1"), yes, late]
    thread = Thread("t1").extended(events)
    assert (f"{late.id}/notice" in unsent(thread)) is by_message
    assert request_of(thread.state.steps["s1"]).decision == yes
    # The one that settles it is told by the settlement.
    first = Thread("t1").extended([*events[:4], yes.model_copy(update={"by_message": True})])
    assert unsent(first) == ["s1/card", "s1/settled"]


def test_a_card_that_cannot_be_shown_in_one_place_stands_in_the_others() -> None:
    waiting = thread(message(), chosen("s1", acts=True), requested("s1", asks=(Place(channel="room", address="/C1/"),)))
    lost_there = waiting.extended([not_sent("s1/card/at/1", 30, None).model_copy(update={"elsewhere": True})])
    assert lost_there.pending is not None
    assert "s1/card/at/1/undelivered" in lost_there.state.outbox
    settled = lost_there.extended([sent("s1/card"), approved("s1")])
    assert "s1/settled" in unsent(settled)
    assert "s1/settled/at/1" not in unsent(settled)
    lost_everywhere = lost_there.extended([not_sent("s1/card", 30, None).model_copy(update={"elsewhere": True})])
    assert lost_everywhere.state.steps["s1"].status == "refused"


def test_what_waits_at_one_place_holds_back_what_comes_after_it_there_alone() -> None:
    rooms = tuple(Place(channel="room", address=f"/C{number}/") for number in (1, 2))
    own = Place(channel="terminal", address="desk")
    waiting = thread(message(), chosen("s1", acts=True), requested("s1", asks=rooms), sent("s1/card"))
    one_is_down = waiting.extended([not_sent("s1/card/at/1")])
    assert next_key(one_is_down, own) == "s1/card/at/2"
    rest = one_is_down.extended([sent("s1/card/at/2"), approved("s1")])
    assert next_key(rest, own) == "s1/settled"
    there = rest.extended([sent("s1/settled")])
    assert next_key(there, own) == "s1/settled/at/2", "what comes after the card in the first room waits for it"
    own_is_down = thread(message(), chosen("s1", acts=True), requested("s1", asks=rooms), not_sent("s1/card"))
    assert next_key(own_is_down, own) == "s1/card/at/1"


def next_key(at: Thread, own: Place) -> str | None:
    found = at.state.outbox.next(own)
    return found[0] if found else None


def test_what_was_to_follow_a_card_that_will_never_be_there_is_forgotten_with_it() -> None:
    lost_there = not_sent("s1/card/at/1", 30, None).model_copy(update={"elsewhere": True})
    room = (Place(channel="room", address="/C1/"),)
    terms = {"group": "release", "quorum": 2, "remind_at": AT + timedelta(minutes=30)}
    waiting = thread(message(), chosen("s1", acts=True), requested("s1", "d1", asks=room, **terms), sent("s1/card"))
    counted = waiting.extended([yes(ANN, "release"), fired("s1/remind/0")])
    assert unsent(counted) == [
        *("s1/card/at/1", "s1/votes/5", "s1/votes/5/at/1", "s1/reminder/remind", "s1/reminder/remind/at/1")
    ]
    # "1 of 2" and "still waiting" would stand alone in a room where the request never was.
    assert unsent(counted.extended([lost_there])) == ["s1/votes/5", "s1/reminder/remind", "s1/card/at/1/undelivered"]
    # So would "rejected"; how it ended, the thread itself still says.
    settled = waiting.extended([rejected("s1", ANN, "d1", groups=("release",))])
    assert unsent(settled) == ["s1/card/at/1", "s1/settled", "s1/settled/at/1"]
    assert unsent(settled.extended([lost_there])) == ["s1/settled", "s1/card/at/1/undelivered"]
    lost_here = not_sent("s1/card", 30, None).model_copy(update={"elsewhere": True})
    nowhere = thread(*waiting.events[:-1], rejected("s1", ANN, "d1", groups=("release",)), lost_here, lost_there)
    assert unsent(nowhere) == ["s1/settled", "s1/card/undelivered", "s1/card/at/1/undelivered"]


def test_a_card_that_is_lost_everywhere_is_shown_in_private_and_at_its_place_again_later() -> None:
    lost = not_sent("s1/card", 3, None).model_copy(
        update={"elsewhere": True, "instead": (Place(channel="room", address="/U9/"),)}
    )
    private = thread(message(), chosen("s1", acts=True), requested("s1"), lost)
    assert private.status == "waiting_for_approval"
    assert "s1/card/at/1" in private.state.outbox
    regained = private.extended([sent("s1/card/at/1"), PlaceRegained(id="from/slack/C1:joined:1", at=AT)])
    again = regained.state.outbox["s1/card"]
    assert (again.failures, again.place) == (3, None)
    assert (
        "s1/card"
        not in regained.extended([sent("s1/card"), PlaceRegained(id="from/slack/C1:joined:2", at=AT)]).state.outbox
    )
    approved_since = regained.extended([sent("s1/card"), approved("s1")])
    assert {"s1/settled", "s1/settled/at/1"} <= set(approved_since.state.outbox)
