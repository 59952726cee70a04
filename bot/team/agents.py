"""Which agents there are: those that ship, and the team's own, each a module that gives `NAME` and `build`.

`[agents.NAME]` of the team file sets an agent up. Its module is the one that the table names (`module`), else a folder
of that name: one that ships, in `agent/roster/`, or `agents/NAME/` beside the team file. A module may say that it reads
the table of another agent (`SHARES`); of those that ship, such a one is set up with that table.

Whatever is wrong with them is found at once, and nothing here starts an agent. What of the team's code is imported, and
how, is `bot.team.modules`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.definition import Agent, AgentError
from agent.roster import shipped
from bot.team.file import Team
from bot.team.modules import (
    AgentModule,
    Unusable,
    has_own_folder,
    own_folder,
    own_module,
    shipped_module,
    where,
)
from bot.team.names import unknown_agent
from bot.team.problems import SettingsError, what_is_wrong


@dataclass(frozen=True)
class Agents:
    made: dict[str, Agent] = field(default_factory=dict)
    """By name, in the order of the team file."""
    folders: dict[str, Path] = field(default_factory=dict)
    """Where an agent's own files stand (`schedules.toml`), of those that are folders."""
    unmade: tuple[str, ...] = ()
    """Where anything is wrong: the names of all others that there could be."""
    problems: tuple[str, ...] = ()

    @property
    def all(self) -> dict[str, Agent | None]:
        """None where it could not be made."""
        return {**self.made, **dict.fromkeys(self.unmade)}


def build_agents(team: Team, home: Path, beside: Path) -> Agents:
    """Every agent whose table is there. Raises SettingsError with all that is wrong in the tables and the routes.

    `home`: where they may keep files of their own. `beside`: the folder of the team file.
    """
    agents = inspect_agents(team, home, beside)
    if agents.problems:
        raise SettingsError(list(agents.problems))
    return agents


def inspect_agents(team: Team, home: Path, beside: Path) -> Agents:
    """The same with its problems, instead of raising them."""
    problems: list[str] = []
    made: dict[str, Agent] = {}
    modules = _modules(team.agents, beside, problems)
    for module in modules:
        table = team.agents[module.table]
        try:
            made[module.name] = _made(module, table, home)
        except ValidationError as error:
            # Who shares a table is not told again what is wrong in it.
            if not module.shares:
                problems += (_of_table(module.name, item) for item in error.errors(include_url=False))
        except Unusable as wrong:
            problems.append(f"agents.{module.name} in the team file{wrong}")
    could_be = (*team.agents, *shipped()) if problems else ()
    unmade = tuple(dict.fromkeys(name for name in could_be if name not in made))
    folders = {module.name: module.folder for module in modules if module.folder}
    problems += _routes_problems(team.routes, [*made, *unmade])
    return Agents(made, folders, unmade, tuple(problems))


def _modules(tables: Mapping[str, Mapping[str, Any]], beside: Path, problems: list[str]) -> list[AgentModule]:
    """Those that the team file names, and those that ship and share one of its tables."""
    found, ships = [], {}
    for name in shipped():
        try:
            ships[name] = shipped_module(name)
        except Unusable as wrong:
            problems.append(f"agents.{name}{wrong}")
    for name, table in tables.items():
        try:
            module = _named(name, table, beside, ships)
            _check_shared(module, tables)
            found.append(module)
        except Unusable as wrong:
            problems.append(f"agents.{name} in the team file{wrong}")
    return found + [module for name, module in ships.items() if name not in tables and module.shares in tables]


def _named(name: str, table: Mapping[str, Any], beside: Path, ships: Mapping[str, AgentModule]) -> AgentModule:
    """Raises Unusable."""
    if "module" in table:
        return own_module(name, table["module"], beside)
    if has_own_folder(name, beside):
        if name in ships:
            raise Unusable(f": there are two, one that ships and agents/{name}/; say which one by `module`.")
        return own_folder(name, beside)
    if name not in ships:
        known = ", ".join(one for one, module in ships.items() if not module.shares)
        own = f"One of yours stands in agents/{name}/ beside it, or is named by `module`."
        raise Unusable(f" has no agent of its own; known are {known}. {own}")
    if ships[name].shares:
        raise Unusable(f" has no effect: {name} reads [agents.{ships[name].shares}].")
    return ships[name]


def _check_shared(module: AgentModule, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises Unusable."""
    if not module.shares:
        return
    if module.shares not in tables:
        raise Unusable(f": it reads [agents.{module.shares}], which is not there.")
    if others := sorted(tables[module.name].keys() - {"module"}):
        raise Unusable(f": {', '.join(others)} has no place here, because it reads [agents.{module.shares}].")


def _made(module: AgentModule, table: Mapping[str, Any], home: Path) -> Agent:
    """Raises Unusable, and ValidationError where the table is wrong."""
    own = {key: value for key, value in table.items() if key != "module"}
    try:
        agent = module.build(own, home)
    except ValidationError:
        raise
    except AgentError as error:
        raise Unusable(f": {error}") from None
    except Exception as error:
        raise Unusable(f": its build failed: {where(error)}.") from None
    if not isinstance(agent, Agent):
        raise Unusable(f": its build gave {repr(agent)[:60]} and no Agent.")
    if agent.name != module.name:
        raise Unusable(f": its build gave an agent of the name {agent.name!r}.")
    return agent


def _of_table(agent: str, item: Any) -> str:
    path = ".".join(str(part) for part in (agent, *item["loc"]) if part != "[key]")
    colon = ":" if item["type"] == "value_error" else ""
    return f"agents.{path} in the team file{colon} {what_is_wrong(item)}"


def _routes_problems(routes: Mapping[str, str], agents: list[str]) -> Iterator[str]:
    for place, agent in routes.items():
        if agent not in agents:
            yield f"routes.{place} in the team file: {unknown_agent(agent, agents)}"
