"""Which threads a caller may see, whatever a log holds: a list never shows what may not be looked at."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.team.named_places import NamedPlaces
from bot.team.people import Member, People
from bot.team.tokens import Token, sha256_of
from bot.web.callers import caller_of
from bot.web.sight import may_see, whole_row
from store.events import KINDS, Event
from store.index import row_of
from store.thread import Thread
from store.values import Person
from tests.telling.story import ANN, BOB, approved, chosen, message, opened, requested, thread, trigger
from tests.telling.strategies import events_of

NOWHERE = NamedPlaces()
HERE = NamedPlaces(shared=frozenset({"terminal:desk"}))
PEOPLE = People(
    {"ann": Member(slack="U1", emails=("Ann@team.example",), groups=("release",)), "bob": Member(slack="U2")}
)


def sees(found: Thread, places: NamedPlaces = NOWHERE, owner: str = "ann", name: str = "ci", **more: Any) -> bool:
    scopes = ("read", "decide") if owner else ("read",)
    given = {"sha256": sha256_of("random"), "owner": owner, "scopes": scopes, "until": date(2099, 1, 1), **more}
    by = caller_of(name, Token(**given), PEOPLE)
    whole = may_see(by, whole_row(found), places)
    assert whole or not may_see(by, row_of(found), places), "a list shows no more than there is to see"
    return whole


@pytest.mark.parametrize("address", ["U1", "u1", "ann@TEAM.example", "ann"])
def test_a_person_is_the_same_under_all_their_addresses(address: str) -> None:
    begun = thread(message(by=Person(name="x", address=address, trust="verified")))
    assert sees(begun, threads="own")
    assert sees(begun)
    assert not sees(begun, owner="bob")


def test_nobody_sees_by_the_name_that_they_give_themselves() -> None:
    stranger = thread(message(by=Person(name="ann", address="U9", trust="verified")))
    assert not sees(stranger, threads="own")
    assert not sees(stranger)
    assert not sees(thread(message(by=Person(name="api:ci", address="U9"))), owner="", threads="own")


def test_what_is_ones_own_is_what_one_began() -> None:
    assert not sees(thread(trigger(), message(by=ANN)), threads="own")
    named_like_her = Person(name="ann", address="U9", trust="verified")
    assert not sees(thread(message(by=named_like_her), message("m2", by=ANN)), threads="own")
    joined = thread(message(by=BOB), message("m2", by=ANN))
    assert sees(joined, owner="bob", threads="own")
    assert not sees(joined, threads="own")
    assert sees(joined)


@pytest.mark.parametrize("owner", ["", "ann", "bob"])
def test_all_is_said_by_one_word_alone(owner: str) -> None:
    private = thread(message(by=Person(name="Eve", address="U3")))
    assert [sees(private, owner=owner, threads=threads) for threads in ("own", "shared", "all")] == [False, False, True]
    assert sees(private, HERE, owner=owner)
    assert not sees(private, HERE, owner=owner, threads="own")


def test_an_agent_that_is_not_named_is_not_there() -> None:
    for threads in ("own", "shared", "all"):
        assert not sees(thread(message(by=ANN)), HERE, agents=("other",), threads=threads)


def test_who_is_asked_sees_it_and_who_was_asked_still_does() -> None:
    waiting = thread(message(by=BOB), chosen("s1", acts=True), requested("s1", group="release"))
    settled = waiting.extended([approved("s1", Person(name="C", address="U7", trust="verified"), groups=("release",))])
    for asked in (waiting, settled):
        assert sees(asked)
        assert not sees(asked, scopes=("read", "write")), "one that may not decide is not asked"
        assert not sees(asked, owner="")
        assert not sees(asked, owner="", scopes=("read", "decide")), "a machine is asked nothing"
        assert not sees(asked, threads="own")
    assert not sees(thread(message(by=BOB), chosen("s1", acts=True), requested("s1", group="leads")))
    of_all = thread(message(by=BOB), chosen("s1", acts=True), requested("s1", group="team"))
    assert sees(of_all)
    assert not sees(of_all, owner="", scopes=("read", "decide"))
    beforehand = thread(message(by=BOB), chosen("s1", acts=True), requested("s1", group="release", standing="g1"))
    assert not sees(beforehand), "nobody was asked"


def test_a_record_is_no_conversation() -> None:
    record = Thread("standing").extended([opened(agent="")])
    assert not sees(record)
    assert not sees(record, threads="all", agents=("deploy",))


@given(st.lists(st.one_of(*(events_of(kind) for kind in KINDS.values())), max_size=6), st.booleans())
def test_whatever_the_log_holds_a_list_shows_no_more(events: list[Event], here: bool) -> None:
    found = thread(*events)
    for owner in ("", "ann", "bob"):
        for threads in ("own", "shared", "all"):
            sees(found, HERE if here else NOWHERE, owner, threads=threads)
