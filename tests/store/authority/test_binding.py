"""An approval holds for one call, and is looked at again when that begins."""

from __future__ import annotations

from typing import Any

import pytest

from store.authority.binding import digest, digest_of, still_binds
from store.events import ApprovalRequested
from store.state import Request
from store.values import CardWords
from tests.store.stories import request_of
from tests.telling.story import ANN, BOB, EVE, approved, chosen, message, rejected, requested, thread


def bound(**terms: Any) -> ApprovalRequested:
    drafted = requested("s1", "", **terms)
    return drafted.model_copy(
        update={"digest": digest("t1", chosen("s1", acts=True), drafted.facts, drafted.policy, None)}
    )


def settled(*votes: Any, **terms: Any) -> Request:
    asked = bound(**terms)
    told = thread(message(), chosen("s1", acts=True), asked).extended(
        [approved("s1", by, asked.digest, standing=terms.get("standing", "")) for by in votes]
    )
    return request_of(told.state.steps["s1"])


def test_a_digest_is_what_it_was_in_any_version() -> None:
    """What was approved before an upgrade may begin after it."""
    step = chosen("s1", acts=True, arguments={"who": "Zoë", "count": 1})
    facts: dict[str, Any] = {"revision": "ü", "also": [1.5, None]}
    assert (
        digest("t1", step, facts, {"quorum": 2}, None)
        == "aba5294175bd41d6a25c536e088d111a77f6017dc8d3e5f02ffd1a4a51669f2a"
    )
    bound = digest("t1", step, facts, {"quorum": 2}, None)
    assert digest("t1", step, dict(reversed(facts.items())), {"quorum": 2}, None) == bound
    configured = [digest("t1", step, facts, {"quorum": 2}, parts) for parts in ({}, {"deploy": "a"}, {"deploy": "b"})]
    assert len({bound, *configured}) == 4
    assert configured[1] == "a96ec0ca6348715b3eeff920283bf0b2e94445cf9ed2baea6f74fe2a982f9a0b"


@pytest.mark.parametrize(("votes", "terms"), [((ANN, BOB), {"quorum": 2}), ((ANN,), {"quorum": 2, "standing": "g1"})])
def test_what_as_many_as_it_takes_have_approved_may_begin(votes: tuple[Any, ...], terms: dict[str, Any]) -> None:
    request = settled(*votes, **terms)
    assert still_binds("t1", request)
    assert not still_binds("t2", request), "it is a call of another thread"
    assert not still_binds("t1", request._replace(votes=request.votes[1:])), "there is a vote less"
    assert not still_binds("t1", request._replace(decision=None))
    strange = tuple(vote.model_copy(update={"by": EVE}) for vote in request.votes)
    assert not still_binds("t1", request._replace(votes=strange)), "nobody knows who has voted"
    configured = request.asked.model_copy(update={"configuration": {}})
    assert not still_binds("t1", request._replace(asked=configured)), "its configuration is not what they approved"
    other = request.asked.model_copy(update={"facts": {"revision": "another"}})
    assert not still_binds("t1", request._replace(asked=other)), "it is not what they saw"


def test_a_vote_that_is_there_twice_is_one() -> None:
    request = settled(ANN, BOB, quorum=2)
    assert not still_binds("t1", request._replace(votes=request.votes[:1] * 2))


def test_a_rejection_lets_nothing_begin() -> None:
    asked = bound()
    told = thread(message(), chosen("s1", acts=True), asked, rejected("s1", ANN, asked.digest))
    assert not still_binds("t1", request_of(told.state.steps["s1"]))


def test_a_title_and_what_warns_people_are_bound_too() -> None:
    asked = requested("s1", title="Push v3 to prod", dangers=("note",), facts={"note": "it is OLDER"})
    call = chosen("s1", acts=True)
    others: list[dict[str, Any]] = [{"title": "Push v3 to staging"}, {"title": ""}, {"dangers": ()}]
    digests = {digest_of("t1", call, asked.model_copy(update=change)) for change in [{}, *others]}
    assert len(digests) == 4
    old = requested("s1", facts={"note": "it is OLDER"})
    assert digest_of("t1", call, old) == digest("t1", call, old.facts, old.policy, None), "as before there were titles"


def test_every_word_of_a_card_is_bound_and_a_request_from_before_there_were_any_is_as_it_was() -> None:
    said = CardWords(labels={"note": "why"}, warnings={"note": "It is OLDER than v1.5.0, which runs there."})
    asked = requested("s1", title="Push v3 to prod", dangers=("note",), facts={"note": "it is OLDER"}, card=said)
    asked = asked.model_copy(update={"digest": digest_of("t1", chosen("s1", acts=True), asked)})
    told = thread(message(), chosen("s1", acts=True), asked, approved("s1", ANN, asked.digest))
    request = request_of(told.state.steps["s1"])
    assert still_binds("t1", request)
    harmless = said.model_copy(update={"warnings": {"note": "It is as good as what runs there."}})
    renamed = said.model_copy(update={"labels": {"note": "nothing of importance"}})
    for card in (harmless, renamed, CardWords()):
        assert not still_binds("t1", request._replace(asked=asked.model_copy(update={"card": card}))), card
    wordless = asked.model_copy(update={"card": CardWords()})
    before = digest("t1", chosen("s1", acts=True), asked.facts, asked.policy, None, asked.title, asked.dangers)
    assert digest_of("t1", chosen("s1", acts=True), wordless) == before
