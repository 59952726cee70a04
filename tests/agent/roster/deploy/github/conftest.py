from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agent.roster.deploy.github.world import GitHubStage, set_up
from tests.fakes.github import App, GitHubServer


@pytest.fixture
async def github(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GitHubServer]:
    async with GitHubServer(app=App()) as server:
        set_up(monkeypatch, server)
        yield server


@pytest.fixture
def stage(github: GitHubServer, tmp_path: Path) -> GitHubStage:
    return GitHubStage(github, tmp_path)
