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
from agent.roster.deploy.check import not_set_up, problems
from agent.roster.deploy.plan import AfterMerge, planner
from agent.roster.deploy.site import COMPONENTS, Component, DeployConfig, Environment
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
            tested=found.config.end_to_end,
            in_production=having(found, "production"),
            after_merge=after_merge(found),
            on_failed_tests="rollback",
        ),
        resources={Targets: found},
        openings=OPENINGS,
        check=functools.partial(problems, found),
        not_set_up=not_set_up(found),
    )


def targets(table: Mapping[str, Any], home: Path) -> Targets:
    return Targets(DeployConfig.model_validate(table), home / "deployments")


def one_of_each_repository(found: Targets) -> tuple[Component, ...]:
    """One component for each repository, so that the tags and commits of a shared one are listed once."""
    first: dict[Path, Component] = {}
    for component in _known_to_model(found):
        first.setdefault(found.config.components[component].repository, component)
    return tuple(first.values())


def having(found: Targets, environment: Environment) -> tuple[Component, ...]:
    """The components that have this target."""
    return tuple(name for name in _known_to_model(found) if environment in found.config.components[name].targets)


def after_merge(found: Targets) -> AfterMerge:
    staged = having(found, "staging")
    deployed = tuple(component for component in COMPONENTS if component in staged)
    return AfterMerge(deployed, tuple(name for name in _known_to_model(found) if name not in staged))


def _known_to_model(found: Targets) -> list[Component]:
    """The configured components that the model may name, in the order of the team file."""
    return [known for name in found.config.components for known in COMPONENTS if known == name]
