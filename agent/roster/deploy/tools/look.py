"""The read-only tools: tags, commits, what waits for production, what runs where. All of them are repeatable."""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue

from agent import Call, Result, Tool, ToolError
from agent.roster.deploy.site import Component, Environment
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools.rows import LISTED, CommitRow, described, links, row, since_and_by

WAITING_MAX = 200


class WaitingCommits(Result):
    count: int
    since: str = ""
    """When the oldest of them was committed, to the minute."""
    note: str = ""
    """Why there may be more, or why there are none."""
    commits: tuple[CommitRow, ...] = ()
    """The newest."""
    commit_link: str = ""


class ListGitTags(Tool):
    """The newest tags of a component's repository, newest first."""

    component: Component

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    repeatable: ClassVar[bool] = True
    doing: ClassVar[str] = "is looking at the tags"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        tags = await targets.repository(self.component).tags(LISTED)
        return {"tags": [{"name": tag.name, **row(tag).as_json()} for tag in tags], **links(targets, self.component)}


class ListCommits(Tool):
    """The newest commits of a component, newest first."""

    component: Component

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    repeatable: ClassVar[bool] = True
    doing: ClassVar[str] = "is looking at the commits"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        commits = await targets.repository(self.component).commits(limit=LISTED)
        return {"commits": [row(commit).as_json() for commit in commits], **links(targets, self.component)}


class ListWaitingCommits(Tool):
    """Commits of a component that are newer than what runs in production: how many, since when, and the newest."""

    component: Component

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    repeatable: ClassVar[bool] = True
    doing: ClassVar[str] = "is looking at what waits for production"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        repository = targets.repository(self.component)
        running = await targets.deployer(self.component, "production").status()
        if running is None:
            return WaitingCommits(count=0, note="nothing was deployed to production yet").as_json()
        newest = await repository.commits(limit=1)
        waiting = await repository.commits_between(running.sha, newest[0].sha, WAITING_MAX) if newest else []
        if not waiting:
            return WaitingCommits(count=0).as_json()
        return WaitingCommits(
            count=len(waiting),
            since=waiting[-1].date[:16],
            note="there are more: only so many were counted" if len(waiting) == WAITING_MAX else "",
            commits=tuple(row(commit) for commit in waiting[:LISTED]),
            commit_link=targets.link(self.component, "{sha}"),
        ).as_json()


class ListDeployments(Tool):
    """What runs now on every target, asked from the targets themselves."""

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    repeatable: ClassVar[bool] = True
    doing: ClassVar[str] = "is looking at what runs where"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        rows: list[JsonValue] = []
        for component, environment in targets.places():
            try:
                running = await targets.deployer(component, environment).status()
                commit = await described(targets, component, running.sha) if running else {}
                since, by = (running.since, running.by) if running else ("", "")
                problem = ""
            except ToolError as error:
                commit, since, by, problem = {}, "", "", str(error)
            rows.append(
                {
                    "component": component,
                    "environment": environment,
                    "sha": str(commit.get("sha", ""))[:7],
                    "name": commit.get("name", ""),
                    "subject": commit.get("subject", "") or problem,
                    "since": since,
                    "by": by,
                }
            )
        return {"deployments": rows}


class CheckDeploymentStatus(Tool):
    """What runs on one target now: full SHA, since when, and who deployed it."""

    component: Component
    environment: Environment

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    repeatable: ClassVar[bool] = True
    doing: ClassVar[str] = "is looking at a deployment"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        running = await targets.deployer(self.component, self.environment).status()
        if running is None:
            return {"running": "nothing was deployed there yet"}
        return {"running": {**await described(targets, self.component, running.sha), **since_and_by(running)}}
