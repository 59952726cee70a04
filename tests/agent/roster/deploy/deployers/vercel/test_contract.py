"""The kind `vercel` keeps the promises of every deployer: where Vercel gives the domains, and where people do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.roster.deploy.deployers.base import Deployer, Run
from tests.agent.roster.deploy.deployers.contract import DeployerContract, Stage
from tests.agent.roster.deploy.deployers.vercel.scene import Scene
from tests.fakes.vercel import VercelServer


class VercelStage(Stage):
    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def deployer(self) -> Deployer:
        return self.scene.deployer()

    async def let_end(self, run: Run, *, well: bool = True) -> None:
        made = self.scene.made_for(run)
        if well:
            made.coming.extend(("BUILDING", "READY"))
        else:
            made.log = ["> build", "no space left"]
            made.coming.append("ERROR")

    def begun(self) -> list[str]:
        return [one.sha for one in self.scene.vercel.deployments]

    async def settle(self) -> None:
        """`start` returns when Vercel has it."""


class TestVercel(DeployerContract):
    @pytest.fixture(params=[True, False], ids=["domains at once", "domains by promotion"])
    async def stage(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Stage]:
        async with VercelServer() as vercel:
            yield VercelStage(Scene(vercel, tmp_path, monkeypatch, auto_assign=request.param, stuck=100))
