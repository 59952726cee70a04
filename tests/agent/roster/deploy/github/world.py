"""A GitHub with one repository that deploys by a workflow, and our access to it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from agent.roster.deploy.deployers.base import At, Deployer, Run
from agent.roster.deploy.deployers.github import GitHubTarget
from agent.roster.deploy.github.api import api_of
from tests.agent.roster.deploy.deployers.contract import Stage
from tests.agent.roster.deploy.deployers.notes import FileNotes
from tests.fakes.github import DEPLOY_FILE, DEPLOY_WORKFLOW, SLOW, TOKEN, GitHubServer

VARIABLES = ("TOKEN", "APP_ID", "APP_INSTALLATION_ID", "APP_PRIVATE_KEY", "API_URL", "API_VERSION")


def set_up(monkeypatch: pytest.MonkeyPatch, github: GitHubServer, **more: str) -> None:
    """Our access by a token, and these variables (without GITHUB_)."""
    api_of.cache_clear()
    for name in VARIABLES:
        monkeypatch.delenv(f"GITHUB_{name}", raising=False)
    for name, value in {"API_URL": github.url, "TOKEN": TOKEN, **more}.items():
        if value:
            monkeypatch.setenv(f"GITHUB_{name}", value)


class GitHubStage(Stage):
    """Of `web` on `production`, deployed by acme/shop. Its runs go on until they are let end."""

    def __init__(self, github: GitHubServer, folder: Path, **target: Any) -> None:
        self.github = github
        self.shop = github.add_repository("acme/shop", {DEPLOY_FILE: DEPLOY_WORKFLOW})
        self.shop.flow = SLOW
        self.target = GitHubTarget(workflow="deploy.yml", **target)
        self.notes = FileNotes(folder / "notes")
        self.at = At("web", "production", None, "acme/shop", folder / "state", self.notes)

    def deployer(self) -> Deployer:
        return self.target.deployer(self.at)

    async def let_end(self, run: Run, *, well: bool = True) -> None:
        found = next(one for one in self.shop.runs if one.inputs["key"] == run.id)
        if not well:
            found.flow = dataclasses.replace(found.flow, log="copying files\n##[error]no space left on device\n")
        found.finish("success" if well else "failure")

    def begun(self) -> list[str]:
        return [run.inputs["sha"] for run in self.shop.runs]

    async def settle(self) -> None:
        assert self.shop.runs
