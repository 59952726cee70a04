"""An approval is judged again by the team file of the moment at which its call begins."""

from __future__ import annotations

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
    return Policies(People(team.people), team.rules, team.business_hours)


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
    world = World(people=People(read(before).people), authority=policies(before))
    world.model.answers(Push(target="prod"))
    await world.say("push it", by=person("Cleo"))
    await world.run()
    assert (await world.approve(person("Ana"))).outcome == "settled"
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
    assert bool(world.desk.ran) == ran
    asked = [event.rules for event in world.thread.events if isinstance(event, ApprovalRequested)]
    begun = [event.rules for event in world.thread.events if isinstance(event, ToolStarted)]
    assert all(len(digest) == 64 for digest in (*asked, *begun))
    assert len(begun) == ran
    assert (begun == asked) == (then == before)
