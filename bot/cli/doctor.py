"""`bot doctor`: contacts every configured resource, and says what is wrong and what to do.

It changes nothing except what the checks need: a folder for the embedded server, keys that are deleted again, two
requests to each model for each of its agents, and a mail to ourselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from agent.definition import Agent
from bot.app import door_of, policies_of, ways_out
from bot.cli import command, console
from bot.cli.findings import Finding
from bot.cli.mail_checks import check_mail
from bot.cli.model_checks import check_models
from bot.cli.options import AsJson
from bot.cli.store_checks import check_store
from bot.hook_secrets import secrets_missing, variables_of
from bot.settings import ChannelSettings, Settings, misspelt
from bot.setup import Setup
from bot.team.agents import build_agents, inspect_agents
from bot.team.check import team_problems
from bot.team.file import Team
from bot.team.names import NO_AGENT
from bot.team.problems import SettingsError
from bot.team.rule_checks import rule_warnings
from bot.team.tokens import token_warnings
from channels import places
from channels.base import ChannelUnavailable
from channels.inbound import Refused
from channels.slack.place import NAME as SLACK
from store.base import StoreUnavailable
from store.embedded.server import EmbeddedRedisError

if TYPE_CHECKING:
    from channels.slack.events import Installation

AGENT_SECONDS_MAX = 30.0
"""The time limit of an agent's check. All agents are checked concurrently."""


def doctor(as_json: AsJson = False) -> None:
    """Check every configured resource, and say what to do."""

    async def work(setup: Setup) -> None:
        found = []
        async with contextlib.aclosing(examine(setup)) as findings:
            async for finding in findings:
                found.append(finding)
                if not as_json:
                    print(finding.line(), flush=True)
        if as_json:
            console.print_json([finding.as_document() for finding in found])
        if failed := [finding.what for finding in found if finding.state == "failed"]:
            raise Refused(f"{len(failed)} of {len(found)} checks failed: {', '.join(failed)}.")

    command.run(work, agents=False, reports=True)


async def examine(setup: Setup) -> AsyncGenerator[Finding]:
    """Run all checks in order. Nothing is held open between two findings."""
    yield _variables(setup.team)
    if problems := setup.settings.key_problems():
        yield Finding("keys", "failed", " ".join(problems))
    yield _home(setup.settings)
    yield await check_agents(setup)
    for finding in (*_not_set_up(setup), *check_team_file(setup), *_tokens(setup.team), *_hooks(setup)):
        yield finding
    for check in (check_store, check_models, _door):
        for finding in await check(setup):
            yield finding
    for name, channel in setup.settings.channels().items():
        for finding in await check_channel(setup, name, channel):
            yield finding


def _variables(team: Team) -> Finding:
    if warnings := misspelt({table.api_key_env for table in team.models.values()} | variables_of(team.hooks)):
        return Finding("settings", "warning", " ".join(warnings))
    return Finding("settings", "ok", "all are known.")


def _home(settings: Settings) -> Finding:
    home = settings.bot_home
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        return Finding(
            "BOT_HOME", "failed", f"{home} is not writable: {error.strerror}. Set BOT_HOME to another directory."
        )
    return Finding("BOT_HOME", "ok", f"{home.absolute()} is writable.")


async def check_agents(setup: Setup) -> Finding:
    try:
        roster = build_agents(setup.team, setup.settings.bot_home, setup.team_folder).built
    except SettingsError as error:
        return Finding("agents", "failed", " ".join(error.problems))
    if not roster:
        return Finding("agents", "failed", NO_AGENT)
    found = await asyncio.gather(*map(wrong_with, roster.values()))
    if problems := [problem for each in found for problem in each]:
        return Finding("agents", "failed", " ".join(problems))
    return Finding("agents", "ok", ", ".join(roster))


async def _door(setup: Setup) -> list[Finding]:
    """No finding if nobody outside may ask for anything."""
    if not setup.team.github.environments:
        return []
    from bot.stores import store_of

    try:
        async with store_of(setup.settings, stays=False) as store:
            agents = door_of(setup, store)
            problems = [problem for agent in agents.values() for problem in await wrong_with(agent)]
    except (StoreUnavailable, EmbeddedRedisError) as error:
        return [Finding("github environments", "failed", f"the store is away: {error}")]
    except SettingsError as error:
        return [Finding("github environments", "failed", " ".join(error.problems))]
    text = " ".join(problems) or f"the app answers for {', '.join(setup.team.github.environments)}."
    return [Finding("github environments", "failed" if problems else "ok", text)]


def _not_set_up(setup: Setup) -> Iterator[Finding]:
    for name, agent in inspect_agents(setup.team, setup.settings.bot_home, setup.team_folder).built.items():
        for what in agent.not_set_up:
            yield Finding(name, "off", what)


async def wrong_with(agent: Agent) -> list[str]:
    """What the agent's own check finds."""
    if agent.check is None:
        return []
    try:
        async with asyncio.timeout(AGENT_SECONDS_MAX):
            return await agent.check()
    except TimeoutError:
        return [f"{agent.name}: its check did not finish within {AGENT_SECONDS_MAX:g} s."]


def check_team_file(setup: Setup) -> Iterator[Finding]:
    """No finding if there are no agents, and nothing is wrong."""
    agents = inspect_agents(setup.team, setup.settings.bot_home, setup.team_folder)
    try:
        door = door_of(setup)
    except SettingsError as error:
        yield Finding("team file", "failed", " ".join(error.problems))
        return
    if problems := team_problems(setup.team, {**agents.all, **door}, agents.folders, setup.settings.reach()):
        yield Finding("team file", "failed", " ".join(problems))
    elif agents.problems:
        return
    elif warnings := rule_warnings({**agents.built, **door}, policies_of(setup)):
        yield Finding("team file", "warning", " ".join(warnings))
    elif agents.built:
        yield Finding("team file", "ok", "every call that needs approval has people who may approve it.")


