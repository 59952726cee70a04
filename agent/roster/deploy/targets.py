"""Maps the configured components and environments to their repository, deployer and tests.

The only resource of deploybot's tools. It holds names and folders, and what the threads of a process share.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from pydantic import JsonValue

from agent import NoNotes, Notes, ToolError
from agent.roster.deploy.deployers.base import At, Deployer, Running
from agent.roster.deploy.end_to_end import EndToEnd
from agent.roster.deploy.git_repository import GitRepository
from agent.roster.deploy.github.repository import GitHubRepository
from agent.roster.deploy.line import Line, Merge, Proposals
from agent.roster.deploy.looks import Looks
from agent.roster.deploy.repository import Repository, Revision
from agent.roster.deploy.site import DeployConfig

SHARED_SECONDS = 2.0
"""For how long a look at a target or at the refs of a repository serves other threads."""
KEPT_SECONDS = 600.0
"""For how long what was read of a repository serves while its refs are the same."""
TAGS_MAX = 50
COMMITS_MAX = 20


@dataclass(frozen=True)
class Targets:
    """The resource that tools get by `call.need(Targets)`."""

    config: DeployConfig
    state_dir: Path
    notes: Notes = field(default_factory=NoNotes, kw_only=True)
    """What all workers know of the deployments. Without a store, nothing can be deployed."""

    looks: Looks = field(default_factory=Looks, kw_only=True)
    """What the threads of this process share."""
    known: defaultdict[str, dict[str, Revision]] = field(default_factory=lambda: defaultdict(dict), kw_only=True)
    """The commits that were read before, by repository."""

    def with_notes(self, notes: Notes) -> Self:
        return replace(self, notes=notes)

    def repository(self, component: str) -> Repository:
        found = self.config.components.get(component)
        if found is None:
            raise ToolError(f"{component} is not set up. Known are {', '.join(self.config.components)}.")
        known = self.known[found.source]
        if found.repository is None:
            return GitHubRepository(found.github, within=found.path, known=known)
        return GitRepository(found.repository.expanduser().absolute(), within=found.path, known=known)

    async def tags(self, component: str, limit: int) -> list[Revision]:
        """The newest tags, as they were some seconds ago at most."""
        repository = self.repository(component)
        key = ("tags", repository.name, await self._state(repository))
        return (await self.looks.get(key, lambda: repository.tags(TAGS_MAX), KEPT_SECONDS))[:limit]

    async def commits(self, component: str, limit: int) -> list[Revision]:
        """The newest commits, as they were some seconds ago at most."""
        repository = self.repository(component)
        key = ("commits", repository.name, repository.within, await self._state(repository))
        return (await self.looks.get(key, lambda: repository.commits(limit=COMMITS_MAX), KEPT_SECONDS))[:limit]

    async def _state(self, repository: Repository) -> str:
        return await self.looks.get(("state", repository.name), repository.state, repository.fresh_seconds)

    async def running(self, component: str, environment: str, *, after: str = "") -> Running | None:
        """What runs there, as it was some seconds ago at most, and not before the deployment `after` had ended.

        Raises ToolError if the target does not answer.
        """
        deployer = self.deployer(component, environment)
        return await self.looks.get(("running", component, environment, after), deployer.status, SHARED_SECONDS)

    def has_changed(self, component: str, environment: str) -> None:
        """A deployment has ended there."""
        self.looks.drop("running", component, environment)

    def deployer(self, component: str, environment: str) -> Deployer:
        self.repository(component)
        found = self.config.components[component]
        if environment not in found.targets:
            raise ToolError(f"{component} has no target {environment}. It has {', '.join(found.targets)}.")
        at = At(component, environment, found.repository, found.github, self.state_dir, self.notes)
        return found.targets[environment].deployer(at)

    def bound_to(self, component: str, environment: str) -> dict[str, JsonValue]:
        """What an approval of a deployment covers of the team file: see `Tool.bound_to`."""
        self.deployer(component, environment)
        found = self.config.components[component]
        return {**found.targets[environment].bound_to(), "repository": found.source, "path": found.path}

    def line(self, environment: str) -> Line:
        one = self.config.environments[environment]
        return Line(self.notes, environment, older=self.is_older, supersedes=one.supersede)

    def proposals(self, component: str, environment: str) -> Proposals:
        return Proposals(self.notes, component, environment, older=self.is_older)

    async def is_older(self, one: Merge, other: Merge) -> bool:
        """Whether the second one has all commits of the first one, and more, for each component of the first one."""
        if one.sha == other.sha or not set(one.components) <= set(other.components):
            return False
        repositories = {self.config.components[name].source: self.repository(name) for name in one.components}
        try:
            return all([await each.is_ancestor(one.sha, other.sha) for each in repositories.values()])
        except ToolError:
            return False  # It is not known there, so nothing is known of its order.

    def places(self) -> list[tuple[str, str]]:
        return [(name, environment) for name, c in self.config.components.items() for environment in c.targets]

    def end_to_end(self) -> EndToEnd:
        return EndToEnd({name: one.test for name, one in self.config.environments.items()}, cwd=self.home)

    @property
    def home(self) -> Path:
        """Where the commands of no component run: in the first repository that is on this machine, if any is."""
        local = (one.repository for one in self.config.components.values() if one.repository)
        return next(local, Path.cwd()).expanduser().absolute()

    def link(self, component: str, sha: str) -> str:
        return self.config.components[component].commit_link(sha)
