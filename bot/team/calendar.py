"""Collects the schedules: from the team file, and from the folders of agents (`schedules.toml`).

It reads and checks them. `bot.team.schedules` computes when they are due.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.definition import Agent
from agent.roster import default_of
from bot.team.file import Team, read_team
from bot.team.problems import SettingsError
from bot.team.reach import Reach
from bot.team.schedules import Schedule, ScheduleTable, schedule_problems


def schedules_of(
    team: Team, roster: Mapping[str, Agent | None], folders: Mapping[str, Path], reach: Reach
) -> list[Schedule]:
    """All schedules; one in the team file replaces an agent's of the same name.

    An agent that is None could not be built, so its openings are not checked. `folders`: the folders with the agents'
    own files. Raises SettingsError with all problems.
    """
    tables: dict[str, ScheduleTable] = {}
    problems = []
    for name, folder in folders.items():
        try:
            brought = shipped(folder / "schedules.toml", name)
        except SettingsError as error:
            problems += error.problems
            continue
        problems += [f"schedules.{one} is in the folders of two agents, {tables[one].agent} and {name}."
                     for one in brought if one in tables]  # fmt: skip
        tables |= brought
    tables |= {
        name: table if table.agent else table.model_copy(update={"agent": default_of(roster)})
        for name, table in team.schedules.items()
    }
    openings = {name: tuple(one.openings) if one else None for name, one in roster.items()}
    problems += schedule_problems(tables, openings, reach)
    if problems:
        raise SettingsError(problems)
    return [Schedule(name, table, team.business_hours) for name, table in tables.items()]


def shipped(path: Path, agent: str) -> dict[str, ScheduleTable]:
    """The schedules in an agent's folder, in the format of the team file. Raises SettingsError."""
    if not path.exists():
        return {}
    team = read_team(path)
    if others := sorted(team.model_fields_set - {"schedules"}):
        raise SettingsError([f"{path}: {', '.join(others)} is not allowed here; it may contain only [schedules.NAME]."])
    if named := [name for name, table in team.schedules.items() if table.agent]:
        raise SettingsError([f"{path}: schedules.{named[0]}.agent is not allowed here; it is {agent}."])
    return {name: table.model_copy(update={"agent": agent}) for name, table in team.schedules.items()}
