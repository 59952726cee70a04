"""A person is written into the team file: what stands there stays, and examples give way to what is real."""

from __future__ import annotations

import tomllib

import pytest

from bot.cli.first_file import FirstSite, team_file
from bot.team.enrolling import enrolled, only_rule
from bot.team.file import Team
from bot.team.problems import SettingsError

SITE = FirstSite("shop", ("live",), "/srv/git/shop.git", ("/srv/bin/deploy", "{sha}"), ("/srv/bin/status",))
FIRST = team_file(SITE, "dex@build-1")


def test_whoever_is_there_gets_what_is_new_and_nothing_else_changes() -> None:
    text = enrolled(FIRST, "dex", {"name": "Dex", "slack": "U0123456789"})
    before, after = tomllib.loads(FIRST), tomllib.loads(text)
    assert after.pop("people") == {"dex": {"logins": ["dex"], "name": "Dex", "slack": "U0123456789"}}
    before.pop("people")
    assert after == before
    assert '# slack = "U0123456789"\n' not in text, "the example is real now"
    assert '# groups = ["release"]\n' in text
    assert [line for line in FIRST.splitlines() if line not in text.splitlines()] == ['# slack = "U0123456789"']


def test_whoever_is_not_there_gets_a_table_at_the_end() -> None:
    text = enrolled(FIRST, "kim", {"logins": ["kim"]})
    assert text == f'{FIRST}\n[people.kim]\nlogins = ["kim"]\n'
    assert enrolled("[agents.db]\n", "kim", {"logins": ["kim"]}) == '[agents.db]\n\n[people.kim]\nlogins = ["kim"]\n'


def test_a_new_group_is_that_of_the_only_rule() -> None:
    assert only_rule(Team.model_validate(tomllib.loads(FIRST)))
    text = enrolled(FIRST, "dex", {"groups": ["release"]}, group="release")
    team = Team.model_validate(tomllib.loads(text))
    assert (team.rule[0].group, team.people["dex"].groups) == ("release", ("release",))
    assert not only_rule(team)
    assert "# everybody in [people]; or one of their groups" in text


@pytest.mark.parametrize("text", ["people = 1\n", 'people = { dex = { name = "Dex" } }\n', "[people\n"])
def test_a_file_that_cannot_take_it_is_left_to_people(text: str) -> None:
    with pytest.raises(SettingsError, match=r"add \[people.kim\] yourself"):
        enrolled(text, "kim", {"name": "Kim"})
