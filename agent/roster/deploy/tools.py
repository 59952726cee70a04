"""What deploybot can do: one class for each step.

A revision in these steps was written by a person or a model. It is resolved to a full commit first (`prepare`), the
commit is what a person is shown and approves, and the commit is what is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from agent.roster.deploy.config import DeployConfig
from agent.roster.deploy.deployer import CommandDeployer, Deployer, Run, Running
from agent.roster.deploy.end_to_end import EndToEnd
from agent.roster.deploy.repository import Repository, Revision
from agent.steps import Call, Facts, Tool, ToolError, Wait

# Your components and environments: what the model may name. Each needs a table in the team file.
Component = Literal["backend", "frontend"]
Environment = Literal["staging", "production"]
COMPONENTS: tuple[Component, ...] = ("backend", "frontend")
ENVIRONMENTS: tuple[Environment, ...] = ("staging", "production")

LISTED = 10
COMMITS_SHOWN_MAX = 20
WAITING_MAX = 200
RUN_CANDIDATES = 50
POLL_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""How long a deployment is left alone before it is looked at again; the last one goes on."""


@dataclass(frozen=True)
class Targets:
    """The team's components and where they go, as configured. What the tools ask for with `call.need(Targets)`."""

    config: DeployConfig
    state_dir: Path

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
        return CommandDeployer(found, environment, state_dir=self.state_dir)

    def places(self) -> list[tuple[str, str]]:
        return [(name, environment) for name, c in self.config.components.items() for environment in c.targets]

    def end_to_end(self) -> EndToEnd:
        first = next(iter(self.config.components.values()))
        return EndToEnd(self.config.end_to_end, cwd=first.repository)

    def link(self, component: str, sha: str) -> str:
        return self.config.components[component].commit_link(sha)


class ListGitTags(Tool):
    """The newest tags of a component's repository, newest first."""

    component: Component

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    repeatable: ClassVar[bool] = True
    doing: ClassVar[str] = "is looking at the tags"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        tags = await targets.repository(self.component).tags(LISTED)
        return {"tags": [{"name": tag.name, **_row(tag)} for tag in tags], **_links(targets, self.component)}


