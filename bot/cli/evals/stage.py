"""Finds an agent's cases, and sets up what they are played on."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.definition import Agent
from agent.evals.case import FOLDER, Case, CaseError, read_cases
from agent.roster import shipped
from bot.cli.evals.play import Stage
from bot.cli.evals.sites import Sites
from bot.setup import Setup
from bot.team.agents import inspect_agents
from bot.team.modules import AgentModule, Unusable, shipped_module
from bot.team.names import unknown
from channels.inbound import Refused


@dataclass(frozen=True)
class Ready:
    """An agent with its cases, and what they are played on."""

    agent: Agent
    cases: list[Case]
    stage: Stage


@contextlib.contextmanager
def ready(setup: Setup, name: str) -> Iterator[Ready]:
    """Raises CaseError, Refused, SettingsError. The sites are gone afterwards."""
    module = _module_of(setup, name)
    cases = _folder_of(module)
    with tempfile.TemporaryDirectory(prefix="bot-eval-sites-", ignore_cleanup_errors=True) as folder:
        sites = None if module.build_for_evals else Sites(Path(folder) / "sites", cases)
        table = None if name in shipped() else setup.team.agents[name]
        stage = Stage(module, sites, table, setup.team_folder)
        agent = stage.app(sites.template("") if sites else None, Path(folder)).roster[name]
        found = read_cases(cases, agent)
        if not found:
            raise CaseError(f"There are no cases for {name}: write some into {cases}, a .yaml file each.")
        if sites is None and (problems := [*_of_a_site(found)]):
            raise CaseError("\n".join(problems))
        yield Ready(agent, found, stage)


def _of_a_site(cases: list[Case]) -> Iterator[str]:
    """What has no effect in the cases of an agent without a site."""
    for case in cases:
        for key in sorted(case.model_fields_set & {"site", "begins_with", "deployed", "runs"}):
            if getattr(case, key):
                yield f"{case.file}: case {case.name}: `{key}` has no effect: the agent has no site."


def folder_of(setup: Setup, name: str) -> Path:
    """Where the cases of an agent stand. Raises Refused."""
    return _folder_of(_module_of(setup, name))


def _folder_of(module: AgentModule) -> Path:
    if module.folder is None:
        raise Refused(f"The agent {module.name} has no folder of its own, so it has no place for cases.")
    return module.folder / FOLDER


def _module_of(setup: Setup, name: str) -> AgentModule:
    """Raises Refused."""
    if name in shipped():
        try:
            return shipped_module(name)
        except Unusable as wrong:
            raise Refused(f"The agent {name} that ships cannot be used{wrong}") from None
    known = inspect_agents(setup.team, setup.settings.bot_home, setup.team_folder)
    if name not in known.built:
        raise Refused(unknown(name, "agent that is set up", [*shipped(), *known.built]))
    return known.modules[name]
