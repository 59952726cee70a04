"""deploybot: deploys the team's components, asks before production, follows what it started, and tells people.

This folder is yours. The components and environments stand at the top of `tools.py`, the rules in `prompt.md`, what
code does by itself in `plan.py`, and how a deployment is carried out behind `deployer.Deployer`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.definition import Agent
from agent.roster.deploy.check import problems
from agent.roster.deploy.config import DeployConfig
from agent.roster.deploy.plan import OPENINGS, planner
from agent.roster.deploy.tools import TOOLS, Targets

NAME = "deploy"


def build(table: Mapping[str, Any], home: Path) -> Agent:
    """From `[agents.deploy]` of the team file; the runs are kept under `home`. Raises pydantic's ValidationError."""
    found = targets(table, home)
    return Agent(
        name=NAME,
        prompt=Path(__file__).with_name("prompt.md").read_text(encoding="utf-8"),
        tools=TOOLS,
        plan=planner(
            one_of_each_repository(found),
            in_production=tuple(component for component, target in found.places() if target == "production"),
            on_failed_tests="rollback",
        ),
        resources={Targets: found},
        openings=OPENINGS,
        check=functools.partial(problems, found),
    )


def targets(table: Mapping[str, Any], home: Path) -> Targets:
    return Targets(DeployConfig.model_validate(table), home / "deployments")


def one_of_each_repository(found: Targets) -> tuple[str, ...]:
    """A component for each repository: where several share one, its tags and commits are listed once."""
    first: dict[Path, str] = {}
    for name, component in found.config.components.items():
        first.setdefault(component.repository, name)
    return tuple(first.values())
