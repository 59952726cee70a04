"""Which rule holds: the first that matches, or the strictest where that cannot be told; and which calls wait."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from itertools import product
from typing import Any, Literal

import pytest

from agent.decide import RequestApproval, RunTool, decide
from agent.steps import Tool
from bot.team.file import Team
from bot.team.people import People
from bot.team.rules import Deciders, Rule, strictness
from store.events import StepChosen
from tests.telling.playbook import Look, Touch, World, done, ops
from tests.telling.story import ANN

PEOPLE = """
[people.ann]
groups = ["leads", "staff"]
[people.ben]
groups = ["leads", "staff"]
[people.cat]
groups = ["staff"]
"""


class Pay(Tool):
    """Pay somebody."""

    amount: float | None = None
    to: str = ""
    urgent: bool = False


class Move(Tool):
    """Move things."""

    place: Literal["here", "there"] | None = None


def team(text: str) -> Team:
    return Team.model_validate(tomllib.loads(PEOPLE + text))


def holding(text: str, tool: Tool, *, unverified: bool = False) -> str:
    """The group of the rule that holds; empty: nobody may."""
    found = team(text)
    rule = found.rules.holding(tool.intent_name(), tool.arguments, People(found.people), unverified=unverified)
    return rule.group if rule else ""


SMALL = '[[rule]]\ntool = "pay"\nwhen.amount = "<=100"\ngroup = "staff"\n'
LARGE = '[[rule]]\ntool = "pay"\nwhen.amount = ">100"\ngroup = "leads"\nquorum = 2\n'
URGENT = '[[rule]]\ntool = "pay"\nwhen.urgent = true\ngroup = "leads"\nrequester_may = false\n'
REST = '[[rule]]\ntool = "*"\ngroup = "team"\n'


@pytest.mark.parametrize(
    ("amount", "group"), [(0, "staff"), (100, "staff"), (100.01, "leads"), (10**9, "leads"), (-5, "staff")]
)
def test_an_amount_chooses_the_rule(amount: float, group: str) -> None:
    assert holding(SMALL + LARGE + REST, Pay(amount=amount)) == group


@pytest.mark.parametrize("order", [SMALL + LARGE + REST, LARGE + SMALL + REST])
@pytest.mark.parametrize("amount", [None, float("nan"), float("inf"), -float("inf"), 1e300])
def test_what_cannot_be_compared_takes_the_strictest_that_may_match(order: str, amount: float | None) -> None:
    assert holding(order, Pay(amount=amount)) == "leads"


def test_the_strictest_is_looked_for_among_all_that_may_match_and_no_others() -> None:
    assert holding(SMALL + URGENT + REST, Pay()) == "staff"
    assert holding(SMALL + URGENT + REST, Pay(urgent=True)) == "leads"
    elsewhere = '[[rule]]\ntool = "move"\ngroup = "leads"\nquorum = 2\n'
    assert holding(SMALL + elsewhere + REST, Pay()) == "staff"


def test_an_earlier_rule_that_certainly_matches_is_enough() -> None:
    assert holding(URGENT + SMALL + LARGE, Pay(urgent=True)) == "leads"
    assert holding('[[rule]]\ntool = "pay"\ngroup = "staff"\n' + LARGE, Pay()) == "staff"


def test_a_value_that_is_missing_is_no_other_value() -> None:
    there = '[[rule]]\ntool = "move"\nwhen.place = "there"\ngroup = "leads"\nquorum = 2\n'
    assert holding(there + REST, Move(place="here")) == "team"
    assert holding(there + REST, Move()) == "leads"


def test_a_glob_of_tools_is_about_those_that_have_the_argument() -> None:
    any_amount = '[[rule]]\ntool = "*"\nwhen.amount = ">100"\ngroup = "leads"\n'
    assert holding(any_amount + REST, Move()) == "team"
    assert holding(any_amount + REST, Pay(amount=101)) == "leads"


def test_where_it_is_not_sure_who_asked_the_strictest_is_that_of_then() -> None:
    text = SMALL + LARGE.replace("quorum = 2", "") + 'unverified = { group = "staff" }\n' + REST
    assert holding(text, Pay()) == "leads"
    assert holding(text, Pay(), unverified=True) == "staff"


# What is stricter


def deciders(**given: Any) -> Deciders:
    return Deciders(**{"group": "staff"} | given)


LOOSE_AND_STRICT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"quorum": 1}, {"quorum": 2}),
    ({"requester_may": True}, {"requester_may": False}),
    ({"group": "anyone"}, {"group": "team"}),
    ({"group": "team", "then": "leads"}, {"group": "leads"}),
    ({"group": "leads", "then": "staff"}, {"group": "leads"}),
    ({"group": "leads", "then": "anyone"}, {"group": "staff"}),
    ({"group": "staff"}, {"group": "leads"}),
    ({}, {"decide_by": ("slack", "link")}),
    ({"decide_by": ("slack", "link")}, {"decide_by": ("slack",)}),
    ({"expires": "24h"}, {"expires": "4h"}),
]


@pytest.mark.parametrize(("loose", "strict"), LOOSE_AND_STRICT)
def test_each_difference_makes_a_rule_stricter(loose: dict[str, Any], strict: dict[str, Any]) -> None:
    people = People(team("").people)
    assert strictness(deciders(**strict), people) > strictness(deciders(**loose), people)


def test_the_order_is_total_and_never_puts_the_looser_of_two_first() -> None:
    people = People(team("").people)
    every = [
        deciders(group=group, quorum=quorum, requester_may=may, expires=expires)
        for group, quorum, may, expires in product(
            ["anyone", "team", "leads", "nobody"], [1, 2], [True, False], ["1h", "2h"]
        )
    ]
    for one, other in product(every, every):
        left, right = strictness(one, people), strictness(other, people)
        assert (left < right) or (right < left) or left == right
        if all(a >= b for a, b in zip(left, right, strict=True)):
            assert left >= right


# Which calls wait


def asked(text: str, tool: Tool) -> bool:
    return team(text).rules.names(tool)


def test_a_call_is_named_by_its_tool_or_by_a_value() -> None:
    assert asked('[[rule]]\ntool = "pay"\ngroup = "team"', Pay())
    assert asked('[[rule]]\ntool = "p*"\ngroup = "team"', Pay())
    assert not asked('[[rule]]\ntool = "pay"\ngroup = "team"', Move())
    assert asked('[[rule]]\ntool = "*"\nwhen.place = "there"\ngroup = "team"', Move(place="there"))
    assert not asked('[[rule]]\ntool = "*"\nwhen.place = "there"\ngroup = "team"', Move(place="here"))
    assert not asked('[[rule]]\ntool = "*"\nwhen.place = "there"\ngroup = "team"', Pay())


def test_a_rule_of_nothing_but_a_star_only_says_who_decides() -> None:
    assert not asked(REST, Pay())
    assert not asked("", Pay())


def test_what_cannot_be_told_is_named() -> None:
    assert asked(LARGE, Pay())
    assert asked('[[rule]]\ntool = "*"\nwhen.place = "there"\ngroup = "team"', Move())


def test_a_rule_behind_one_that_matches_names_it_too() -> None:
    assert asked(REST + '[[rule]]\ntool = "pay"\ngroup = "leads"', Pay())


async def test_a_call_that_a_rule_names_waits_and_others_do_not() -> None:
    """Found: `[policy.deploy_backend.staging] quorum = 2` was accepted, and the deployment ran with nobody asked."""
    world = World()
    rules = team('[[rule]]\ntool = "touch"\ngroup = "team"').rules
    world.roster["ops"] = replace(ops(world.desk), named_by_rule=rules.names)
    world.model.answers(Look(), Touch())
    await world.say("look, then touch it", by=ANN)
    assert await world.run() == ["ran: look", "requested: touch"]
    world.model.answers(done())
    await world.approve()
    assert await world.run() == ["settled: touch approved by Ann", "ran: touch", "said: Done."]


async def test_a_rule_that_came_after_the_step_was_chosen_counts() -> None:
    world = World()
    world.model.answers(Touch(), done())
    await world.say("touch it")
    seen: list[object] = []

    async def look() -> None:
        thread = await world.store.load(world.thread.id)
        seen.extend(decide(agent, thread) for agent in (ops(), replace(ops(), named_by_rule=lambda _: True)))

    world.store.after(StepChosen, look)
    await world.run()
    assert [type(action) for action in seen] == [RunTool, RequestApproval]


def test_what_only_looks_cannot_need_an_approval() -> None:
    with pytest.raises(TypeError, match=r"Peek only looks .* so it cannot need an approval"):

        class Peek(Look):
            def needs_approval(self) -> bool:
                return True

    with pytest.raises(TypeError, match="Poke acts, but derives from a tool that only looks"):

        class Poke(Look):
            acts = True

    assert Look.repeatable
    assert not Touch.repeatable


def test_a_rule_is_as_it_was_granted_only_if_nothing_in_it_changed() -> None:
    one = Rule(tool="pay", group="team")
    assert one.as_granted() == Rule(tool="pay", group="team", quorum=1).as_granted()
    assert one.as_granted() != Rule(tool="pay*", group="team").as_granted()
    assert one.as_granted() != Rule(tool="pay", when={"amount": 1}, group="team").as_granted()
