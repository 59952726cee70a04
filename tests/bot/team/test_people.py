"""Who people are: one person under all their addresses, and nobody by what they call themselves."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.team.file import Team
from bot.team.people import People, github_address, people_problems
from bot.team.tokens import Token, sha256_of
from store.authority.terms import names_of
from store.values import Person

FILE = """
[people.dex]
name = "Dex Example"
slack = "U0123456"
emails = ["Dex@Example.com", "dex@home.example"]
groups = ["release", "leads"]

[people.ana]
emails = ["ana@example.com"]
groups = ["release"]

[people.bob]

[tokens.ana-ci]
sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
owner = "ana"
scopes = ["read"]
until = 2027-01-31

[tokens.machine]
sha256 = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
scopes = ["read"]
until = 2027-01-31
"""


def read(text: str) -> People:
    team = Team.model_validate(tomllib.loads(text))
    return People(team.people, team.tokens)


PEOPLE = read(FILE)


def who(**known: Any) -> str:
    return PEOPLE.identified(Person(name="Somebody", **known)).member


@pytest.mark.parametrize(
    ("known", "key"),
    [
        ({"address": "U0123456"}, "dex"),
        ({"address": "dex@example.com"}, "dex"),
        ({"address": "DEX@EXAMPLE.COM"}, "dex"),
        ({"address": "dex@home.example"}, "dex"),
        ({"address": "dex"}, ""),
        ({"address": "bob"}, ""),
        ({"address": "bob", "login": "bob@laptop"}, "bob"),
        ({"address": "dex", "login": "bob@laptop"}, ""),
        ({"address": "dex@example.com", "login": "bob@laptop"}, ""),
        ({"address": "dex@example.com", "login": "dex@laptop"}, ""),
        ({"address": "ana", "token": "ana-ci"}, "ana"),
        ({"address": "U0123456", "token": "ana-ci"}, "ana"),
        ({"address": "dex@example.com", "token": "gone"}, ""),
        ({"address": "dex", "token": "machine"}, ""),
        ({"address": "U0999999", "email": "Ana@Example.com"}, "ana"),
        ({"address": "U0123456", "email": "ana@example.com"}, "dex"),
        ({"address": "u0123456"}, ""),
        ({"address": "Dex"}, ""),
        ({"address": "Dex Example"}, ""),
        ({"address": "dex@example.com.evil.example"}, ""),
        ({"address": ""}, ""),
    ],
)
def test_a_person_is_known_by_their_addresses(known: dict[str, str], key: str) -> None:
    assert who(**known) == key


@pytest.mark.parametrize("email", ["dex@example.com", "DEX@home.example"])
def test_an_address_that_slack_confirms_for_somebody_else_is_not_the_members(email: str) -> None:
    """Dex has a Slack id, and a stranger was given an address that was once his."""
    stranger = PEOPLE.identified(Person(name="Dex Example", address="U0999999", trust="verified", email=email))
    assert (stranger.member, stranger.email, PEOPLE.groups_of(stranger)) == ("", "", ())
    dex = PEOPLE.identified(Person(name="D.", address="U0123456", trust="verified", email=email))
    assert (dex.member, dex.email) == ("dex", email)
    assert names_of(stranger).isdisjoint(names_of(dex))


def test_an_address_that_slack_confirms_is_ignored_where_it_is_another_members() -> None:
    dex = PEOPLE.identified(Person(name="D.", address="U0123456", trust="verified", email="ana@example.com"))
    assert (dex.member, dex.email) == ("dex", "")


@pytest.mark.parametrize("name", ["dex", "Dex Example", "dex@example.com", "U0123456"])
def test_nobody_is_known_by_what_they_call_themselves(name: str) -> None:
    assert PEOPLE.identified(Person(name=name, address="U0999999", trust="verified")).member == ""


def test_who_somebody_claims_to_be_is_looked_up_and_not_believed() -> None:
    assert who(address="U0999999", member="dex") == ""


def test_nothing_else_of_the_person_changes() -> None:
    person = Person(name="D.", address="Dex@example.com", trust="unverified", email="x@y.example")
    assert PEOPLE.identified(person) == person.model_copy(update={"member": "dex"})


def test_groups_are_those_of_the_team_file() -> None:
    assert PEOPLE.groups_of(PEOPLE.identified(Person(name="", address="U0123456"))) == ("release", "leads")
    assert PEOPLE.groups_of(Person(name="dex", address="U0999999")) == ()
    assert PEOPLE.in_group("release") == ["dex", "ana"]
    assert PEOPLE.in_group("team") == ["dex", "ana", "bob"]
    assert PEOPLE.in_group("anyone") == PEOPLE.in_group("") == []


def test_somebody_is_called_by_slack_or_by_mail_or_by_name() -> None:
    called = [PEOPLE.person(key) for key in PEOPLE.members]
    assert [(one.name, one.address, one.member, one.trust) for one in called] == [
        ("Dex Example", "U0123456", "dex", "verified"),
        ("ana", "ana@example.com", "ana", "verified"),
        ("bob", "", "bob", "verified"),
    ]
    assert [PEOPLE.identified(one) for one in called[:2]] == called[:2]


@given(st.text())
def test_nothing_else_is_anybody(address: str) -> None:
    if address != "U0123456" and "@" not in address:
        assert who(address=address, email=address) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[people.dex]\ngroups = ['anyone']", "must not contain 'anyone'"),
        ("[people.dex]\ngroups = ['team']", "must not contain 'team'"),
        ("[people.dex]\ngroups = ['']", "must be a name of letters"),
        ("[people.dex]\nslack = '@dex'", "must be a Slack member ID, such as U0123456, not '@dex'"),
        ("[people.dex]\nemails = ['Dex <dex@example.com>']", "must be one plain address"),
        ("[people.dex]\nemail = 'dex@example.com'", "people.dex.email"),
        ("[people.dex]\nlogins = ['dex@']", "must be an OS user (dex) or one on one host (dex@build-1)"),
        ("[people.dex]\nlogins = ['Dex Horthy']", "must be an OS user"),
    ],
)
def test_a_directory_that_is_wrong_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(text)
    (problem,) = caught.value.errors()
    told = f"{'.'.join(map(str, problem['loc']))} {problem['msg']}"
    assert words in told


def test_a_login_is_one_persons() -> None:
    people = read(
        "[people.dex]\n[people.ana]\nlogins = ['ana', 'dex@Build-1']\n[people.ben]\nlogins = ['ana@laptop']\n"
        "[people.cat]\nlogins = ['root@build-1']\n[people.eve]\nlogins = ['root@build-2']\n"
    )
    assert people_problems(people.members) == [
        "people must not overlap: dex and ana both claim the login dex@build-1.",
        "people must not overlap: ana and ben both claim the login ana@laptop.",
    ]
    assert [people.by_login(here) for here in ("root@build-1", "root@build-2", "root@build-3", "")] == [
        "cat",
        "eve",
        "",
        "",
    ]


def test_bad_keys_and_what_two_claim_are_told_together() -> None:
    people = read(
        "[people.dex]\nemails = ['a@x.example']\n[people.ana]\nemails = ['A@x.example']\nslack = 'U0123'\n"
        "[people.bob]\nslack = 'U0123'\n[people.cat]\nslack = 'U0456'\n[people.Zoe]\n[people.'dex@example.com']\n"
    )
    letters = "which must consist of lower-case letters, digits, . _ and -, and not api."
    assert people_problems(people.members) == [
        f"people holds 'Zoe', {letters}",
        f"people holds 'dex@example.com', {letters}",
        "people must not overlap: dex and ana both claim a@x.example.",
        "people must not overlap: ana and bob both claim U0123.",
    ]


def test_a_decider_counts_as_long_as_what_they_were_known_by_is_theirs() -> None:
    guest = Person(name="Gus", address="U0GUEST", trust="verified")
    typed = Person(name="Sam", address="sam", login="sam@build-1", trust="verified")
    gone = Person(name="Eve", address="U0EVE", member="eve", trust="verified")
    assert PEOPLE.still(guest) == guest, "whoever was nobody in the team file is nobody still"
    assert PEOPLE.still(typed) is None, "a login that the team file does not name"
    assert PEOPLE.still(gone) is None
    assert read("").still(typed) == typed, "before it names anybody, a terminal is trusted"


def test_a_token_decides_until_its_end_and_only_if_it_may() -> None:
    until = datetime(2026, 11, 27, 12, tzinfo=UTC)
    full = Token(owner="dex", sha256=sha256_of("any token"), scopes=("read", "decide"), until=until)
    tokens = {"full": full, "looks": full.model_copy(update={"scopes": ("read",)})}
    people = replace(PEOPLE, tokens=tokens)
    by = {name: Person(name="Dex", address="dex", token=name, trust="verified") for name in ("full", "looks", "gone")}
    found = people.decider(by["full"], until - timedelta(seconds=1))
    assert found
    assert found.member == "dex"
    assert people.decider(by["full"], until) is None, "it has ended"
    assert people.decider(by["looks"], until - timedelta(days=1)) is None, "it may not decide"
    assert people.decider(by["gone"], until - timedelta(days=1)) is None, "the team file names no such token"


def test_one_person_may_name_an_address_twice() -> None:
    assert list(read("[people.dex]\nemails = ['a@x.example', 'A@x.example']").members) == ["dex"]


def test_who_begins_something_at_github_is_known_by_their_login_there() -> None:
    people = read(
        '[people.dex]\nname = "Dex"\ngithub = "Dex-At-Work"\n[people.ana]\nemails = ["dex-at-work@example.com"]'
    )
    began = Person(name="Ana", address=github_address("dex-AT-work"), trust="verified")
    assert people.identified(began).member == "dex"
    assert names_of(people.identified(began)) == {"dex", "github:dex-at-work"}
    # The login alone is no address of theirs, and neither is what they call themselves.
    assert people.identified(began.model_copy(update={"address": "dex-at-work"})).member == ""
    assert people.identified(Person(name="dex-at-work", address="github:ana", trust="verified")).member == ""


def test_a_login_at_github_is_one_persons_and_no_bots() -> None:
    twice = read('[people.dex]\ngithub = "dex"\n[people.ana]\ngithub = "DEX"').members
    assert people_problems(twice) == ["people must not overlap: dex and ana both claim github:dex."]
    with pytest.raises(ValidationError, match="must be their login at GitHub, such as octocat, not 'renovate"):
        read('[people.dex]\ngithub = "renovate[bot]"')
