"""Who may decide on a request, how many it takes, and until when."""

from __future__ import annotations

from datetime import timedelta

import pytest

from store.authority.terms import NOBODY, terms_of
from store.values import Person, Place
from tests.store.stories import but_for_outcomes, governed, member, request_of, timers, unsent, yes
from tests.telling.story import ANN, AT, BOB, EVE, approved, chosen, fired, message, rejected, requested, sent, thread


def test_it_takes_as_many_people_as_the_terms_say() -> None:
    one = governed(group="release", quorum=2).extended([yes(ANN, "release")])
    assert one.status == "waiting_for_approval"
    assert unsent(one) == ["s1/votes/5"]
    two = one.extended([yes(BOB, "release")])
    assert (two.status, two.state.steps["s1"].status) == ("working", "approved")
    assert request_of(two.state.steps["s1"]).decision == two.events[-1]
    assert [vote.by for vote in request_of(two.state.steps["s1"]).votes] == [ANN, BOB]


def test_two_addresses_of_a_person_are_one_vote() -> None:
    slack, mail = (member(Person(name="Ann", address=a, trust="verified"), "ann") for a in ("U1", "ann@example.com"))
    both = governed(group="release", quorum=2).extended([yes(slack, "release"), yes(mail, "release")])
    assert both.status == "waiting_for_approval"
    assert len(request_of(both.state.steps["s1"]).votes) == 1


def test_who_has_approved_may_still_reject() -> None:
    changed = governed(group="release", quorum=2).extended(
        [yes(ANN, "release"), rejected("s1", ANN, "d1", groups=("release",))]
    )
    assert changed.state.steps["s1"].status == "rejected"


@pytest.mark.parametrize(
    ("group", "who", "groups", "counts"),
    [
        ("release", ANN, ("release",), True),
        ("release", ANN, ("leads", "release"), True),
        ("release", ANN, ("leads",), False),
        ("release", ANN, (), False),
        ("release", EVE, ("release",), False),
        ("anyone", ANN, (), True),
        ("anyone", EVE, (), False),
        ("team", ANN, (), False),
        ("team", member(ANN, "ann"), (), True),
        ("", ANN, ("",), False),
    ],
)
def test_only_the_group_may_decide(group: str, who: Person, groups: tuple[str, ...], counts: bool) -> None:
    for verdict in (approved, rejected):
        after = governed(group=group).extended([verdict("s1", who, "d1", groups=groups)])
        assert (request_of(after.state.steps["s1"]).decision is not None) is counts


def test_who_asked_for_it_may_reject_it_but_not_approve_it() -> None:
    ann = member(ANN, "ann")
    asked_by_ann = governed(group="release", requester_may=False, requesters=("ann", "u7"))
    assert asked_by_ann.extended([yes(ann, "release")]).status == "waiting_for_approval"
    assert asked_by_ann.extended([yes(BOB, "release")]).state.steps["s1"].status == "approved"
    seven = Person(name="Seven", address="U7", trust="verified")
    assert asked_by_ann.extended([yes(seven, "release")]).status == "waiting_for_approval"
    withdrawn = asked_by_ann.extended([rejected("s1", ann, "d1", groups=("release",))])
    assert withdrawn.state.steps["s1"].status == "rejected"


def test_a_policy_that_cannot_be_read_lets_nobody_decide() -> None:
    request = requested("s1", "d1").model_copy(update={"policy": {"quorum": "many"}})
    waiting = thread(message(), chosen("s1", acts=True), request)
    after = waiting.extended([yes(ANN, "release", ""), rejected("s1", ANN, "d1")])
    assert after.status == "waiting_for_approval"


def test_terms_of_a_newer_version_let_nobody_decide() -> None:
    assert terms_of({"group": "anyone", "needs": "security"}) == NOBODY


def test_a_request_that_nobody_decides_goes_up_its_ladder_and_expires() -> None:
    remind, widen, expire = (AT + timedelta(minutes=n) for n in (30, 60, 240))
    waiting = governed(
        group="release",
        then="leads",
        remind_at=remind,
        widen_at=widen,
        expires_at=expire,
        asks=(Place(channel="room", address="/C1/"),),
        then_asks=(Place(channel="room", address="/U9/"),),
    )
    assert timers(waiting) == {"s1/remind/0": remind, "s1/widen/0": widen, "s1/expire/0": expire}
    lead = yes(BOB, "leads")
    assert waiting.extended([lead]).status == "waiting_for_approval"

    reminded = waiting.extended([fired("s1/remind/0")])
    assert unsent(reminded) == ["s1/reminder/remind", "s1/reminder/remind/at/1"]
    assert "s1/remind/0" not in timers(reminded)

    widened = reminded.extended([*map(sent, unsent(reminded)), fired("s1/widen/0")])
    assert unsent(widened) == ["s1/reminder/widen", "s1/reminder/widen/at/1", "s1/card/at/2"]
    place = widened.state.outbox["s1/card/at/2"].place
    assert place
    assert place.address == "/U9/"
    assert widened.extended([lead]).state.steps["s1"].status == "approved"

    expired = widened.extended([*map(sent, unsent(widened)), fired("s1/expire/0")])
    assert expired.state.steps["s1"].status == "expired"
    assert unsent(expired) == ["s1/settled", "s1/settled/at/1", "s1/settled/at/2"]
    assert (expired.status, timers(expired)) == ("working", {})
    # What comes after it changes nothing.
    late = expired.extended([lead, fired("s1/expire/0"), fired("s1/widen/0")])
    assert but_for_outcomes(late).steps == expired.state.steps


def test_nobody_decides_after_the_time_even_where_no_timer_has_fired() -> None:
    expires = AT + timedelta(minutes=10)
    waiting = governed(group="release", expires_at=expires)
    assert waiting.extended([yes(ANN, "release", at=expires)]).status == "waiting_for_approval"
    assert waiting.extended([rejected("s1", ANN, "d1", groups=("release",), at=expires)]).pending is not None
    just = yes(ANN, "release", at=expires - timedelta(microseconds=1))
    assert waiting.extended([just]).state.steps["s1"].status == "approved"


def test_what_a_standing_approval_settles_is_told_and_asks_nobody() -> None:
    request = requested("s1", "d1", group="release", quorum=3, standing="g1")
    by_grant = approved("s1", ANN, "d1", standing="g1")
    settled = thread(message(), chosen("s1", acts=True), request, by_grant)
    assert settled.state.steps["s1"].status == "approved"
    assert unsent(settled) == ["s1/settled"]
    for wrong in (approved("s1", ANN, "d1", standing="g2"), approved("s1", ANN, "d1", groups=("release",))):
        assert thread(message(), chosen("s1", acts=True), request, wrong).pending is not None
    # Nor does one settle a request that names none.
    assert governed(group="anyone").extended([by_grant]).pending is not None
