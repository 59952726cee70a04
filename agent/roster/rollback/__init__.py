"""rollback: takes over a thread after the tests of what it deployed failed, and proposes a rollback.

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
from agent.roster.deploy.tools import tools_of
from agent.roster.deploy.tools.deploy import Rollback
from agent.roster.deploy.tools.follow import GetWorkflowStatus, ListWorkflowRuns, RunEndToEndTests, WaitForDeployment
from agent.roster.deploy.tools.look import CheckDeploymentStatus, ListDeployments
from agent.roster.deploy.tools.look_up import LookUp
from agent.roster.deploy.tools.release import ReleaseTarget

NAME = "rollback"
SHARES = deploy.NAME
"""It uses deploybot's table in the team file, because the targets are the same."""


_TOOLS = (
    LookUp,
    ListDeployments,
    CheckDeploymentStatus,
    ListWorkflowRuns,
    GetWorkflowStatus,
    Rollback,
    ReleaseTarget,
    WaitForDeployment,
    RunEndToEndTests,
)


def build(table: Mapping[str, Any], home: Path) -> Agent:
    """Raises pydantic's ValidationError."""
    targets = deploy.targets(table, home)
    return Agent(
        name=NAME,
        prompt=deploy.prompt_of(targets, Path(__file__)),
        tools=tuple(tool for tool in tools_of(targets.config) if issubclass(tool, _TOOLS)),
        plan=planner(targets.config, leads=False),
        resources={Targets: targets},
    )
