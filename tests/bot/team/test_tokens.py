"""Tokens for the HTTP API: none that anybody guesses, none twice, none without an end, and no machine that decides."""

from __future__ import annotations

import hashlib
import re
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bot.app import roster_problems
from bot.settings import Settings
from bot.setup import Setup
from bot.team.file import Team, inspect_team
from bot.team.tokens import WORDS, Token, Tokens, same_as_machine, sha256_of, token_warnings, with_machine
from store.authority.words import MACHINE
from tests import ROOT

SECRET = "b1946ac92492d2347c6235b4d2611184"
NOW = datetime(2027, 1, 30, 12, tzinfo=UTC)


def table(name: str = "ci", /, **changes: Any) -> str:
    """A table as in a file. A value of None leaves its key out."""
    values = {"sha256": repr(sha256_of(SECRET)), "scopes": '["read"]', "until": "2027-01-31"} | changes
    return f"[tokens.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items() if value is not None)


@pytest.fixture
def problems(tmp_path: Path) -> Any:
    def found(text: str) -> list[str]:
        file = tmp_path / "bot.toml"
        file.write_text(f"[people.ana]\n{text}")
        _, told = inspect_team(file)
        assert all(SECRET not in line and sha256_of(SECRET) not in line for line in told)
        return [line.removeprefix(f"{file}: ") for line in told]

    return found


def token(text: str) -> Token:
    (found,) = Team.model_validate(tomllib.loads(text)).tokens.values()
    return found


def test_a_token_says_all_of_it(problems: Any) -> None:
    text = table(owner="'ana'", scopes='["read", "write", "decide"]', agents='["deploy"]', threads='"own"')
    assert problems(text) == []
    found = token(text)
    assert (found.owner, found.scopes, found.threads) == ("ana", ("read", "write", "decide"), "own")
    assert found.covers("deploy")
    assert not found.covers("rollback")
    assert token(table()).covers("rollback")
    assert sha256_of(SECRET) not in repr(found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            table(sha256="'my-own-token'"),
            "tokens.ci.sha256 must be 64 hex digits, as `printf %s TOKEN | sha256sum` prints.",
        ),
        (table(sha256=None), "tokens.ci.sha256 is missing."),
        (table(scopes=None), "tokens.ci.scopes is missing."),
        (table(scopes="[]"), "tokens.ci.scopes must name at least one."),
        (table(scopes='["admin"]'), "tokens.ci.scopes.0 must be 'read', 'write' or 'decide'."),
        (table(until=None), "tokens.ci.until is missing."),
        (table(until="'2027-01-31'"), "tokens.ci.until must be a date, such as 2027-01-31, without quotes."),
        (table(until="2027-01-31T18:00:00"), "tokens.ci.until needs an offset, such as 2027-01-31T18:00:00Z."),
        (table(threads='"mine"'), "tokens.ci.threads must be 'own', 'shared' or 'all'."),
        (table(agents="[]"), "tokens.ci.agents must name at least one."),
        (table(scope='["read"]'), "tokens.ci.scope is not known here; did you mean scopes?"),
        ("[tokens]\nci = 'x'", "tokens.ci must be a table."),
        (table(owner="'anna'"), "tokens.ci.owner: 'anna' is no key of [people]; did you mean ana?"),
        (table(scopes='["decide"]'), "tokens.ci needs an owner, or no scope decide: machines do not decide."),
        (
            table("api"),
            "tokens holds 'api', which must consist of lower-case letters, digits, . _ and -, and not be api, which is "
            "BOT_API_TOKEN.",
        ),
        (table("one") + table("two"), "tokens.one and tokens.two are the same token: make one for each."),
    ],
)
def test_a_token_that_is_wrong_is_refused(problems: Any, text: str, told: str) -> None:
    assert problems(text) == [told]


def test_wrong_tokens_are_told_together(problems: Any) -> None:
    told = problems(table("Ci", owner="'bob'") + table("two", scopes="[]", until=None))
    assert [line.split()[0] for line in told] == ["tokens.two.scopes", "tokens.two.until", "tokens", "tokens.Ci.owner:"]


@pytest.mark.parametrize("word", ["", "test", "changeme", "deploybot", *WORDS])
@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_token_that_anybody_guesses_is_refused(problems: Any, word: str, ending: str) -> None:
    (told,) = problems(table(sha256=repr(sha256_of(word + ending))))
    assert told == "tokens.ci.sha256 is of a token that anybody guesses: make one with `openssl rand -hex 32`."


