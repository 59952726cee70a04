"""rollback: takes over a thread after its production tests failed, and proposes a rollback.

It uses deploybot's tools and targets with its own prompt: a small agent with one job. It deploys nothing new.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent import Agent
from agent.roster import deploy
from agent.roster.deploy.plan import planner
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools.deploy import Rollback
from agent.roster.deploy.tools.follow import GetWorkflowStatus, ListWorkflowRuns, RunEndToEndTests, WaitForDeployment
from agent.roster.deploy.tools.look import CheckDeploymentStatus, ListDeployments

NAME = "rollback"
SHARES = deploy.NAME
"""It uses deploybot's table in the team file, because the targets are the same."""


def build(table: Mapping[str, Any], home: Path) -> Agent:
    """Raises pydantic's ValidationError."""
    targets = deploy.targets(table, home)
    return Agent(
        name=NAME,
        prompt=Path(__file__).with_name("prompt.md").read_text(encoding="utf-8"),
        tools=(
            ListDeployments,
            CheckDeploymentStatus,
            ListWorkflowRuns,
            GetWorkflowStatus,
            Rollback,
            WaitForDeployment,
            RunEndToEndTests,
        ),
        plan=planner((), tested=targets.config.end_to_end),
        resources={Targets: targets},
    )
