"""`bot standing`: lists, grants and revokes standing approvals.

`bot.team.standing` and the rules decide what may be granted, and by whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer

from agent.arguments import arguments_of
from agent.roster import DEFAULT
from agent.steps import Tool
from bot.app import App, opened
from bot.cli import command, console, exits, person
from bot.cli.options import As, AsJson
from bot.setup import Setup
from bot.team import standing
from bot.team.conditions import Given, as_condition, is_glob
from bot.team.durations import parse_duration, plain
from bot.team.names import unknown
from bot.team.policies import places_of
from bot.team.rule_checks import may_need_approval
from bot.team.rule_effects import impossible, may_hold, tools_of
from bot.team.rules import Rule
from bot.team.standing import USES_MAX
from channels.inbound import Refused
from store.standing import StandingGranted
from store.text import call_in_words, instant, one_line
from store.values import Person, Place

Conditions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME=VALUE…]", help="which of its calls, as in a rule, e.g. environment=staging"),
]
AskedBy = Annotated[
    list[str] | None,
    typer.Option("--asked-by", metavar="WHO", help="a person, a group, anyone, or an address; several times"),
]

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def listed(context: typer.Context, as_json: AsJson = False) -> None:
    """Standing approvals: list, grant, revoke."""
    if context.invoked_subcommand:
        return

    async def work(setup: Setup) -> None:
        async with opened(setup) as bot:
            found = await standing.active(bot.store, bot.now())
        if as_json:
            console.print_json([_document(bot, one) for one in found])
        elif found:
            header = ("ID", "TOOL", "CALLS", "AGENT", "GRANTED BY", "UNTIL", "STATE", "REASON")
            console.print_table(header, [_row(bot, one) for one in found])
        else:
            console.say("There are none.")

    command.run(work, agents=False)


@app.command()
def grant(
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="the tool, e.g. deploy")],
    length: Annotated[str, typer.Option("--for", metavar="TIME", help="how long, e.g. 4h")],
    conditions: Conditions = None,
    agent: Annotated[str, typer.Option("--agent", metavar="A", help=f"the agent; default: {DEFAULT}")] = "",
    asked_by: AskedBy = None,
    uses: Annotated[
        int, typer.Option("--uses", metavar="N", min=0, max=USES_MAX, help="how many calls; 0: any number")
    ] = 0,
    reason: Annotated[str, typer.Option("--reason", metavar="R", help="shown with each approval")] = "",
    name: As = "",
    as_json: AsJson = False,
) -> None:
    """Approve calls of one kind for a limited time.

    Who is not in [people] profits from it only if it is bound: by --asked-by, by --uses, or to a revision such as
    revision=v1.*. Each use is told to who granted it.
    """
    try:
        length_granted = plain(parse_duration(length))
    except ValueError as error:
        raise exits.Misused(f"--for {error}.") from None

    async def work(setup: Setup) -> None:
        async with person.acting(setup, name) as (bot, me):
            chosen, cls = _tool(bot, tool, agent)
            bounds = _bounds_of(cls, conditions or [], asked_by or [], uses)
            bounds = replace(bounds, pins=await _pins(bot, chosen, cls, bounds.when))
            granted = await standing.grant(
                bot.store,
                bot.people,
                me,
                agent=chosen,
                intent=tool,
                bounds=bounds,
                rule=_rule(bot, cls, bounds.when),
                length=length_granted,
                at=bot.now(),
                tell=_own_place(bot, me),
                reason=reason,
                proof=person.proof_of(me),
                way="terminal",
            )
        if as_json:
            console.print_json(_document(bot, standing.Grant(granted, pins=granted.pins)))
        else:
            print(f"{granted.id}: {_call(granted)} is approved until {instant(granted.until)}.")

    command.run(work)


@app.command()
def revoke(
    grant_id: Annotated[str, typer.Argument(metavar="ID", help="as `bot standing` lists it")],
    name: As = "",
    as_json: AsJson = False,
) -> None:
    """Revoke one."""

    async def work(setup: Setup) -> None:
        async with person.acting(setup, name) as (bot, me):
            proof = person.proof_of(me)
            ended = await standing.revoke(bot.store, bot.steering, me, grant_id, at=bot.now(), proof=proof)
        if as_json:
            console.print_json(_document(bot, ended) | {"holds": False})
        else:
            print(f"Revoked: {_call(ended.granted)}. Calls that have begun continue.")

    command.run(work)


def _tool(bot: App, intent: str, agent: str) -> tuple[str, type[Tool]]:
    """The agent and its tool. Raises Refused if no agent has such a tool."""
    having = {
        owner: tool for owner, each in bot.all_agents.items() for tool in each.tools if tool.intent_name() == intent
    }
    if not having:
        raise Refused(unknown(intent, "tool here", tools_of(bot.all_agents)))
    chosen = agent or (DEFAULT if DEFAULT in having else next(iter(having)))
    if chosen not in having:
        raise Refused(f"The agent {chosen[:60]!r} has no tool {intent!r}. These have it: {', '.join(having)}.")
    if not having[chosen].acts:
        raise Refused(f"{intent} only looks, so it needs no approval.")
    return chosen, having[chosen]


def _conditions(tool: type[Tool], texts: list[str]) -> dict[str, Given]:
    """Raises Refused, Misused."""
    when: dict[str, Given] = {}
    arguments = arguments_of(tool)
    for text in texts:
        name, is_one, value = text.partition("=")
        if not is_one or not name:
            raise exits.Misused(f"{text[:60]!r} is not NAME=VALUE.")
        if name not in arguments:
            raise Refused(unknown(name, f"argument of {tool.intent_name()}", arguments))
        try:
            when[name] = as_condition(value, arguments[name].kind)
        except ValueError as error:
            raise Refused(f"{name} {error}.") from None
    if problems := impossible(when, tool):
        raise Refused(problems[0])
    return when


def _bounds_of(tool: type[Tool], conditions: list[str], askers: list[str], uses: int) -> standing.Bounds:
    """Raises Refused, Misused."""
    when, arguments = _conditions(tool, conditions), arguments_of(tool)
    return standing.Bounds(when, askers, uses, narrow=any(arguments[name].values is None for name in when))


async def _pins(bot: App, agent: str, tool: type[Tool], when: Mapping[str, Given]) -> dict[str, str]:
    """What the names in the conditions stand for now. What cannot be found is pinned by its first use."""
    resources, found = bot.all_agents[agent].resources_of(tool.intent_name()), dict[str, str]()
    for argument, given in when.items():
        if isinstance(given, str) and not is_glob(given):
            for meaning in await tool.meanings_now(argument, given, resources):
                found |= standing.pins_of(when, {argument: meaning})
    return found


def _own_place(bot: App, person: Person) -> Place | None:
    """Where this person is told of its uses; None: nowhere that is set up."""
    return next(places_of(bot.people, [bot.people.identified(person).member], bot.channels), None)


def _rule(bot: App, tool: type[Tool], when: Mapping[str, Given]) -> Rule:
    """The rule that holds for all such calls. Raises Refused."""
    rules, call = bot.authority.rules.in_order, call_in_words(tool.intent_name(), when)
    found = may_hold(rules, tool, when)
    if found == [None]:
        raise Refused(f"Nobody may approve {call}: bot.toml has no rule for it.")
    rule = found[0]
    if len(found) > 1 or rule is None:
        which = ", ".join(f"rule {rules.index(one) + 1}" if one else "no rule" for one in found)
        raise Refused(f"Which rule holds for {call} depends on the call ({which}): say more of its arguments.")
    if not (rule.names_calls or may_need_approval(tool, dict(when))):
        raise Refused(f"{call} needs no approval.")
    return rule


def _call(granted: StandingGranted) -> str:
    return call_in_words(granted.intent, granted.when)


def _row(bot: App, grant: standing.Grant) -> tuple[str, ...]:
    granted, left = grant.granted, grant.uses_left
    # If not: the rule has changed, or the person may no longer grant it.
    state = "valid" if bot.authority.still_valid(granted, bot.now()) else "no longer valid"
    return (
        granted.id,
        one_line(granted.intent, 60),
        one_line(call_in_words("", _bounds(granted)).strip(), 80),
        one_line(granted.agent, 40),
        one_line(f"by {granted.by.name}", 40),
        f"until {instant(granted.until)}",
        state if left is None else f"{state}, {left} of {granted.uses} uses left",
        one_line(granted.reason, 60),
    )


def _bounds(granted: StandingGranted) -> dict[str, object]:
    """What it asks of a call, for people."""
    return {**granted.when, **({"asked by": ", ".join(granted.askers)} if granted.askers else {})}


def _document(bot: App, grant: standing.Grant) -> dict[str, Any]:
    granted, fields = grant.granted, grant.granted.model_dump(mode="json")
    return {
        "id": granted.id,
        "agent": granted.agent,
        "tool": granted.intent,
        "when": fields["when"],
        "asked_by": fields["askers"],
        "uses": granted.uses or None,
        "uses_left": grant.uses_left,
        "pins": dict(grant.pins),
        "by": fields["by"],
        "granted_at": fields["at"],
        "until": fields["until"],
        "reason": granted.reason,
        "holds": bot.authority.still_valid(granted, bot.now()),
    }
