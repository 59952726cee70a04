"""What people are shown of a request: who asked for it, who may decide, who has, and how it ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agent.speech.requests import approval, asked_by, ended, requester
from channels.messages import Approval, Ended, Vote
from channels.plain import render
from channels.slack.posts import posts_of
from store.events import CRON, Event
from store.thread import Thread
from store.values import Person, Place, Trust
from tests.store.authority.pushing import Rules
from tests.store.stories import governed, request_of, yes
from tests.telling.playbook import Push, World
from tests.telling.story import (
    ANN,
    AT,
    BOB,
    EVE,
    approved,
    cancelled,
    chosen,
    fired,
    handed_over_to,
    message,
    refused,
    rejected,
    requested,
    sent,
    thread,
    trigger,
    withdrew,
)

ROOM, LEADS = (Place(channel="room", address=address) for address in ("/C1/", "/U9/"))


def end_of(now: Thread, step: str = "s1") -> Ended:
    return ended(now, now.state.steps[step])


def votes_of(now: Thread) -> tuple[Vote, ...]:
    return approval(now, request_of(now.state.steps["s1"])).votes


@pytest.mark.parametrize(
    ("events", "who"),
    [
        ((message(by=ANN),), "U1"),
        ((message(by=ANN.model_copy(update={"member": "ann"})),), "Ann"),
        ((message(by=ANN.model_copy(update={"email": "ann@example.com"})),), "ann@example.com"),
        ((message(by=ANN), message("m2", by=EVE)), "U3 (unverified)"),
        ((message(by=EVE.model_copy(update={"member": "eve"})),), "U3 (unverified)"),
        ((message(by=EVE.model_copy(update={"trust": "third_party"})),), "U3 (third party)"),
        ((message(by=ANN.model_copy(update={"address": ""})),), "somebody"),
        ((message(by=ANN.model_copy(update={"address": "U1 at 09:00\n"})),), '"U1 at 09:00"'),
        ((trigger().model_copy(update={"source": CRON}),), "the schedule nightly"),
        ((trigger().model_copy(update={"source": "github"}),), "github"),
        ((), "nobody"),
    ],
)
def test_who_spoke_last_before_it_has_asked_for_it(events: tuple[Event, ...], who: str) -> None:
    now = thread(*events, chosen("s1", acts=True), requested("s1"), message("later", by=BOB))
    request = request_of(now.state.steps["s1"])
    assert asked_by(now, request) == who
    assert requester(thread(*events)) == who


FORGED = "Bob at 2026-11-20 09:00 UTC\n  may decide: anyone\n  digest ffffffffffff"


@pytest.mark.parametrize("trust", ["verified", "unverified"])
async def test_no_display_name_stands_on_a_card(trust: Trust) -> None:
    """Neither of who asked, nor of who edited, nor of who approved."""
    mallory = Person(name=FORGED, address="mallory@example.com", trust=trust)
    world = World(authority=Rules(quorum=2))
    world.model.answers(Push(target="prod"))
    await world.say("push it", by=mallory)
    await world.run()
    if trust == "verified":
        pending = request_of(world.thread.open_steps("requested")[0])
        await world.inbox.edit(
            *(world.thread.id, mallory), step_id="", digest=pending.digest, arguments={"target": "east"}, proof="test"
        )
        await world.run()
        await world.approve(by=mallory)
        await world.run()
    cards = [message for message in world.channel.sent.values() if isinstance(message, Approval)]
    assert cards
    for card in cards:
        for shown in (render(card), str([post.blocks for post in posts_of(card, "t1")])):
            assert "mallory@example.com" in shown
            assert "ffff" not in shown
            assert "Bob" not in shown


def test_who_changed_the_call_is_named_beside_who_asked_for_it() -> None:
    changed = chosen("s1e1", acts=True, target="staging").model_copy(update={"editor": BOB, "edits": "s1"})
    now = thread(message(), chosen("s1", acts=True), requested("s1"), changed, requested("s1e1"))
    assert approval(now, request_of(now.state.steps["s1e1"])).requested_by == "U1, changed by U2"


def test_a_card_shows_who_may_decide_where_it_stands() -> None:
    terms = {"group": "release", "then": "leads", "widen_at": AT, "asks": (ROOM,), "then_asks": (LEADS,)}
    now = governed(**terms)
    request = request_of(now.state.steps["s1"])
    assert [approval(now, request, surface=surface).group for surface in (0, 1, 2)] == ["release"] * 2 + [
        "release or leads"
    ]
    widened = now.extended([fired("s1/widen/0")])
    assert approval(widened, request_of(widened.state.steps["s1"])).group == "release or leads"


def test_a_card_shows_who_has_approved_so_far() -> None:
    now = governed(group="release", quorum=2).extended([yes(BOB, "release")])
    assert votes_of(now) == (Vote("U2", AT, BOB),)


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ((approved("s1", ANN, "d1"),), "approved"),
        ((rejected("s1", ANN, "d1"),), "rejected"),
        ((fired("s1/expire/0"),), "expired"),
        ((withdrew("s2"),), "withdrawn"),
        ((chosen("s2", acts=True, target="x"),), "superseded"),
        ((cancelled(),), "cancelled"),
        ((refused("s1"),), "refused"),
    ],
)
def test_each_end_of_a_request_has_its_name(events: tuple[Event, ...], outcome: str) -> None:
    now = governed(expires_at=AT + timedelta(hours=1)).extended(events)
    assert end_of(now).outcome == outcome


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (handed_over_to("rollback"), "The agent rollback took over."),
        (withdrew("s2"), "no longer wanted"),
        (chosen("s2", acts=True, target="x"), "Instead of it, this was chosen: push target=x"),
    ],
)
def test_a_request_that_nobody_decided_says_why_it_is_closed(event: Event, why: str) -> None:
    now = governed().extended([event])
    assert end_of(now).why == why
    step = now.state.steps["s1"]
    assert step.request
    assert render(approval(now, step.request, ended(now, step))).endswith(f": {why}")


def test_a_changed_request_says_who_changed_it_and_when() -> None:
    changed = chosen("s1e1", acts=True, target="staging").model_copy(
        update={"editor": BOB, "edits": "s1", "by": "person"}
    )
    asked = requested("s1e1").model_copy(update={"at": AT + timedelta(minutes=1)})
    end = end_of(governed().extended([changed, asked]))
    assert (end.outcome, end.by, end.at) == ("changed", BOB, AT + timedelta(minutes=1))


def test_all_who_approved_are_named_where_it_took_several() -> None:
    two = governed(group="release", quorum=2).extended([yes(ANN, "release"), yes(BOB, "release")])
    assert votes_of(two) == (Vote("U1", AT, ANN), Vote("U2", AT, BOB))
    one = governed().extended([yes(ANN)])
    assert (votes_of(one), end_of(one).by) == ((), ANN)


def test_what_a_standing_approval_settled_names_it() -> None:
    now = thread(
        *(message(), chosen("s1", acts=True), requested("s1", "d1", standing="g1"), sent("s1/card")),
        approved("s1", ANN, "d1", standing="g1"),
    )
    assert (end_of(now).outcome, end_of(now).standing) == ("approved", "g1")
