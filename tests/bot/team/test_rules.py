"""Which rule holds: the first that matches, or the strictest where that cannot be told; and which calls wait."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import Any, Literal

import pytest

from agent.arguments import values_of
from agent.authority import CallToApprove
from agent.decide import RequestApproval, RunTool, decide
from agent.roster.deploy.tools.deploy import Deploy
from agent.steps import Tool, ToolError
from bot.team.file import Team
from bot.team.people import People
from bot.team.policies import Policies
from bot.team.rule_effects import impossible, may_hold
from bot.team.rules import Deciders, Rule
from bot.team.strictness import looser, strictest
from store.authority.terms import Terms
from store.events import StepChosen
from tests.telling.playbook import Look, Touch, World, done, ops
from tests.telling.story import ANN

START = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)

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


def terms(text: str, tool: Tool, *, unverified: bool = False) -> Terms | None:
    """None: nobody may, for want of a rule. Raises ToolError."""
    found = team(text)
    policies = Policies(People(found.people), found.rules, found.business_hours)
    call = CallToApprove("t", "s", "ops", tool.intent_name(), values_of(tool), START, (), unverified)
    rule = policies.rule_for(call)
    return rule.terms if rule else None


def holding(text: str, tool: Tool, *, unverified: bool = False) -> str:
    """The group of the rule that holds; empty: nobody may."""
    found = terms(text, tool, unverified=unverified)
    return found.group if found else ""


SMALL = '[[rule]]\ntool = "pay"\nwhen.amount = "<=100"\ngroup = "staff"\n'
LARGE = '[[rule]]\ntool = "pay"\nwhen.amount = ">100"\ngroup = "leads"\nquorum = 2\n'
URGENT = '[[rule]]\ntool = "pay"\nwhen.urgent = true\ngroup = "leads"\nrequester_may = false\n'
REST = '[[rule]]\ntool = "*"\ngroup = "team"\n'
THERE = '[[rule]]\ntool = "move"\nwhen.place = "there"\ngroup = "leads"\nquorum = 2\n'


@pytest.mark.parametrize(
    ("amount", "group"), [(0, "staff"), (100, "staff"), (100.01, "leads"), (10**9, "leads"), (-5, "staff")]
)
def test_an_amount_chooses_the_rule(amount: float, group: str) -> None:
    assert holding(SMALL + LARGE + REST, Pay(amount=amount)) == group


@pytest.mark.parametrize("order", [SMALL + LARGE + REST, LARGE + SMALL + REST])
@pytest.mark.parametrize("amount", [None, float("nan"), float("inf"), -float("inf"), 1e300])
def test_what_cannot_be_compared_takes_the_strictest_that_may_match(order: str, amount: float | None) -> None:
    assert holding(order, Pay(amount=amount)) == "leads"


CFO = """
[people.cleo]
[people.bob]
[people.zoe]
groups = ["cfo"]
[[rule]]
tool = "pay"
when = { amount = "<=1000" }
group = "team"
quorum = 2
[[rule]]
tool = "pay"
when = { amount = ">1000" }
group = "cfo"
"""


@pytest.mark.parametrize("amount", [None, float("nan"), float("inf"), 1e300])
def test_two_sets_of_people_have_no_order_so_nobody_may(amount: float | None) -> None:
    """Found: two who are not the CFO could approve whatever could not be compared, because two are more than one."""
    is_what = "amount is missing" if amount is None else "amount is "
    with pytest.raises(ToolError, match=rf'{is_what}.* cannot be compared with "?.<=1000. of rule 1 \(pay\)') as error:
        holding(CFO, Pay(amount=amount))
    assert "chosen again with a plain number" in str(error.value)
    with pytest.raises(ToolError, match="none of the rules that may match is the strictest"):
        holding(CFO + REST, Pay(amount=amount))


class Wire(Tool):
    """Pay somebody, to the cent."""

    amount: Decimal
    to: str = ""
    copies: tuple[str, ...] = ()
    note: str | None = None


@pytest.mark.parametrize("amount", ["5000", "1E+5", "99999999999999999", "1000.000000000000000001"])
def test_decimal_numbers_are_compared_in_full(amount: str) -> None:
    """Found: `1E+5` and 17 digits were no numbers to the rules."""
    text = CFO.replace('"pay"', '"wire"')
    assert holding(text, Wire(amount=Decimal(amount))) == "cfo"
    assert holding(text, Wire(amount=Decimal("1E+3"))) == "team"


TO = '[[rule]]\ntool = "p*"\nwhen.to = "payments"\ngroup = "leads"\n'


@pytest.mark.parametrize("to", ["payments", "Payments", " payments", "p\N{CYRILLIC SMALL LETTER A}yments"])
def test_a_value_that_is_written_in_another_way_is_named_and_takes_the_strictest(to: str) -> None:
    assert asked(TO, Pay(to=to))
    assert holding(TO + REST, Pay(to=to)) == "leads"
    assert not asked(TO, Pay(to="petty cash"))


def test_a_list_and_a_missing_value_are_named_and_take_the_strictest() -> None:
    for name in ("copies", "note"):
        rule = f'[[rule]]\ntool = "w*"\nwhen.{name} = "ann"\ngroup = "leads"\n'
        wire = Wire(amount=Decimal(1), copies=("ann",))
        assert asked(rule, wire)
        assert holding(rule + REST, wire) == "leads"
        with pytest.raises(ToolError, match=f"{name} is .* cannot be compared with 'ann'"):
            holding(rule, wire)


def test_a_rule_about_a_list_or_a_waiver_is_refused() -> None:
    assert "copies of wire is a list, a table or of several kinds" in impossible({"copies": "ann"}, Wire)[0]
    assert "waiver of deploy is a list, a table or of several kinds" in impossible({"waiver": "ann"}, Deploy)[0]


def test_if_maybe_no_rule_matches_maybe_nobody_may() -> None:
    with pytest.raises(ToolError, match="maybe no rule matches it"):
        holding(SMALL, Pay())
    assert holding(SMALL, Pay(amount=1)) == "staff"
    assert holding(SMALL, Pay(amount=101)) == ""


def test_the_strictest_is_looked_for_among_all_that_may_hold_and_no_others() -> None:
    assert holding(SMALL + URGENT + REST, Pay()) == "staff"
    assert holding(SMALL + URGENT + REST, Pay(urgent=True)) == "leads"
    elsewhere = '[[rule]]\ntool = "move"\ngroup = "leads"\nquorum = 2\n'
    assert holding(SMALL + elsewhere + REST, Pay()) == "staff"
    # Behind one that certainly matches none can hold.
    assert holding(SMALL + REST + '[[rule]]\ntool = "pay"\ngroup = "nobody"\n', Pay()) == "staff"


@pytest.mark.parametrize(
    ("text", "when", "groups"),
    [
        (THERE + REST, {"place": "there"}, ["leads"]),
        (THERE + REST, {"place": "here"}, ["team"]),
        (THERE + REST, {}, ["team", "leads"]),
        (THERE, {}, [None, "leads"]),
        (THERE, {"place": "here"}, [None]),
    ],
)
def test_calls_of_one_kind_may_be_decided_by_these_rules(
    text: str, when: dict[str, Any], groups: list[str | None]
) -> None:
    rules = Team.model_validate(tomllib.loads(PEOPLE + text)).rule
    assert [rule.group if rule else None for rule in may_hold(rules, Move, when)] == groups


def test_an_earlier_rule_that_certainly_matches_is_enough() -> None:
    assert holding(URGENT + SMALL + LARGE, Pay(urgent=True)) == "leads"
    assert holding('[[rule]]\ntool = "pay"\ngroup = "staff"\n' + LARGE, Pay()) == "staff"


def test_a_value_that_is_missing_is_no_other_value() -> None:
    assert holding(THERE + REST, Move(place="here")) == "team"
    assert holding(THERE + REST, Move()) == "leads"


def test_a_glob_of_tools_is_about_those_that_have_the_argument() -> None:
    any_amount = '[[rule]]\ntool = "*"\nwhen.amount = ">100"\ngroup = "leads"\n'
    assert holding(any_amount + REST, Move()) == "team"
    assert holding(any_amount + REST, Pay(amount=101)) == "leads"


def test_where_it_is_not_sure_who_asked_the_strictest_is_that_of_then() -> None:
    text = SMALL + 'unverified = { group = "leads", quorum = 2 }\n' + LARGE.replace("quorum = 2", "") + REST
    sure, unsure = terms(text, Pay()), terms(text, Pay(), unverified=True)
    assert sure
    assert unsure
    assert (sure.group, sure.quorum, unsure.group, unsure.quorum) == ("leads", 1, "leads", 2)


@pytest.mark.parametrize("differs", ["quorum = 1", "requester_may = true", 'decide_by = ["api"]', 'group = "team"'])
def test_doubt_lowers_nothing(differs: str) -> None:
    """Found: `unverified = { group = "team" }` let somebody who may not approve a call do it by a forged mail."""
    text = '[[rule]]\ntool = "move"\ngroup = "staff"\nquorum = 2\nrequester_may = false\n'
    text += 'decide_by = ["slack", "api"]\n'
    plain = terms(text, Move())
    found = terms(f"[people.dan]\n{text}unverified = {{ {differs} }}\n", Move(), unverified=True)
    assert plain
    assert found == (plain.model_copy(update={"decide_by": ("api",)}) if "decide_by" in differs else plain)


def test_where_doubt_would_change_the_people_for_others_nobody_may() -> None:
    """A team file is checked at start; this is for one that was not."""
    text = '[[rule]]\ntool = "move"\ngroup = "leads"\nunverified = { group = "staff", quorum = 2 }\n'
    assert holding(text, Move()) == "leads"
    with pytest.raises(ToolError, match=r"what rule 1 \(move\) says in `unverified` is weaker than what it says"):
        holding(text, Move(), unverified=True)


# What is stricter


def deciders(**given: Any) -> Deciders:
    return Deciders(**{"group": "staff"} | given)


LOOSE_AND_STRICT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"quorum": 1}, {"quorum": 2}),
    ({"requester_may": True}, {"requester_may": False}),
    ({"group": "anyone"}, {"group": "team"}),
    ({"group": "team", "then": "leads", "widen": "1h"}, {"group": "leads"}),
    ({"group": "leads", "then": "staff", "widen": "1h"}, {"group": "leads"}),
    ({"group": "leads", "then": "staff", "widen": "1h"}, {"group": "leads", "then": "staff", "widen": "2h"}),
    ({"group": "leads", "then": "staff", "remind": "1h"}, {"group": "leads", "then": "staff", "widen": "3h"}),
    ({"group": "leads", "then": "anyone", "widen": "1h"}, {"group": "leads", "then": "team", "widen": "1h"}),
    ({"group": "staff"}, {"group": "leads", "then": "staff", "widen": "1h"}),
    ({"group": "staff"}, {"group": "leads"}),
    ({}, {"decide_by": ("slack", "link")}),
    ({"decide_by": ("slack", "link")}, {"decide_by": ("slack",)}),
    ({"expires": "24h"}, {"expires": "4h"}),
]


def at_least_as_strict(one: Deciders, other: Deciders) -> bool:
    found = team("[people.dan]\n")
    return not any(looser(one, other, People(found.people), found.business_hours))


@pytest.mark.parametrize(("loose", "strict"), LOOSE_AND_STRICT)
def test_each_difference_makes_a_rule_stricter(loose: dict[str, Any], strict: dict[str, Any]) -> None:
    assert at_least_as_strict(deciders(**strict), deciders(**loose))
    assert not at_least_as_strict(deciders(**loose), deciders(**strict))


WITHOUT_ORDER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"group": "staff", "quorum": 2}, {"group": "leads"}),
    ({"quorum": 2}, {"requester_may": False}),
    ({"decide_by": ("slack",)}, {"decide_by": ("link", "mail")}),
    ({"quorum": 2, "expires": "4h"}, {"expires": "2h"}),
    ({"group": "leads", "then": "staff", "widen": "1h"}, {"group": "leads", "then": "team", "widen": "2h"}),
]


@pytest.mark.parametrize(("one", "other"), WITHOUT_ORDER)
def test_of_two_that_differ_both_ways_none_is_stricter(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert not at_least_as_strict(deciders(**one), deciders(**other))
    assert not at_least_as_strict(deciders(**other), deciders(**one))


def test_the_strictest_lets_nothing_happen_that_another_forbids() -> None:
    every = [
        deciders(group=group, quorum=quorum, requester_may=may, then=then, widen="1h")
        for group, quorum, may, then in product(
            ["anyone", "team", "staff", "leads", "nobody"], [1, 2], [True, False], ["", "staff"]
        )
    ]
    people, hours = People(team("[people.dan]\n").people), team("").business_hours

    def may(one: Deciders, groups: set[str]) -> set[str]:
        keys = {key for group in groups for key in people.in_group(group)}
        return keys | {*people.members, "a stranger"} if "anyone" in groups else keys

    for one, other in product(every, every):
        found = strictest([one, other], people, hours)
        for each in (one, other) if found else ():
            assert found
            assert found.quorum >= each.quorum
            assert found.requester_may <= each.requester_may
            assert may(found, {found.group}) <= may(each, {each.group})
            assert may(found, {found.group, found.then}) <= may(each, {each.group, each.then})


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
