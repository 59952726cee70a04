"""An approval is judged again by the team file of the moment at which its call begins."""

from __future__ import annotations

import hashlib
import tomllib

import pytest

from agent.loop import Loop
from bot.team.file import Team
from bot.team.people import People
from bot.team.policies import Policies
from store.events import ApprovalRequested, ToolStarted
from store.values import Person
from tests.telling.playbook import Push, World, done

ANA = """
[people.ana]
emails = ["ana@example.com"]
groups = ["release"]
"""
CLEO = """
[people.cleo]
emails = ["cleo@example.com"]
"""
RULE = """
[[rule]]
tool = "push"
group = "release"
requester_may = false
"""


def read(text: str) -> Team:
    return Team.model_validate(tomllib.loads(text))


def policies(text: str) -> Policies:
    team = read(text)
    return Policies(People(team.people, team.tokens), team.rules, team.business_hours)


async def approved_by(by: Person, before: str) -> World:
    """Cleo asked for a push, and this person has approved it by this team file."""
    team = read(before)
    world = World(people=People(team.people, team.tokens), authority=policies(before))
    world.model.answers(Push(target="prod"))
    await world.say("push it", by=person("Cleo"))
    await world.run()
    assert (await world.approve(by)).outcome == "settled"
    return world


async def runs(world: World, then: str) -> list[str]:
    """What begins once the workers have read this team file."""
    world.loop = Loop(
        authority=policies(then),
        store=world.store,
        roster=world.roster,
        channels={world.channel.name: world.channel},
        model=world.model,
        clock=world.clock,
    )
    world.model.answers(done())
    await world.run()
    return world.desk.ran


def person(name: str) -> Person:
    return Person(name=name, address=f"{name.lower()}@example.com", trust="verified")


@pytest.mark.parametrize(
    ("then", "ran"),
    [
        (ANA + CLEO + RULE, True),
        (ANA + CLEO + RULE + 'expires = "2h"', True),
        (ANA + CLEO + RULE + "quorum = 2", False),
        (ANA + CLEO + RULE + 'decide_by = ["slack"]', False),
        (ANA + CLEO + RULE.replace("release", "leads"), False),
        (ANA + CLEO + RULE.replace('"push"', '"other"'), False),
        (ANA.replace("release", "leads") + CLEO + RULE, False),
        (CLEO + RULE, False),
        (ANA.replace('["ana@', '["cleo@example.com", "ana@') + RULE, False),
    ],
)
async def test_what_was_approved_runs_by_the_team_file_of_the_moment(then: str, ran: bool) -> None:
    before = ANA + CLEO + RULE
    world = await approved_by(person("Ana"), before)
    await runs(world, then)
    assert bool(world.desk.ran) == ran
    asked = [event.rules for event in world.thread.events if isinstance(event, ApprovalRequested)]
    begun = [event.rules for event in world.thread.events if isinstance(event, ToolStarted)]
    assert all(len(digest) == 64 for digest in (*asked, *begun))
    assert len(begun) == ran
    assert (begun == asked) == (then == before)


# What made them Ana

EVERY_WAY = """
[people.ana]
slack = "U1111111"
emails = ["ana@example.com"]
logins = ["root@build-1"]
groups = ["release"]
[people.bob]
groups = ["release"]
"""
TOKEN = f"""
[tokens.ana-ci]
sha256 = "{hashlib.sha256(b"a token of Ana's").hexdigest()}"
owner = "ana"
scopes = ["read", "write", "decide"]
until = 2027-01-31
"""
FILE = EVERY_WAY + TOKEN + CLEO + RULE
BY_TOKEN = Person(name="Ana", address="ana", token="ana-ci", trust="verified")
AT_TERMINAL = Person(name="Ana", address="ana", login="root@build-1", trust="verified")
BY_SLACK = Person(name="Ana", address="U1111111", trust="verified")
BY_MAIL = Person(name="Ana", address="ana@example.com", trust="verified")


@pytest.mark.parametrize(
    ("by", "old", "new"),
    [
        (BY_TOKEN, TOKEN, ""),
        (BY_TOKEN, "ana-ci", "bens-ci"),
        (BY_TOKEN, 'owner = "ana"', 'owner = "bob"'),
        (BY_TOKEN, ', "decide"', ""),
        (BY_TOKEN, "2027-01-31", "2026-11-01"),
        (AT_TERMINAL, '["root@build-1"]', "[]"),
        (AT_TERMINAL, 'logins = ["root@build-1"]\n', ""),
        (AT_TERMINAL, "root@build-1", "root@build-2"),
        (BY_SLACK, "U1111111", "U2222222"),
        (BY_SLACK, 'slack = "U1111111"\n', ""),
        (BY_MAIL, 'emails = ["ana@example.com"]\n', ""),
    ],
)
@pytest.mark.parametrize("group", ["release", "team", "anyone"])
async def test_a_vote_counts_while_what_it_was_given_by_is_still_theirs(
    by: Person, old: str, new: str, group: str
) -> None:
    file = FILE.replace('group = "release"', f'group = "{group}"')
    assert await runs(await approved_by(by, file), file) == ["push(target: prod)"]
    assert old in file
    assert await runs(await approved_by(by, file), file.replace(old, new)) == []


@pytest.mark.parametrize(
    ("by", "old", "new"),
    [
        (BY_SLACK, "U1111111", "U2222222"),
        (BY_MAIL, "ana@example.com", "ana@other.example"),
        (AT_TERMINAL, "root@build-1", "ana@build-1"),
    ],
)
async def test_what_was_anas_and_is_bobs_makes_her_vote_nobodys(by: Person, old: str, new: str) -> None:
    field = {"U1111111": 'slack = "U1111111"', "root@build-1": 'logins = ["root@build-1"]'}
    bobs = "[people.bob]\n" + field.get(old, f'emails = ["{old}"]') + "\n"
    then = FILE.replace(old, new).replace("[people.bob]\n", bobs)
    assert await runs(await approved_by(by, FILE), then) == []


@pytest.mark.parametrize("typed", ["ana", "ana@example.com", "U1111111"])
@pytest.mark.parametrize("login", ["mallory@pc", "root@build-1"])
async def test_a_name_typed_where_nobody_was_in_the_team_file_is_nobodys(typed: str, login: str) -> None:
    anybody = '[[rule]]\ntool = "push"\ngroup = "anyone"\n'
    by = Person(name=typed, address=typed, login=login, trust="verified")
    hers = (typed, login) == ("ana", "root@build-1")
    assert await runs(await approved_by(by, anybody), FILE) == (["push(target: prod)"] if hers else [])
    for_anyone = FILE.replace('group = "release"', 'group = "anyone"')
    assert await runs(await approved_by(by, anybody), for_anyone) == (["push(target: prod)"] if hers else [])


async def test_a_vote_of_a_log_that_does_not_say_by_what_it_was_given() -> None:
    anybody = '[[rule]]\ntool = "push"\ngroup = "anyone"\n'
    typed = Person(name="ana", address="ana", trust="verified")
    assert await runs(await approved_by(typed, anybody), FILE) == []
    assert await runs(await approved_by(BY_MAIL, anybody), FILE) == ["push(target: prod)"]
