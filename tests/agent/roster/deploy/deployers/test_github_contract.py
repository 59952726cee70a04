"""The kind `github` keeps the promises of every deployer: against a GitHub that tells at once, and an older one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agent.roster.deploy.deployers.contract import DeployerContract
from tests.agent.roster.deploy.github.world import GitHubStage, set_up
from tests.fakes.github import App, GitHubServer


class TestGitHub(DeployerContract):
    @pytest.fixture(params=["by a token", "by an app", "of an older version"])
    async def stage(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> AsyncIterator[GitHubStage]:
        async with GitHubServer(app=(app := App())) as github:
            more = {"API_VERSION": "2022-11-28"} if request.param == "of an older version" else {}
            if request.param == "by an app":
                ids = {"APP_ID": str(app.id), "APP_INSTALLATION_ID": str(app.installation)}
                more = {"TOKEN": "", "APP_PRIVATE_KEY": app.private_key, **ids}
            set_up(monkeypatch, github, **more)
            yield GitHubStage(github, tmp_path)
