"""Finds an agent's cases, and sets up what they are played on."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent import roster
from agent.definition import Agent
from agent.evals.case import FOLDER, Case, CaseError, read_cases
from agent.roster import shipped
from bot.cli.evals.play import Stage
from bot.cli.evals.sites import Sites
from bot.setup import Setup
from bot.team.agents import inspect_agents
from bot.team.names import unknown
from channels.inbound import Refused


@dataclass(frozen=True)
class Ready:
    """An agent with its cases, on a site that is built."""

    agent: Agent
    cases: list[Case]
    stage: Stage


@contextlib.contextmanager
def ready(setup: Setup, name: str) -> Iterator[Ready]:
    """Raises CaseError, Refused. The sites are gone afterwards."""
    cases = folder_of(setup, name)
    with tempfile.TemporaryDirectory(prefix="bot-eval-sites-", ignore_cleanup_errors=True) as folder:
        sites = Sites(Path(folder) / "sites", cases)
        table = None if name in shipped() else setup.team.agents[name]
        stage = Stage(name, sites, table, setup.team_folder)
        agent = stage.app(sites.template(""), Path(folder)).roster[name]
        found = read_cases(cases, agent)
        if not found:
            raise CaseError(f"There are no cases for {name}: write some into {cases}, a .yaml file each.")
        yield Ready(agent, found, stage)


def folder_of(setup: Setup, name: str) -> Path:
    """Where the cases of an agent stand. Raises Refused."""
    if name in shipped():
        return Path(roster.__path__[0]) / name / FOLDER
    known = inspect_agents(setup.team, setup.settings.bot_home, setup.team_folder)
    if name not in known.built:
        raise Refused(unknown(name, "agent that is set up", [*shipped(), *known.built]))
    if name not in known.folders:
        raise Refused(f"The agent {name} has no folder of its own, so it has no place for cases.")
    return known.folders[name] / FOLDER
