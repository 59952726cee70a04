"""deploybot: deploys the team's components, asks before production, follows each deployment, and reports.

This folder is yours to change. Components and environments are at the top of `site.py`, the steps in `tools/`, the
rules in `prompt.md`, what code does by itself in `plan.py`, and how a deployment is carried out in `deployers/`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent import Agent
from agent.roster.deploy.check import problems
from agent.roster.deploy.plan import planner
from agent.roster.deploy.site import COMPONENTS, Component, DeployConfig
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools import TOOLS
from agent.roster.deploy.waiting import OPENINGS

NAME = "deploy"


def build(table: Mapping[str, Any], home: Path) -> Agent:
    """Build it from the table `[agents.deploy]`; runs are kept under `home`. Raises pydantic's ValidationError."""
    found = targets(table, home)
    return Agent(
        name=NAME,
        prompt=Path(__file__).with_name("prompt.md").read_text(encoding="utf-8"),
        tools=TOOLS,
        plan=planner(
            one_of_each_repository(found),
            in_production=in_production(found),
            on_failed_tests="rollback",
        ),
        resources={Targets: found},
        openings=OPENINGS,
        check=functools.partial(problems, found),
    )


def targets(table: Mapping[str, Any], home: Path) -> Targets:
    return Targets(DeployConfig.model_validate(table), home / "deployments")


def one_of_each_repository(found: Targets) -> tuple[Component, ...]:
    """One component for each repository, so that the tags and commits of a shared one are listed once."""
    first: dict[Path, Component] = {}
    for component in _known_to_model(found):
        first.setdefault(found.config.components[component].repository, component)
    return tuple(first.values())


def in_production(found: Targets) -> tuple[Component, ...]:
    return tuple(name for name in _known_to_model(found) if "production" in found.config.components[name].targets)


def _known_to_model(found: Targets) -> list[Component]:
    """The configured components that the model may name, in the order of the team file."""
    return [known for name in found.config.components for known in COMPONENTS if known == name]
