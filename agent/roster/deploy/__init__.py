"""deploybot: deploys the team's components, asks people before it does, follows each deployment, and reports.

Components and environments are those of the team file (`site.py` is its schema); no name of them stands in the code.
The steps are in `tools/`, the rules in `prompt.md`, what code does by itself in `plan.py`, and how a deployment is
carried out in `deployers/`. This folder is yours to change.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent import Agent
from agent.roster.deploy.check import not_set_up, problems
from agent.roster.deploy.deployers.local import Tending
from agent.roster.deploy.in_words import in_words
from agent.roster.deploy.plan import planner
from agent.roster.deploy.site import read_site
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools import tools_of
from agent.roster.deploy.waiting import OPENINGS

NAME = "deploy"


def build(table: Mapping[str, Any], home: Path) -> Agent:
    """Build it from the table `[agents.deploy]`; runs are kept under `home`. Raises pydantic's ValidationError."""
    found = targets(table, home)
    return Agent(
        name=NAME,
        prompt=prompt_of(found, Path(__file__)),
        tools=tools_of(found.config),
        plan=planner(found.config, leads=True),
        resources={Targets: found},
        openings=OPENINGS,
        check=functools.partial(problems, found),
        hands_over_to=tuple(
            dict.fromkeys(filter(None, (e.on_failed_test for e in found.config.environments.values())))
        ),
        not_set_up=not_set_up(found),
        tend=Tending(found.state_dir),
    )


def targets(table: Mapping[str, Any], home: Path) -> Targets:
    return Targets(read_site(table), home / "deployments")


def prompt_of(found: Targets, module: Path) -> str:
    """The prompt beside this module, with the site at its end."""
    return f"{module.with_name('prompt.md').read_text(encoding='utf-8').rstrip()}\n\n{in_words(found.config)}\n"
