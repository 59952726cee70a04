"""What has no effect in the team file: its schedules, policies and alerts, checked against the agents and channels.

Each table checks itself when it is read; this is what takes more than one of them. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.definition import Agent
from bot.team.calendar import schedules_of
from bot.team.file import Team
from bot.team.people import People
from bot.team.policy_checks import policy_problems, tools_of
from bot.team.problems import SettingsError
from bot.team.reach import Reach, out_of_reach


def team_problems(
    team: Team, agents: Mapping[str, Agent | None], folders: Mapping[str, Path], reach: Reach
) -> list[str]:
    """An agent None: it could not be made, so nothing is said of its tools and openings.

    `folders`: where the agents' own files stand.
    """
    problems: list[str] = []
    try:
        schedules_of(team, agents, folders, reach)
    except SettingsError as error:
        problems += error.problems
    if team.alerts and (why := out_of_reach(team.alerts, reach)):
        problems.append(f"alerts in the team file names {team.alerts!r}, and {why}")
    made = {name: agent for name, agent in agents.items() if agent}
    return problems + policy_problems(
        team.policy,
        People(team.people),
        team.business_hours,
        tools=tools_of(made) if len(made) == len(agents) else None,
        reach=reach,
    )
