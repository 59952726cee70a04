"""Maps the configured components and environments to their repository, deployer and tests.

The only resource of deploybot's tools. It holds names and folders, and no state of what runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from agent import NoNotes, Notes, ToolError
from agent.roster.deploy.deployers.base import Deployer
from agent.roster.deploy.deployers.command import CommandDeployer
from agent.roster.deploy.end_to_end import EndToEnd
from agent.roster.deploy.repository import Repository
from agent.roster.deploy.site import DeployConfig


@dataclass(frozen=True)
class Targets:
    """The resource that tools get by `call.need(Targets)`."""

    config: DeployConfig
    state_dir: Path
    notes: Notes = field(default_factory=NoNotes, kw_only=True)
    """What all workers know of the deployments. Without a store, nothing can be deployed."""

    def with_notes(self, notes: Notes) -> Self:
        return replace(self, notes=notes)

    def repository(self, component: str) -> Repository:
        found = self.config.components.get(component)
        if found is None:
            raise ToolError(f"{component} is not set up. Known are {', '.join(self.config.components)}.")
        return Repository(found.repository.expanduser().absolute(), within=found.path)

    def deployer(self, component: str, environment: str) -> Deployer:
        return self.command_deployer(component, environment)

    def command_deployer(self, component: str, environment: str) -> CommandDeployer:
        self.repository(component)
        found = self.config.components[component]
        if environment not in found.targets:
            raise ToolError(f"{component} has no target {environment}. It has {', '.join(found.targets)}.")
        return CommandDeployer(found, environment, state_dir=self.state_dir, notes=self.notes)

    def places(self) -> list[tuple[str, str]]:
        return [(name, environment) for name, c in self.config.components.items() for environment in c.targets]

    def end_to_end(self) -> EndToEnd:
        first = next(iter(self.config.components.values()))
        return EndToEnd({name: one.test for name, one in self.config.environments.items()}, cwd=first.repository)

    def link(self, component: str, sha: str) -> str:
        return self.config.components[component].commit_link(sha)
