"""`bot standing`: lists, grants and revokes standing approvals.

`bot.team.standing` and the policies decide what may be granted, and by whom.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agent.roster import DEFAULT
from agent.steps import Tool
from bot.app import App, opened
from bot.cli import command, console, exits, person
from bot.cli.options import As, AsJson
from bot.setup import Setup
from bot.team import standing
from bot.team.hours import parse_duration, plain
from bot.team.policy_checks import may_need_approval, scopes_of
from channels.inbound import Refused
from store.standing import StandingGranted
from store.text import instant, one_line

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
            header = ("ID", "TOOL", "SCOPE", "AGENT", "GRANTED BY", "UNTIL", "STATE", "REASON")
            console.print_table(header, [_row(bot, one) for one in found])
        else:
            console.say("There are none.")

    command.run(work, agents=False)


@app.command()
def grant(
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="the tool, e.g. deploy")],
    length: Annotated[str, typer.Option("--for", metavar="TIME", help="how long, e.g. 4h")],
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help="which of its calls, e.g. production")] = "",
    agent: Annotated[str, typer.Option("--agent", metavar="A", help=f"the agent; default: {DEFAULT}")] = "",
    reason: Annotated[str, typer.Option("--reason", metavar="R", help="shown with each approval")] = "",
    name: As = "",
    as_json: AsJson = False,
) -> None:
    """Approve all calls of one kind for a limited time."""
    try:
        length_granted = plain(parse_duration(length))
    except ValueError as error:
        raise exits.Misused(f"--for {error}.") from None

    async def work(setup: Setup) -> None:
        async with person.acting(setup, name) as (bot, me):
            chosen, cls = _tool(bot, tool, agent, scope)
            policy = bot.authority.policy(tool, scope)
            call = f"{tool} in {scope}" if scope else tool
            if not may_need_approval(cls, scope):
                raise Refused(f"{call} needs no approval.")
            if policy is None:
                raise Refused(f"Nobody may approve {call}: bot.toml has no policy for it.")
            if policy.standing is None:
                raise Refused(f"Nobody may approve {call} in advance: its policy in bot.toml has no `standing`.")
            granted = await standing.grant(
                bot.store,
                bot.people,
                me,
                agent=chosen,
                intent=tool,
                scope=scope,
                policy=policy.as_granted(),
                group=policy.standing.group,
                max_length=policy.standing.max_length,
                length=length_granted,
                at=bot.now(),
                reason=reason,
                proof=person.proof_of(me),
            )
        if as_json:
            console.print_json(_document(bot, granted))
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
            print(f"Revoked: {_call(ended)}. Calls that have begun continue.")

    command.run(work)


def _tool(bot: App, intent: str, agent: str, scope: str) -> tuple[str, type[Tool]]:
    """The agent and its tool. Raises Refused if no agent has such a tool or scope."""
    having = {owner: tool for owner, each in bot.roster.items() for tool in each.tools if tool.intent_name() == intent}
    if not having:
        raise Refused(f"There is no tool {intent[:60]!r} here.")
    chosen = agent or (DEFAULT if DEFAULT in having else next(iter(having)))
    if chosen not in having:
        raise Refused(f"The agent {chosen[:60]!r} has no tool {intent!r}. These have it: {', '.join(having)}.")
    scopes = scopes_of(having[chosen])
    if scopes is not None and scope not in scopes:
        known = ", ".join(filter(None, scopes))
        raise Refused(f"{intent} needs a scope: {known}." if known else f"{intent} takes no scope.")
    return chosen, having[chosen]


def _call(granted: StandingGranted) -> str:
    return f"{granted.intent} in {granted.scope}" if granted.scope else granted.intent


def _row(bot: App, granted: StandingGranted) -> tuple[str, ...]:
    return (
        granted.id,
        one_line(granted.intent, 60),
        one_line(granted.scope, 40),
        one_line(granted.agent, 40),
        one_line(f"by {granted.by.name}", 40),
        f"until {instant(granted.until)}",
        # The policy has changed, or the person may no longer grant it.
        "valid" if bot.authority.still_valid(granted) else "no longer valid",
        one_line(granted.reason, 60),
    )


def _document(bot: App, granted: StandingGranted) -> dict[str, Any]:
    fields = granted.model_dump(mode="json")
    return {
        "id": granted.id,
        "agent": granted.agent,
        "tool": granted.intent,
        "scope": granted.scope,
        "by": fields["by"],
        "granted_at": fields["at"],
        "until": fields["until"],
        "reason": granted.reason,
        "holds": bot.authority.still_valid(granted),
    }