class ListCommits(Tool):
    """The newest commits of a component, newest first."""

    component: Component

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    repeatable: ClassVar[bool] = True
    doing: ClassVar[str] = "is looking at the commits"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        commits = await targets.repository(self.component).commits(limit=LISTED)
        return {"commits": [_row(commit) for commit in commits], **_links(targets, self.component)}


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
            return {"count": 0, "note": "nothing was deployed to production yet"}
        newest = await repository.commits(limit=1)
        waiting = await repository.commits_between(running.sha, newest[0].sha, WAITING_MAX) if newest else []
        if not waiting:
            return {"count": 0}
        counted: dict[str, JsonValue] = {"count": len(waiting), "since": waiting[-1].date[:16]}
        if len(waiting) == WAITING_MAX:
            counted["note"] = "there are more: only so many were counted"
        rows: list[JsonValue] = [_row(commit) for commit in waiting[:LISTED]]
        return {**counted, "commits": rows, **_links(targets, self.component)}


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
                described = await _described(targets, component, running.sha) if running else {}
                since, by = (running.since, running.by) if running else ("", "")
                problem = ""
            except ToolError as error:
                described, since, by, problem = {}, "", "", str(error)
            rows.append(
                {
                    "component": component,
                    "environment": environment,
                    "sha": str(described.get("sha", ""))[:7],
                    "name": described.get("name", ""),
                    "subject": described.get("subject", "") or problem,
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
        return {"running": {**await _described(targets, self.component, running.sha), **_extra(running)}}


class ListWorkflowRuns(Tool):
    """The newest deployments of one target: id, state, SHA, when and by whom."""

    component: Component
    environment: Environment

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    repeatable: ClassVar[bool] = True
    doing: ClassVar[str] = "is looking at past deployments"

    async def run(self, call: Call) -> JsonValue:
        runs = await call.need(Targets).command_deployer(self.component, self.environment).history(LISTED)
        return {
            "runs": [
                {
                    "run_id": run.id,
                    "state": run.state,
                    "sha": run.sha[:7],
                    "name": run.name,
                    "started": _time(run.started_at),
                    "by": run.by,
                }
                for run in runs
            ]
        }


class GetWorkflowStatus(Tool):
    """One deployment: its state, and the end of its output."""

    component: Component
    environment: Environment
    run_id: str = Field(description="as in list_workflow_runs")

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    repeatable: ClassVar[bool] = True
    doing: ClassVar[str] = "is looking at a deployment"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        return await _told(await targets.deployer(self.component, self.environment).look(self.run_id), targets)


FOR_PEOPLE = frozenset({"link", "date", "since"})
"""The lists tell the model these already, and how to link to a commit; a card has each link in full."""


class _Deploy(Tool):
    component: ClassVar[str]
    needs: ClassVar[tuple[type, ...]] = (Targets,)
    doing: ClassVar[str] = "is starting a deployment"
    for_people: ClassVar[frozenset[str]] = FOR_PEOPLE
    scoped_by: ClassVar[str] = "environment"
    editable: ClassVar[tuple[str, ...]] = ("revision",)

    environment: Environment
    revision: str = Field(description="a tag, or a commit's SHA")

    def needs_approval(self) -> bool:
        return self.environment == "production"

    async def prepare(self, call: Call) -> Facts:
        targets = call.need(Targets)
        deployer = targets.deployer(self.component, self.environment)
        repository = targets.repository(self.component)
        new = await repository.resolve(self.revision)
        running = await deployer.status()
        facts: Facts = {"new": _shown(new, targets, self.component)}
        if running is None:
            return {**facts, "running": "nothing yet"}
        facts["running"] = {**await _described(targets, self.component, running.sha), **_extra(running)}
        if running.sha == new.sha:
            return {**facts, "note": "this very commit runs there already"}
        try:
            newer = await repository.is_ancestor(running.sha, new.sha)
            older = not newer and await repository.is_ancestor(new.sha, running.sha)
            added = await repository.commits_between(running.sha, new.sha, COMMITS_SHOWN_MAX + 1)
        except ToolError:
            return {**facts, "note": "what runs there is not in the repository, so the two cannot be compared"}
        if not newer:
            facts["note"] = "OLDER than what runs there" if older else "on ANOTHER BRANCH than what runs there"
        if added:
            facts["adds"] = [f"{c.short} {c.subject} ({c.author})" for c in added[:COMMITS_SHOWN_MAX]]
        if len(added) > COMMITS_SHOWN_MAX:
            facts["adds_more"] = f"and older commits: only the newest {COMMITS_SHOWN_MAX} are listed"
        if self.environment == "production":
            facts["on_staging"] = await self._on_staging(targets, new)
        return facts

    async def _on_staging(self, targets: Targets, new: Revision) -> bool:
        try:
            staging = await targets.deployer(self.component, "staging").status()
        except ToolError:
            return False
        return staging is not None and staging.sha == new.sha

    async def run(self, call: Call) -> JsonValue:
        return await _start(call, self.component, self.environment, call.facts)


class DeployBackend(_Deploy):
    """Deploy exactly this revision of the backend. Production is approved by a person first; code asks them."""

    component: ClassVar[str] = "backend"


class DeployFrontend(_Deploy):
    """Deploy exactly this revision of the frontend. Production is approved by a person first; code asks them."""

    component: ClassVar[str] = "frontend"


class Rollback(Tool):
    """Go back to the revision that ran before, and ran well. Approved by a person first; code asks them."""

    component: Component
    environment: Environment

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    doing: ClassVar[str] = "is starting a rollback"
    for_people: ClassVar[frozenset[str]] = FOR_PEOPLE
    scoped_by: ClassVar[str] = "environment"

    def needs_approval(self) -> bool:
        return True

    async def prepare(self, call: Call) -> Facts:
        targets = call.need(Targets)
        deployer = targets.command_deployer(self.component, self.environment)
        running = await deployer.status()
        if running is None:
            raise ToolError(
                f"Nothing runs on {self.component} {self.environment}, so there is nothing to go back from."
            )
        repository = targets.repository(self.component)
        for sha in _candidates(await deployer.history(RUN_CANDIDATES)):
            # Older than what runs: going back twice must not bring the bad one again.
            if sha != running.sha and await repository.is_ancestor(sha, running.sha):
                break
        else:
            raise ToolError(
                f"No earlier good revision of {self.component} {self.environment} is on record. "
                "Name one, and deploy it."
            )
        return {
            "new": await _described(targets, self.component, sha),
            "running": {**await _described(targets, self.component, running.sha), **_extra(running)},
        }

    async def run(self, call: Call) -> JsonValue:
        return await _start(call, self.component, self.environment, call.facts)


class WaitForDeployment(Tool):
    """Wait until a deployment has ended, and say how. Chosen by code after each start."""

    component: Component
    environment: Environment
    run_id: str

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    repeatable: ClassVar[bool] = True
    doing: ClassVar[str] = "is waiting for a deployment"
    for_people: ClassVar[frozenset[str]] = FOR_PEOPLE | {"run_id"}

    async def run(self, call: Call) -> JsonValue | Wait:
        targets = call.need(Targets)
        run = await targets.deployer(self.component, self.environment).look(self.run_id)
        if run.state == "running":
            what = f"deployment of {self.component} to {self.environment}, since {_time(run.started_at)}"
            return Wait(POLL_SECONDS[min(call.attempt, len(POLL_SECONDS)) - 1], what)
        return await _told(run, targets)


class RunEndToEndTests(Tool):
    """Run the end-to-end tests of an environment."""

    environment: Environment

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    repeatable: ClassVar[bool] = True
    doing: ClassVar[str] = "is running the end-to-end tests"
    timeout_seconds: ClassVar[float] = 960.0

    async def run(self, call: Call) -> JsonValue:
        checked = await call.need(Targets).end_to_end().check(self.environment)
        return {"passed": checked.passed, "output": "\n".join(filter(None, (checked.output, checked.note)))}


TOOLS: tuple[type[Tool], ...] = (
    ListGitTags,
    ListCommits,
    ListWaitingCommits,
    ListDeployments,
    CheckDeploymentStatus,
    ListWorkflowRuns,
    GetWorkflowStatus,
    DeployBackend,
    DeployFrontend,
    Rollback,
    WaitForDeployment,
    RunEndToEndTests,
)


async def _start(call: Call, component: str, environment: str, facts: Mapping[str, JsonValue]) -> JsonValue:
    """Start the deployment of the commit in the facts, if the target is still as the facts say."""
    targets = call.need(Targets)
    deployer = targets.deployer(component, environment)
    new, before = facts["new"], facts["running"]
    assert isinstance(new, dict)
    expected = str(before["sha"]) if isinstance(before, dict) else ""
    running = await deployer.status()
    now = running.sha if running else ""
    if now != expected:
        raise ToolError(
            f"Not started: {component} {environment} has changed since this was prepared, from "
            f"{expected[:7] or 'nothing'} to {now[:7] or 'nothing'}. Look again before you propose it anew."
        )
    run = await deployer.start(
        str(new["sha"]),
        name=str(new.get("name") or ""),
        previous=expected,
        key=call.key,
        by=call.requested_by,
        thread_id=call.thread_id,
    )
    # How it goes is told by wait_for_deployment alone, also where it has ended already.
    return {"run_id": run.id, "state": "started", **({"run_link": run.url} if run.url else {})}


async def _told(run: Run, targets: Targets) -> JsonValue:
    told: dict[str, JsonValue] = {
        "run_id": run.id,
        "component": run.component,
        "environment": run.environment,
        "state": run.state,
        **await _described(targets, run.component, run.sha),
        "sha": run.sha[:7],
    }
    if run.name:
        told["name"] = run.name
    if run.url:
        told["run_link"] = run.url
    if run.previous:
        told["previous"] = run.previous[:7]
    if run.note:
        told["note"] = run.note
    if run.output and run.state != "running":
        told["output"] = run.output
    return told


def _candidates(runs: list[Run]) -> list[str]:
    """Commits that ran well, newest first: those deployed with success, and what ran before each of them."""
    found = (sha for run in runs if run.state == "succeeded" for sha in (run.sha, run.previous) if sha)
    return list(dict.fromkeys(found))


async def _described(targets: Targets, component: str, sha: str) -> dict[str, JsonValue]:
    """A commit in full; its SHA alone where the repository does not have it."""
    repository = targets.repository(component)
    try:
        revision = await repository.resolve(sha)
    except ToolError:
        return {"sha": sha, "subject": "(not in the repository)"}
    names = [tag.name for tag in await repository.tags(50) if tag.sha == sha]
    return {**_shown(revision, targets, component), **({"name": names[0]} if names else {})}


def _shown(revision: Revision, targets: Targets, component: str) -> dict[str, JsonValue]:
    shown: dict[str, JsonValue] = {"sha": revision.sha}
    if revision.name:
        shown["name"] = revision.name
    shown |= {"subject": revision.subject, "author": revision.author, "date": revision.date}
    if link := targets.link(component, revision.sha):
        shown["link"] = link
    return shown


def _row(revision: Revision) -> dict[str, JsonValue]:
    return {
        "sha": revision.short,
        "date": revision.date[:16],
        "author": revision.author,
        "subject": revision.subject,
    }


def _links(targets: Targets, component: str) -> dict[str, JsonValue]:
    """Told once for a whole list: a link in each row would take more room than the rest of it."""
    link = targets.link(component, "{sha}")
    return {"commit_link": link} if link else {}


def _extra(running: Running) -> dict[str, JsonValue]:
    return {key: value for key, value in (("since", running.since), ("by", running.by), ("url", running.url)) if value}


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
