"""The table of a target at Vercel. Read at every start, so it imports no HTTP library."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agent.roster.deploy.deployers.base import At, Deployer, Target
from agent.roster.deploy.fields import shape

PRODUCTION, PREVIEW = "production", "preview"
Named = Annotated[
    str, shape(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "it has letters, digits, ., _ and -, as Vercel shows it")
]


class VercelTarget(Target):
    """How to deploy one component to one environment at Vercel."""

    kind: Literal["vercel"] = "vercel"
    """A project at Vercel."""
    project: Named
    """The project, by its name or its id."""
    team: Named | Literal[""] = ""
    """The team that has it, by its slug or its id. Empty: the personal account of the token's owner."""
    target: Named
    """`production`, `preview`, or the slug of a custom environment of the project."""
    branch: Annotated[str, Field(max_length=200), shape(r"[^\s\x00-\x1f]*", "a branch has no spaces")] = ""
    """The branch that Vercel names the deployment by, which need not have the commit. Empty: the project's production
    branch in production, and else none."""
    timeout_seconds: float = Field(default=1_800.0, gt=0, le=86_400)
    """A deployment that takes longer is cancelled."""

    def deployer(self, at: At) -> Deployer:
        from agent.roster.deploy.deployers.vercel.deployer import VercelDeployer

        return VercelDeployer(self, at)
