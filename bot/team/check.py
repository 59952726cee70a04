"""Checks across the team file: schedules, rules, models and alerts against the agents and channels.

Each table validates itself when it is read; these checks need more than one table. They change nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from agent.definition import Agent
from bot.team.calendar import schedules_of
from bot.team.effects import without_effect
from bot.team.file import Team
from bot.team.github_checks import github_problems
from bot.team.hook_checks import hook_problems
from bot.team.models import agents_problems
from bot.team.names import unknown_agent
from bot.team.people import People
from bot.team.problems import SettingsError
from bot.team.reach import Reach, out_of_reach
from bot.team.rule_checks import group_problems, rule_problems
from bot.team.rule_effects import tools_of
from bot.team.steer import SteerTable
from bot.team.tokens import unknown_agents


def team_problems(
    team: Team, agents: Mapping[str, Agent | None], folders: Mapping[str, Path], reach: Reach
) -> list[str]:
    """All problems. An agent that is None could not be built, so its tools and openings are not checked.

    `folders`: the folders with the agents' own files.
    """
    problems: list[str] = []
    has_schedules = True
    try:
        has_schedules = bool(schedules_of(team, agents, folders, reach))
    except SettingsError as error:
        problems += error.problems
    if team.alerts and (why := out_of_reach(team.alerts, reach)):
        problems.append(f"alerts in the team file names {team.alerts!r}, and {why}")
    for place in team.api.places:
        if why := out_of_reach(place, reach):
            problems.append(f"api.places in the team file names {place!r}, and {why}")
    problems += github_problems(team.github, team.hooks, reach)
    problems += hook_problems(team.hooks, list(agents), reach)
    problems += agents_problems(team.models, list(agents))
    problems += unknown_agents(team.tokens, list(agents))
    problems += _steer_problems(team.steer, People(team.people), list(agents))
    problems += without_effect(team, has_schedules=has_schedules)
    made = {name: agent for name, agent in agents.items() if agent}
    return problems + rule_problems(
        team.rule,
        People(team.people),
        team.business_hours,
        tools=tools_of(made) if len(made) == len(agents) else None,
        reach=reach,
        tokens=team.tokens,
    )


def _steer_problems(table: SteerTable, people: People, agents: Collection[str]) -> Iterator[str]:
    """Unknown groups and agents."""
    if table.group:
        yield from (f"steer.group in the team file: {text}" for text in group_problems(table.group, people))
    for agent, group in table.agents.items():
        if agent not in agents:
            yield f"steer.agents.{agent} in the team file: {unknown_agent(agent, list(agents))}"
        yield from (f"steer.agents.{agent} in the team file: {text}" for text in group_problems(group, people))