@pytest.mark.parametrize("typed", ["0" * 64, "a" * 64, "0123" * 16])
def test_a_hash_that_somebody_typed_is_refused(problems: Any, typed: str) -> None:
    assert "was typed, not computed" in problems(table(sha256=repr(typed)))[0]


def test_the_example_on_the_page_lets_nobody_in(problems: Any) -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"(\[tokens\..*?)```", page, re.DOTALL)
    hashes = re.findall(r'sha256 = "(.*?)"', block)
    assert hashes
    for example in hashes:
        assert problems(table(sha256=f'"{example}"'))
    assert hashlib.sha256(b"test").hexdigest() not in page


def test_a_token_of_a_person_stands_in_a_table_of_its_own(problems: Any) -> None:
    assert problems(f"api_token_sha256 = '{sha256_of(SECRET)}'\n") == [
        'people.ana: a token has a table of its own, [tokens.NAME] with owner = "ana".'
    ]


def test_an_agent_that_there_is_not_is_told_with_the_nearest() -> None:
    team = Team.model_validate(tomllib.loads(table(agents='["deploi"]') + "[agents.deploy]\n"))
    told = "tokens.ci.agents in the team file: 'deploi' is no agent that is set up; did you mean deploy?"
    assert told in roster_problems(Setup(Settings(), team))


def test_the_token_of_the_machine_is_nobody_elses() -> None:
    team = Team.model_validate(tomllib.loads(table()))
    told = "tokens.ci in the team file and BOT_API_TOKEN are the same token: make one for each."
    assert same_as_machine(team.tokens, SECRET) == [told]
    assert told in roster_problems(Setup(Settings(bot_api_token=SecretStr(SECRET)), team))
    assert same_as_machine(team.tokens, "") == []


# Which one it is


def test_a_token_is_known_by_its_hash() -> None:
    tokens = Tokens(with_machine({"ci": token(table())}, "the machine's own"))
    assert tokens.name_of(SECRET) == "ci"
    assert tokens.name_of("the machine's own") == MACHINE
    for other in ("", "a", SECRET.upper(), f"{SECRET} ", sha256_of(SECRET), "\ud800", "\udcff"):
        assert tokens.name_of(other) == ""


def test_without_a_token_of_its_own_there_is_no_machine() -> None:
    assert with_machine({}, "") == {}
    assert Tokens(with_machine({}, "")).name_of("") == ""
    nothing = Token(sha256=sha256_of(""), scopes=("read",), until=date(2099, 1, 1))
    assert Tokens({"nothing": nothing}).name_of("") == ""


def test_the_machine_reads_and_writes_and_never_decides() -> None:
    machine = with_machine({}, SECRET)[MACHINE]
    assert (machine.scopes, machine.threads, machine.owner) == (("read", "write"), "shared", "")


@pytest.mark.parametrize("behind", ["", "  -", " *-"])
def test_a_hash_is_taken_as_it_is_printed(behind: str) -> None:
    assert token(table(sha256=repr(sha256_of(SECRET).upper() + behind))).sha256 == sha256_of(SECRET)


# Until when


def test_a_date_is_a_whole_day_and_an_instant_an_instant() -> None:
    assert token(table()).until == datetime(2027, 2, 1, tzinfo=UTC)
    assert token(table(until="2027-01-31T18:00:00+01:00")).until == datetime(2027, 1, 31, 17, tzinfo=UTC)
    assert token(table(until="9999-12-31")).until > datetime(9999, 12, 30, tzinfo=UTC)


def test_a_token_that_has_ended_or_soon_will_is_told() -> None:
    tokens = {
        "gone": token(table(until="2027-01-01")),
        "soon": token(table(until="2027-01-31")),
        "good": token(table(until="2027-02-28")),
        "forever": token(table(until="9999-12-31")),
    }
    assert token_warnings(tokens, NOW) == [
        "tokens.gone in the team file ended at 2027-01-02 00:00 UTC: make a new one, or take it out.",
        "tokens.soon in the team file ends at 2027-02-01 00:00 UTC: make a new one, or take it out.",
    ]
    assert len(token_warnings(tokens, NOW + timedelta(days=40))) == 3
    ends = tokens["soon"].until
    for days, told in ((7, 1), (7.01, 0)):
        assert len(token_warnings({"soon": tokens["soon"]}, ends - timedelta(days=days))) == told
