"""Who is at the terminal: nobody is whom they only claim to be."""

from __future__ import annotations

import pytest

from bot.cli.person import how_to_be_known, known_by, login, proof_of
from bot.team.people import Member, People
from store.authority.terms import names_of

PEOPLE = People(
    {
        "dex": Member(name="Dex Horthy", slack="U0DEX"),
        "ana": Member(name="Ana", emails=("ana@example.com",), logins=("aalvarez", "root@build-1")),
        "eve": Member(name="Eve", logins=()),
    }
)


@pytest.mark.parametrize(
    ("here", "claims", "member"),
    [
        ("dex@laptop", "", "dex"),
        ("dex@laptop", "dex", "dex"),
        ("aalvarez@laptop", "", "ana"),
        ("root@build-1", "ana", "ana"),
    ],
)
def test_a_login_is_the_person_whose_it_is(here: str, claims: str, member: str) -> None:
    me = known_by(here, claims, PEOPLE)
    assert (me.name, me.trust, me.login) == (PEOPLE.members[member].name, "verified", here)
    assert PEOPLE.identified(me).member == member


@pytest.mark.parametrize(
    ("here", "claims", "name"),
    [
        ("dex@laptop", "ana", "ana"),  # somebody else, from one's own login
        ("ana@laptop", "ana", "ana"),  # logins are declared, so the key is none
        ("ana@laptop", "", "ana"),
        ("root@build-2", "", "root"),  # another host
        ("eve@laptop", "eve", "eve"),  # nobody at a terminal
        ("zoe@laptop", "Dex Horthy", "Dex Horthy"),
        ("dex@laptop", "Dex Horthy", "Dex Horthy"),  # --as takes the key
        ("ana@example.com", "", "ana"),  # it looks like a mail address of hers
        ("zoe@laptop", "U0DEX", "U0DEX"),
        ("dex@corp@laptop", "", "dex@corp"),
    ],
)
def test_everybody_else_is_an_unverified_stranger(here: str, claims: str, name: str) -> None:
    me = known_by(here, claims, PEOPLE)
    assert (me.name, me.trust, me.login) == (name, "unverified", here)
    assert PEOPLE.identified(me).member == ""
    assert names_of(me).isdisjoint(name for key in PEOPLE.members for name in names_of(PEOPLE.person(key)))
    hint = how_to_be_known(me, "not_entitled", PEOPLE)
    if owner := PEOPLE.by_login(here):
        assert hint == f" You are {PEOPLE.members[owner].name} here: leave out --as."
    else:
        assert f"You are {here} here: add that" in hint


def test_where_the_team_file_names_nobody_people_are_who_they_say() -> None:
    ann, bob = (known_by("dex@laptop", name, People()) for name in ("Ann", "Bob"))
    assert [(one.name, one.address, one.trust, one.login) for one in (ann, bob)] == [
        ("Ann", "Ann", "verified", "dex@laptop"),
        ("Bob", "Bob", "verified", "dex@laptop"),
    ]
    assert how_to_be_known(ann, "not_entitled", People()) == ""
    assert proof_of(ann) == "terminal dex@laptop"
    assert not names_of(ann).isdisjoint(names_of(bob)), "one person, for a quorum"


def test_no_variable_of_the_environment_says_who_somebody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    before = login()
    for variable in ("USER", "LOGNAME", "LNAME", "USERNAME", "SUDO_USER", "HOSTNAME"):
        monkeypatch.setenv(variable, "dex")
    assert login() == before
