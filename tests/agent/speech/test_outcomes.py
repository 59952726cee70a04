"""What came of a decision, in words: one wording for each outcome, and for each way in which a request stands."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import pytest

from agent.speech.outcomes import may_decide, outcome_in_words, state_in_words
from store.events import ApprovalDecided, Event
from store.state import Outcome
from store.thread import Thread
from tests.store.stories import governed, member, request_of, yes
from tests.telling.story import (
    ANN,
    AT,
    BOB,
    EVE,
    approved,
    cancelled,
    chosen,
    edit_of,
    fired,
    message,
    refused,
    rejected,
    requested,
    thread,
    withdrew,
)

LATE = AT + timedelta(days=3)
STRANGER = "You may not decide on this request. I cannot verify who you are. Your attempt is on record."
OTHER = "That decision belongs to a different request. Nothing was changed."
ALREADY = "Already approved by U1 at 2026-11-20 09:00 UTC. Nothing was changed."
EXPIRED = "This request has expired; it will not run. Nothing was changed."


def decided(now: Thread, *decisions: ApprovalDecided) -> tuple[Outcome, str]:
    """What came of the last of these decisions, and what the one who made it is told."""
    *_, last = decisions
    step = now.extended(decisions).state.steps["s1"]
    outcome = request_of(step).outcomes[last.id]
    return outcome, outcome_in_words(step, outcome, last.by, approved=last.approved, way=last.way)


def standing(*events: Event, **terms: object) -> str:
    return state_in_words(governed(**terms).extended(events).state.steps["s1"])


TOLD: list[tuple[Outcome, str, tuple[Outcome, str]]] = [
    ("settled", "Approved: push", decided(governed(), yes(ANN))),
    ("settled", "Rejected: push", decided(governed(), rejected("s1", ANN, "d1"))),
    (
        "counted",
        "Counted, 1 of 2 approvals: push",
        decided(governed(group="release", quorum=2), yes(ANN, "release")),
    ),
    ("not_entitled", STRANGER, decided(governed(), yes(EVE))),
    (
        "not_entitled",
        "You may not decide on this request. Only release may decide it. Your attempt is on record.",
        decided(governed(group="release"), yes(ANN, "leads")),
    ),
    (
        "not_entitled",
        "You may not decide on this request. You are one of its requesters, so somebody else has to approve it. "
        "Your attempt is on record.",
        decided(governed(requester_may=False, requesters=("ann",)), yes(member(ANN, "ann"))),
    ),
    (
        "not_entitled",
        "You may not decide on this request. Only release may decide it. Your attempt is on record.",
        decided(
            governed(group="release", requester_may=False, requesters=("ann",)),
            rejected("s1", member(ANN, "ann"), "d1"),
        ),
    ),
    (
        "too_late",
        "Your approval was already counted. Nothing was changed.",
        decided(
            governed(group="release", quorum=2),
            yes(ANN, "release"),
            yes(ANN, "release").model_copy(update={"id": "s1/decided/yes/again"}),
        ),
    ),
    ("too_late", ALREADY, decided(governed(), yes(ANN), yes(BOB, at=LATE))),
    ("expired", EXPIRED, decided(governed(expires_at=AT), yes(ANN, at=LATE))),
    ("other_request", OTHER, decided(governed(), approved("s1", ANN, "d2"))),
    (
        "being_edited",
        "Your decision was not counted, because somebody has just edited this request: push. I am checking the edited "
        "call. If it is possible, a new request follows; please decide on that one. If it is not, I will say so; then "
        "please decide on this request again.",
        decided(governed().extended([edit_of("s1")]), yes(BOB)),
    ),
]


def test_each_outcome_is_told() -> None:
    assert {outcome for outcome, _, _ in TOLD} == set(get_args(Outcome))


@pytest.mark.parametrize(("outcome", "says", "told"), TOLD)
def test_who_decides_is_told_what_came_of_it(outcome: Outcome, says: str, told: tuple[Outcome, str]) -> None:
    assert told == (outcome, says)


@pytest.mark.parametrize("outcome", get_args(Outcome))
@pytest.mark.parametrize("approved", [True, False])
def test_each_outcome_has_words_also_where_nothing_was_asked(outcome: Outcome, approved: bool) -> None:
    never_asked = thread(message(), chosen("s1")).state.steps["s1"]
    said = outcome_in_words(never_asked, outcome, ANN, approved=approved, way="")
    assert said.endswith("Nothing was changed.") or outcome == "settled"


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ((yes(ANN),), "Already approved by U1 at 2026-11-20 09:00 UTC."),
        (
            (rejected("s1", BOB, "d1", at=LATE).model_copy(update={"comment": "not on a Friday"}),),
            "Already rejected by U2 at 2026-11-23 09:00 UTC — not on a Friday.",
        ),
        ((fired("s1/expire/0"),), "This request has expired; it will not run."),
        ((withdrew("s2"),), "This request is withdrawn, so there is nothing left to decide."),
        ((chosen("s2", acts=True, to="x"),), "This request is superseded, so there is nothing left to decide."),
        ((cancelled(),), "This request is cancelled, so there is nothing left to decide."),
        ((refused("s1"),), "This request is refused, so there is nothing left to decide."),
    ],
)
def test_how_a_request_stands_is_one_sentence(events: tuple[Event, ...], says: str) -> None:
    assert standing(*events, expires_at=LATE + timedelta(days=1)) == says


def test_a_standing_approval_is_named_as_one() -> None:
    by_grant = approved("s1", ANN, "d1", standing="g1")
    asked = thread(message(), chosen("s1", acts=True), requested("s1", "d1", standing="g1"), by_grant)
    assert state_in_words(asked.state.steps["s1"]) == (
        "Already approved by the standing approval of U1 at 2026-11-20 09:00 UTC."
    )


@pytest.mark.parametrize(
    ("group", "says"),
    [
        ("anyone", "every verified person"),
        ("team", "everybody in the team file"),
        ("", "nobody"),
        ("release", "release"),
    ],
)
def test_who_may_decide_is_told_in_words(group: str, says: str) -> None:
    assert may_decide(request_of(governed(group=group).state.steps["s1"])) == says


def test_who_may_decide_is_told_as_it_is_by_now() -> None:
    widened = governed(group="release", then="leads", widen_at=AT).extended([fired("s1/widen/0")])
    assert may_decide(request_of(widened.state.steps["s1"])) == "release or leads"
