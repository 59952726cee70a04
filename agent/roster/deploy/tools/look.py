"""The read-only tools: tags, commits, what waits for an environment, what runs where. None of them acts."""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar

from pydantic import JsonValue

from agent import Call, Result, Tool, ToolError
from agent.roster.deploy.repository import Revision
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools.look_up import deployments
from agent.roster.deploy.tools.rows import LISTED, CommitRow, described, links, row, since_and_by

WAITING_MAX = 200
ROWS_MAX = 40
"""The most commits that are listed of all components together, but for one of each."""


class Waiting(Result):
    """The commits of one component that wait."""

    component: str
    count: int
    since: str
    """When the oldest of them was committed, to the minute."""
    note: str = ""
    """Why there may be more."""


class WaitingCommit(CommitRow):
    component: str


class NotLooked(Result):
    component: str
    error: str


class WaitingCommits(Result):
    waiting: tuple[Waiting, ...] = ()
    """The components of which commits wait."""
    commits: tuple[WaitingCommit, ...] = ()
    """The newest of each."""
    failed: tuple[NotLooked, ...] = ()


class ComponentsWith(Result):
    components: tuple[str, ...] = ()


class ListComponentsWith(Tool):
    """The components whose repository has a revision. Chosen by code after a merge."""

    revision: str

    by_code: ClassVar[bool] = True
    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking for what was merged"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        config, having = targets.config, set[str]()
        for component in config.one_of_each_repository:
            with contextlib.suppress(ToolError):
                await targets.repository(component).resolve(self.revision)
                having.add(config.components[component].source)
        names = (name for name, component in config.components.items() if component.source in having)
        return ComponentsWith(components=tuple(names)).as_json()


class ListGitTags(Tool):
    """The newest tags of a component's repository, newest first."""

    component: str

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking at the tags"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        tags = await targets.tags(self.component, LISTED)
        return {"tags": [{"name": tag.name, **row(tag).as_json()} for tag in tags], **links(targets, self.component)}


class ListCommits(Tool):
    """The newest commits of a component, newest first."""

    component: str

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking at the commits"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        commits = await targets.commits(self.component, LISTED)
        return {"commits": [row(commit).as_json() for commit in commits], **links(targets, self.component)}


class ListWaitingCommits(Tool):
    """The commits of each component that are newer than what runs on an environment: how many, and the newest."""

    environment: str

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking at what waits"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        found: dict[str, list[Revision]] = {}
        failed: list[NotLooked] = []
        async with asyncio.TaskGroup() as group:
            looks = {
                component: group.create_task(self._waiting(targets, component))
                for component in targets.config.having(self.environment)
            }
        for component, look in looks.items():
            waiting = look.result()
            if isinstance(waiting, ToolError):
                failed.append(NotLooked(component=component, error=str(waiting)))
            elif waiting:
                found[component] = waiting
        each = min(LISTED, max(1, ROWS_MAX // max(len(found), 1)))
        return WaitingCommits(
            waiting=tuple(
                Waiting(
                    component=component,
                    count=len(waiting),
                    since=waiting[-1].date[:16],
                    note="there are more: only so many were counted" if len(waiting) == WAITING_MAX else "",
                )
                for component, waiting in found.items()
            ),
            commits=tuple(
                WaitingCommit(component=component, **row(commit).model_dump())
                for component, waiting in found.items()
                for commit in waiting[:each]
            ),
            failed=tuple(failed),
        ).as_json()

    async def _waiting(self, targets: Targets, component: str) -> list[Revision] | ToolError:
        """Newest first; none, if nothing was deployed there yet."""
        repository = targets.repository(component)
        try:
            running = await targets.running(component, self.environment)
            newest = await targets.commits(component, 1) if running else []
            if not running or not newest:
                return []
            return await repository.commits_between(running.sha, newest[0].sha, WAITING_MAX)
        except ToolError as error:
            return error


class ListDeployments(Tool):
    """What runs now on every target, asked from the targets themselves."""

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking at what runs where"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        return {"deployments": await deployments(targets, targets.config.components)}


class CheckDeploymentStatus(Tool):
    """What runs on one target now: full SHA, since when, and who deployed it."""

    component: str
    environment: str

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking at a deployment"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        running = await targets.deployer(self.component, self.environment).status()
        if running is None:
            return {"running": "nothing was deployed there yet"}
        return {"running": {**await described(targets, self.component, running.sha), **since_and_by(running)}}
