"""Finds and builds the agents: the ones that ship, and the team's own. Each is a module with `NAME` and `build`.

`[agents.NAME]` in the team file sets up an agent. Its module is the one the table names (`module`), or the folder of
that name: in `agent/roster/`, or `agents/NAME/` next to the team file. A module may use the table of another agent
(`SHARES`); a shipped agent that does so is set up together with that table.

Each gets the team's rules, as far as they say which calls wait for an approval.

All problems are found at startup. This module starts no agent; `bot.team.modules` imports the team's code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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
from bot.team.names import nearest, unknown_agent
from bot.team.problems import SettingsError, causes, what_is_wrong


@dataclass(frozen=True)
class Agents:
    built: dict[str, Agent] = field(default_factory=dict)
    """By name, in the order of the team file."""
    modules: dict[str, AgentModule] = field(default_factory=dict)
    """Those of all tables, also where the agent could not be built."""
    not_built: tuple[str, ...] = ()
    """The names of the agents that could not be built; empty if there is no problem."""
    problems: tuple[str, ...] = ()

    @property
    def folders(self) -> dict[str, Path]:
        """The folders with the agents' own files (`schedules.toml`), for agents that are folders."""
        return {name: module.folder for name, module in self.modules.items() if module.folder}

    @property
    def all(self) -> dict[str, Agent | None]:
        """All agents by name; None: it could not be built."""
        return {**self.built, **dict.fromkeys(self.not_built)}


def build_agents(team: Team, home: Path, team_folder: Path) -> Agents:
    """Build every agent that has a table. Raises SettingsError with all problems of the tables and the routes.

    `home`: where agents may keep files. `team_folder`: the folder of the team file.
    """
    agents = inspect_agents(team, home, team_folder)
    if agents.problems:
        raise SettingsError(list(agents.problems))
    return agents


def inspect_agents(team: Team, home: Path, team_folder: Path) -> Agents:
    """Like `build_agents`, but returns the problems."""
    problems: list[str] = []
    built: dict[str, Agent] = {}
    modules = _modules(team.agents, team_folder, problems)
    for module in modules:
        table = team.agents[module.table]
        try:
            built[module.name] = _build(module, table, home)
        except ValidationError as error:
            # The problems of a shared table are reported once, for its owner.
            if not module.shares:
                problems += (_of_table(module.name, item) for item in causes(error.errors(include_url=False)))
        except Unusable as wrong:
            problems.append(f"agents.{module.name} in the team file{wrong}")
    built = {name: replace(agent, named_by_rule=team.rules.names) for name, agent in built.items()}
    could_be = (*team.agents, *shipped()) if problems else ()
    not_built = tuple(dict.fromkeys(name for name in could_be if name not in built))
    problems += _hand_over_problems(built, [*built, *not_built])
    problems += _routes_problems(team.routes, [*built, *not_built])
    return Agents(built, {module.name: module for module in modules}, not_built, tuple(problems))


def _modules(tables: Mapping[str, Mapping[str, Any]], team_folder: Path, problems: list[str]) -> list[AgentModule]:
    """The modules that the team file names, and shipped ones that share one of its tables."""
    found, ships = [], {}
    for name in shipped():
        try:
            ships[name] = shipped_module(name)
        except Unusable as wrong:
            problems.append(f"agents.{name}{wrong}")
    for name, table in tables.items():
        try:
            module = _named(name, table, team_folder, ships)
            _check_shared(module, tables)
            found.append(module)
        except Unusable as wrong:
            problems.append(f"agents.{name} in the team file{wrong}")
    return found + [module for name, module in ships.items() if name not in tables and module.shares in tables]


def _named(name: str, table: Mapping[str, Any], team_folder: Path, ships: Mapping[str, AgentModule]) -> AgentModule:
    """Raises Unusable."""
    if "module" in table:
        return own_module(name, table["module"], team_folder)
    if has_own_folder(name, team_folder):
        if name in ships:
            raise Unusable(f": there are two, a shipped one and agents/{name}/; choose one with `module`.")
        return own_folder(name, team_folder)
    if name not in ships:
        known = ", ".join(one for one, module in ships.items() if not module.shares)
        if near := nearest(name, ships):
            raise Unusable(f" is not the name of an agent; did you mean {near}?")
        own = f"Put your own agent into agents/{name}/ next to it, or name its `module`."
        raise Unusable(f" is not the name of an agent; the shipped ones are {known}. {own}")
    if ships[name].shares:
        raise Unusable(f" has no effect: {name} uses [agents.{ships[name].shares}].")
    return ships[name]


def _check_shared(module: AgentModule, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises Unusable."""
    if not module.shares:
        return
    if module.shares not in tables:
        raise Unusable(f": it uses [agents.{module.shares}], which is missing.")
    if others := sorted(tables[module.name].keys() - {"module"}):
        raise Unusable(f": {', '.join(others)} has no effect, because it uses [agents.{module.shares}].")


def build_for_evals(module: AgentModule, home: Path) -> Agent | None:
    """The agent with stand-ins for the services outside; None: it has none. Raises SettingsError."""
    if module.build_for_evals is None:
        return None
    build = module.build_for_evals
    try:
        return _checked(module, lambda: build(home))
    except (Unusable, ValidationError) as wrong:
        raise SettingsError([f"The agent {module.name} cannot be built for evals{wrong}"]) from None


def _build(module: AgentModule, table: Mapping[str, Any], home: Path) -> Agent:
    """Build the agent. Raises Unusable, and ValidationError if the table is wrong."""
    own = {key: value for key, value in table.items() if key != "module"}
    return _checked(module, lambda: module.build(own, home))


def _checked(module: AgentModule, build: Callable[[], object]) -> Agent:
    try:
        agent = build()
    except ValidationError:
        raise
    except AgentError as error:
        raise Unusable(f": {error}") from None
    except Exception as error:
        raise Unusable(f": its build failed: {where(error)}.") from None
    if not isinstance(agent, Agent):
        raise Unusable(f": its build returned {repr(agent)[:60]}, which is not an Agent.")
    if agent.name != module.name:
        raise Unusable(f": its build returned an agent with the name {agent.name!r}.")
    return agent


def _of_table(agent: str, item: Any) -> str:
    path = ".".join(str(part) for part in (agent, *item["loc"]) if part != "[key]")
    colon = ":" if item["type"] == "value_error" else ""
    return f"agents.{path} in the team file{colon} {what_is_wrong(item)}"


def _hand_over_problems(built: Mapping[str, Agent], agents: list[str]) -> Iterator[str]:
    for agent in built.values():
        for other in agent.hands_over_to:
            if other not in agents:
                problem = unknown_agent(other, agents)
                yield f"agents.{agent.name} in the team file lets another agent take over: {problem}"


def _routes_problems(routes: Mapping[str, str], agents: list[str]) -> Iterator[str]:
    for place, agent in routes.items():
        if agent not in agents:
            yield f"routes.{place} in the team file: {unknown_agent(agent, agents)}"