def _tokens(team: Team) -> Iterator[Finding]:
    """No finding if the team file has no token."""
    if warnings := token_warnings(team.tokens, datetime.now(UTC)):
        yield Finding("tokens", "warning", " ".join(warnings))
    elif team.tokens:
        yield Finding("tokens", "ok", ", ".join(team.tokens))


def _hooks(setup: Setup) -> Iterator[Finding]:
    """No finding if the team file has no hook."""
    hooks, url = setup.team.hooks, setup.settings.bot_public_url
    if problems := secrets_missing(setup):
        yield Finding("hooks", "failed", " ".join(problems))
    elif hooks and not url:
        text = f"{', '.join(hooks)}: each has a secret, but without BOT_PUBLIC_URL nobody is told where to post."
        yield Finding("hooks", "warning", text)
    elif hooks:
        yield Finding("hooks", "ok", ", ".join(f"{url}/hooks/{name}" for name in hooks))


async def check_channel(setup: Setup, name: str, channel: ChannelSettings) -> list[Finding]:
    if channel.problems:
        return [Finding(name, "failed", " ".join(channel.problems))]
    if not channel.is_set_up:
        return [Finding(name, "off", channel.hint)]
    match name:
        case "slack":
            return await _slack(setup)
        case "email":
            return await check_mail(setup)
        case _:
            return await _way_out(setup, name)


async def _way_out(setup: Setup, name: str) -> list[Finding]:
    """Check a channel that only sends: its endpoints must answer."""
    async with contextlib.AsyncExitStack() as stack:
        channels = [one for one in ways_out(setup.settings, None, stack) if one.name == name]
        checked = [one for channel in channels for one in await channel.check()]
    return [Finding(one.what, "ok" if one.is_well else "failed", one.text) for one in checked]


async def _slack(setup: Setup) -> list[Finding]:
    from bot.slack_client import slack_client

    if not setup.settings.slack_refresh_token.get_secret_value():
        return await _workspace(setup, slack_client(setup.settings, None))
    from bot.stores import store_of

    try:
        async with store_of(setup.settings, stays=False) as store:
            return await _workspace(setup, slack_client(setup.settings, store))
    except (StoreUnavailable, EmbeddedRedisError) as error:
        return [Finding("slack", "failed", f"its tokens are kept in the store, which is away: {error}")]


async def _workspace(setup: Setup, client: Any) -> list[Finding]:
    settings = setup.settings
    from channels.slack.connection import SCOPES, check_socket_mode, identify

    found = []
    try:
        me, scopes = await identify(client)
        found.append(Finding("slack", "ok", f"the token is valid at {me.url or me.team}."))
        if missing := SCOPES - scopes:
            lacks = ", ".join(sorted(missing))
            text = f"the token lacks {lacks}. Add them under OAuth & Permissions and install the app again."
            found.append(Finding("slack scopes", "failed", text))
        else:
            found.append(Finding("slack scopes", "ok", "all that are needed."))
        found += await _people_and_places(setup.team, client, me)
        if token := settings.slack_app_token.get_secret_value():
            await check_socket_mode(client, token)
            found.append(Finding("slack socket", "ok", "Socket Mode is on."))
    except ChannelUnavailable as error:
        found.append(Finding("slack", "failed", str(error)))
    return found


async def _people_and_places(team: Team, client: Any, me: Installation) -> list[Finding]:
    """No finding if the team file names no person and no place in Slack."""
    from channels.slack.check import unreachable

    deciding, others = _slack_of_approvals(team), _slack_of_others(team)
    named = {one: ", ".join(deciding.get(one, []) + others.get(one, [])) for one in (*deciding, *others)}
    if not named:
        return []
    wrong, unsaid = await unreachable(client, me, named, deciding)
    state: Literal["ok", "warning", "failed"] = "failed" if wrong else "warning" if unsaid else "ok"
    text = " ".join(wrong + unsaid) or f"everything that the team file names in Slack exists: {len(named)}."
    return [Finding("people and places", state, text)]


def _slack_of_approvals(team: Team) -> Mapping[str, list[str]]:
    """The Slack ids of approvers and of places where they are asked, each with its settings."""
    found: dict[str, list[str]] = {}
    for key, member in team.people.items():
        if member.slack:
            found.setdefault(member.slack, []).append(f"people.{key}")
    for number, rule in enumerate(team.rule, 1):
        for ask in rule.every_ask:
            channel, name = places.split(ask)
            if channel == SLACK:
                found.setdefault(name, []).append(f"rule {number}")
    return found


def _slack_of_others(team: Team) -> Mapping[str, list[str]]:
    """The Slack ids of other places in the team file, each with its settings."""
    found: dict[str, list[str]] = {}
    named = [(f"schedules.{name}", table.place) for name, table in team.schedules.items()]
    named += [(f"hooks.{name}", rule.place) for name, table in team.hooks.items() for rule in table.on]
    for where, place in (*named, ("alerts", team.alerts), *(("api.places", place) for place in team.api.places)):
        channel, name = places.split(place)
        if channel == SLACK:
            found.setdefault(name, []).append(where)
    for place in team.routes:
        if "@" not in place:  # One of our mail addresses.
            found.setdefault(place, []).append("routes")
    return found
