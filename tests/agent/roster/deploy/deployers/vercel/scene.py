"""A target at Vercel: a server, a project, and deployers that share a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.roster.deploy.deployers.base import At, Run
from agent.roster.deploy.deployers.vercel import api
from agent.roster.deploy.deployers.vercel.deployer import VercelDeployer
from agent.roster.deploy.deployers.vercel.target import VercelTarget
from tests.agent.roster.deploy.deployers.notes import FileNotes
from tests.fakes.vercel import STUCK, TOKEN, Made, VercelServer


class Scene:
    def __init__(
        self,
        vercel: VercelServer,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        auto_assign: bool = True,
        stuck: int = 0,
        **project: object,
    ) -> None:
        """`stuck`: of so many deployments, the test itself says what becomes of them."""
        monkeypatch.setenv("VERCEL_TOKEN", TOKEN)
        monkeypatch.setenv("VERCEL_API_URL", vercel.url)
        monkeypatch.setattr(api, "AGAIN_SECONDS", (0.0, 0.0))
        self.vercel = vercel
        self.project = vercel.add_project("web", auto_assign=auto_assign, **project)
        self.notes = FileNotes(folder / "notes")
        self._folder = folder
        vercel.builds.extend([STUCK] * stuck)

    def deployer(self, environment: str = "production", *, github: str = "", **given: object) -> VercelDeployer:
        """A new one each time, as another worker would have it."""
        table = {"kind": "vercel", "project": "web", "team": "acme", "target": environment, **given}
        at = At("web", environment, None, github, self._folder, self.notes)
        return VercelDeployer(VercelTarget.model_validate(table), at)

    def made_for(self, run: Run) -> Made:
        return next(one for one in self.vercel.deployments if one.meta.get("deploybotRun") == run.id)
