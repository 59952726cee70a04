"""The tools of deploybot, one class each. To add one, write it next to a similar one, and list it in TOOLS."""

from __future__ import annotations

from agent import Tool
from agent.roster.deploy.tools.deploy import DeployBackend, DeployFrontend, Rollback
from agent.roster.deploy.tools.follow import GetWorkflowStatus, ListWorkflowRuns, RunEndToEndTests, WaitForDeployment
from agent.roster.deploy.tools.look import (
    CheckDeploymentStatus,
    ListCommits,
    ListDeployments,
    ListGitTags,
    ListWaitingCommits,
)

TOOLS: tuple[type[Tool], ...] = (
    ListGitTags,
    ListCommits,
    ListWaitingCommits,
    ListDeployments,
    CheckDeploymentStatus,
    ListWorkflowRuns,
    GetWorkflowStatus,
    DeployBackend,
    DeployFrontend,
    Rollback,
    WaitForDeployment,
    RunEndToEndTests,
)
