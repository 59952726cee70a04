"""Where people say that something shall be said or begun: one notation, and every channel's own addresses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from channels import places
from channels.email import place as email_place
from channels.email.identity.senders import plus_tag
from channels.places import Alerts, Approvals, Command, Firing, NoPlace, Purpose
from channels.slack import place as slack_place
from channels.slack.place import Address
from store.values import Place

FIRING = Firing("nightly", "2026-11-20T09:00:00Z")
COMMAND = Command("cli-1")
FOR_THREADS = "must be slack:CHANNEL_OR_USER_ID, email:ADDRESS, webhook:ENDPOINT, or terminal:NAME"


@pytest.mark.parametrize(
    ("text", "purpose", "address"),
    [
        ("slack:C0123", Alerts(), "/C0123/"),
        ("slack:U0123", Approvals(), "/U0123/"),
        ("slack:C0123", FIRING, "/C0123/#nightly@2026-11-20T09:00:00Z"),
        ("slack:C0123", COMMAND, "/C0123/#cli-1"),
        ("slack:T1/C0123/1700000000.000100", COMMAND, "T1/C0123/1700000000.000100"),
        ("slack:/C0123/", COMMAND, "/C0123/"),
        ("email:Ops@Example.com", Alerts(), "Ops@Example.com/alerts"),
        ("email:Ops@Example.com", Approvals(), "ops@example.com/approvals"),
        ("email:Ops@Example.com", FIRING, "ops@example.com/nightly@2026-11-20T09:00:00Z"),
        ("email:ops@example.com", COMMAND, "ops@example.com"),
        ("email:ops@example.com/alerts", COMMAND, "ops@example.com/alerts"),
        ("email:<1@example.com>", COMMAND, "<1@example.com>"),
        ("webhook:pager", Alerts(), "pager"),
        ("webhook:pager", Approvals(), "pager"),
        ("webhook:pager", FIRING, "pager/nightly@2026-11-20T09:00:00Z"),
        ("webhook:pager", COMMAND, "pager/cli-1"),
        ("terminal:ops", FIRING, "ops/nightly@2026-11-20T09:00:00Z"),
        ("terminal:ops", COMMAND, "ops"),
        ("terminal:ops/x", COMMAND, "ops/x"),
    ],
)
def test_a_place_is_written_the_same_for_every_purpose(text: str, purpose: Purpose, address: str) -> None:
    assert places.parse(text, purpose) == Place(channel=text.partition(":")[0], address=address)


@pytest.mark.parametrize(
    ("purpose", "words", "wrong"),
    [
        (
            Alerts(),
            "must be slack:CHANNEL_ID, email:ADDRESS, or webhook:ENDPOINT",
            [
                "",
                "slack",
                "slack:",
                "slack:#ops",
                "slack:a@b.c",
                "email:C0123",
                "email:a/b@example.com",
                "terminal:ops",
                "webhook:",
                "webhook:Pager",
                "webhook:a/b",
            ],
        ),
        (
            FIRING,
            FOR_THREADS,
            ["irc:ops", "slack:T1/C0123/17.1", "email:", "terminal:a/b", "terminal:"],
        ),
        (
            COMMAND,
            FOR_THREADS,
            ["ops", "slack:ops", "slack:T1/C0123", "slack:T1//17.1", "email:ops", "terminal:", "webhook:pager/x"],
        ),
    ],
)
def test_what_is_no_place_is_told_in_words(purpose: Purpose, words: str, wrong: list[str]) -> None:
    for text in wrong:
        with pytest.raises(NoPlace) as told:
            places.parse(text, purpose)
        assert str(told.value) == words


def test_other_things_that_may_stand_there_are_told_beside_the_places() -> None:
    assert places.forms(Approvals(), "members") == ("slack:CHANNEL_ID, email:ADDRESS, webhook:ENDPOINT, or members")


class Pigeons:
    channel = "pigeon"

    def form(self, purpose: Purpose) -> str:
        return "LOFT" if isinstance(purpose, Alerts) else ""

    def place(self, name: str, purpose: Purpose) -> Place | None:
        return Place(channel=self.channel, address=f"loft/{name}") if name and isinstance(purpose, Alerts) else None

    def name(self, place: Place) -> str:
        return place.address.removeprefix("loft/")

    def is_personal(self, name: str) -> bool:
        return False


@pytest.fixture
def pigeons() -> Iterator[None]:
    before = dict(places._grammars)
    places.register(Pigeons())
    yield
    places._grammars.clear()
    places.register(*before.values())


@pytest.mark.usefixtures("pigeons")
def test_another_channel_brings_a_grammar_and_nothing_else_changes() -> None:
    assert places.parse("pigeon:north", Alerts()) == Place(channel="pigeon", address="loft/north")
    with pytest.raises(NoPlace, match=r"webhook:ENDPOINT, or pigeon:LOFT\Z"):
        places.parse("pigeon:", Alerts())
    with pytest.raises(NoPlace):
        places.parse("pigeon:north", FIRING)


def test_an_address_in_slack_is_read_as_it_was_made() -> None:
    place = slack_place.place_of("T1", "C1", "17.1")
    assert slack_place.address_of(place) == slack_place.thread_at(place) == Address("T1", "C1", "17.1")
    opening = places.parse("slack:U0123", FIRING)
    assert slack_place.thread_at(opening) is None
    address = slack_place.address_of(opening)
    assert address is not None
    assert address.is_user
    assert address.begins_thread
    for text in ("", "C1", "T1/C1"):
        assert slack_place.address_of(Place(channel="slack", address=text)) is None
    assert slack_place.address_of(Place(channel="email", address="T1/C1/17.1")) is None


def test_an_address_of_mail_says_whom_it_is_for() -> None:
    assert email_place.person_at(places.parse("email:ops@example.com", FIRING)) == "ops@example.com"
    assert plus_tag("bot+deploy@example.com") == "deploy"
    assert plus_tag("bot@example.com") == ""
