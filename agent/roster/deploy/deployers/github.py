"""Deployments that a workflow at GitHub carries out: `workflow_dispatch`, with the approved commit as an input.

A ref is not enough: the branch that holds the workflow moves. So the commit is an input, and the run must show it in
its name, with our key and the environment, and must be of the version of the workflow that was looked at just before. A
run that shows something else is cancelled, and people are told. The run is known by what the dispatch answers, or found
by our key in its name; it is dispatched once, whatever happens.

What runs is the newest successful run of the workflow for the environment, or, where the target says so, the newest of
GitHub's own deployments. https://docs.github.com/rest/actions/workflows#create-a-workflow-dispatch-event
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from agent import Facts, ToolError, awaited
from agent.roster.deploy.deployers.base import At, Deployer, NoAnswer, Run, Running, RunState, Target, minute
from agent.roster.deploy.deployers.hosted import HostedDeployer
from agent.roster.deploy.deployers.process import OUTPUT_LINES_MAX, OUTPUT_READ_BYTES, last_lines, one_line
from agent.roster.deploy.fields import Config, RepositoryName, shape, text_with
from agent.roster.deploy.github import shapes
from agent.roster.deploy.github.access import SEE, access
from agent.roster.deploy.github.api import GitHubApi, Refusal, api_of, parsed
from agent.roster.deploy.github.contents import text_of
from agent.roster.deploy.github.workflow import problem_in, stands_in

LISTED = 100
"""How many of a workflow's newest runs are looked through."""
CLOCKS_APART = timedelta(minutes=10)
"""How far GitHub's clock and ours may differ."""
DEPLOYMENTS_LOOKED_AT = 10
JOBS_SHOWN = 3
_FULL_SHA = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")
_INSTANT = re.compile(rb"^\d{4}-\d\d-\d\dT[\d:.]+Z ", re.MULTILINE)
_STATES: dict[str, RunState] = {"success": "succeeded", "timed_out": "timed_out"}
"""By conclusion; any other is a failure."""

InputName = Annotated[str, shape(r"[A-Za-z_][A-Za-z0-9_-]{0,99}", "an input has letters, digits, - and _")]


class Inputs(Config):
    """The names of the workflow's inputs."""

    commit: InputName = "sha"
    """Gets the full commit to deploy."""
    environment: InputName = "environment"
    """Gets the environment."""
    key: InputName = "key"
    """Gets a key by which the run is found again."""
    component: InputName | Literal[""] = ""
    """Gets the component, where one workflow deploys several. Empty: the workflow has no such input."""


class GitHubTarget(Target):
    """Deploys by a workflow at GitHub, with the approved commit as an input of it."""

    kind: Literal["github"] = "github"
    """What carries it out. `github`: a workflow at GitHub."""
    workflow: Annotated[str, shape(r"[\w.-]{1,100}\.ya?ml", "a workflow is named by its file, such as deploy.yml")]
    """The file in .github/workflows."""
    repository: RepositoryName | Literal[""] = ""
    """Where the workflow is. Empty: the component's `github`."""
    ref: Annotated[str, Field(min_length=1, max_length=200), text_with("name")] = "main"
    """The branch that holds the workflow. `{name}`: the tag or branch that was named, which must be the commit."""
    inputs: Inputs = Inputs()
    """The names of the workflow's inputs, by what they get."""
    also: dict[InputName, str] = Field(default_factory=dict)
    """Other inputs, with what they get."""
    github_environment: str = Field(default="", max_length=200)
    """What the workflow calls the environment. Empty: as here."""
    runs: Literal["workflow", "deployments"] = "workflow"
    """Who knows what runs there. `workflow`: the newest successful run of the workflow for this environment.
    `deployments`: the newest deployment of that environment at GitHub whose last status is a success, where your
    workflow makes deployments of the commit that it deploys."""

    def deployer(self, at: At) -> Deployer:
        return GitHubDeployer(self, at)

    def misplaced(self, *, local: bool, github: str) -> str:
        return (
            "" if self.repository or github else "it needs a `repository`, such as acme/payments, here or as `github`"
        )


class GitHubDeployer(HostedDeployer):
    service: ClassVar[str] = "GitHub"

    def __init__(self, target: GitHubTarget, at: At) -> None:
        super().__init__(at)
        self._target = target
        self._name = target.repository or at.github
        self._repo = f"/repos/{self._name}"
        self._workflow = f"{self._repo}/actions/workflows/{target.workflow}"
        self._called = target.github_environment or at.environment
        where = f"{target.workflow} of {self._name}, as it stands on {target.ref}"
        self.carried_out: Facts = {"carried_out_by": f"the workflow {where}"}

    @property
    def _api(self) -> GitHubApi:
        return api_of(access())

    # Beginning

    async def about(self, sha: str) -> Facts:
        """Nobody is asked to approve what the workflow could not carry out."""
        await self._require_fit(sha if "{name}" in self._target.ref else await self._head(self._target.ref))
        return {}

    async def _check(self, run: Run) -> Run:
        ref = self._ref(run)
        head = await self._head(ref)
        if "{name}" in self._target.ref and head != run.sha:
            raise ToolError(f"{ref} is {head[:7]} at GitHub, and not {run.sha[:7]}. Nothing was started.")
        await self._require_fit(head)
        return replace(run, head=head)

    async def _require_fit(self, head: str) -> None:
        """Raises ToolError."""
        if problem := await self._file_problem(head):
            raise ToolError(f"{self._target.workflow} of {self._name} cannot deploy: {problem}. Nothing was started.")

    def _ref(self, run: Run) -> str:
        if "{name}" in self._target.ref and not run.name:
            raise ToolError("This target is deployed by a tag or a branch: name one.")
        return self._target.ref.replace("{name}", run.name)

    async def _head(self, ref: str) -> str:
        try:
            return (await self._api.get(shapes.Named, f"{self._repo}/commits/{ref}")).sha
        except Refusal as error:
            if error.status not in (404, 422):
                raise
            raise ToolError(
                f"{self._name} has no branch or tag {ref!r}, or {self._api.access.name} may not read it."
            ) from None

    async def _file_problem(self, head: str) -> str:
        path = f"{self._repo}/contents/.github/workflows/{self._target.workflow}"
        file = await self._api.find(shapes.File, path, ref=head)
        if file is None:
            return (
                f"there is no .github/workflows/{self._target.workflow} at {head[:7]}, or its contents may not be read"
            )
        inputs = self._target.inputs
        named = (inputs.commit, inputs.environment, inputs.key, *([inputs.component] if inputs.component else []))
        return problem_in(text_of(file), given=(*named, *self._target.also), named=named)

    async def _begin(self, run: Run) -> Run:
        inputs = self._target.inputs
        given: dict[str, JsonValue] = {
            **self._target.also,
            inputs.commit: run.sha,
            inputs.environment: self._called,
            inputs.key: run.id,
            **({inputs.component: run.component} if inputs.component else {}),
        }
        # Once: GitHub would begin a second run, however soon after the first.
        said = await self._api.post(
            f"{self._workflow}/dispatches", {"ref": self._ref(run), "inputs": given}, repeats=False
        )
        if not said.strip():
            return run  # An older GitHub: it is found by its key.
        try:
            begun = parsed(shapes.Dispatched, said)
        except NoAnswer:
            return run
        return replace(run, ref=str(begun.workflow_run_id), url=begun.html_url)

    # Following

    async def _found(self, run: Run) -> Run | None:
        found = await (self._by_id(run) if run.ref else self._by_key(run))
        if found is None:
            return None
        run = replace(run, ref=str(found.id), url=found.html_url, note="")
        if wrong := self._differs(run, found):
            return await self._refused(run, found, wrong)
        if found.status != "completed":
            waits = "It waits at GitHub for somebody's approval." if found.status == "waiting" else ""
            return replace(run, note=waits)
        state = _STATES.get(found.conclusion, "failed")
        note = "" if state == "succeeded" else _why(found.conclusion)
        return replace(run, state=state, ended_at=found.updated_at, note=note)

    async def _by_id(self, run: Run) -> shapes.WorkflowRun | None:
        return await self._api.find(shapes.WorkflowRun, f"{self._repo}/actions/runs/{run.ref}")

    async def _by_key(self, run: Run) -> shapes.WorkflowRun | None:
        since = f">={run.started_at - CLOCKS_APART:%Y-%m-%dT%H:%M:%SZ}"
        listed = await self._runs(event="workflow_dispatch", created=since)
        return next((one for one in listed if stands_in(run.id, one.display_title)), None)

    async def _runs(self, **parameters: str) -> tuple[shapes.WorkflowRun, ...]:
        """Newest first."""
        found = await self._api.get(shapes.WorkflowRuns, f"{self._workflow}/runs", per_page=LISTED, **parameters)
        return found.workflow_runs

    def _differs(self, run: Run, found: shapes.WorkflowRun) -> str:
        """How the run is not what was approved; empty: it is."""
        path = found.path.partition("@")[0]
        if found.event != "workflow_dispatch" or (path and path != f".github/workflows/{self._target.workflow}"):
            return f"it is a run of {one_line(path, 100)}, by {one_line(found.event, 40)}"
        if run.head and found.head_sha != run.head:
            return f"it is of {found.head_sha[:7]}, and {self._ref(run)} was {run.head[:7]} when it was started"
        if not stands_in(run.sha, found.display_title):
            return f"its name does not show {run.sha[:7]}, but: {one_line(found.display_title, 120)!r}"
        if not stands_in(run.id, found.display_title) or not self._is_ours(found.display_title):
            return f"its name does not show this deployment, but: {one_line(found.display_title, 120)!r}"
        return ""

    def _is_ours(self, title: str) -> bool:
        """Whether a run with this name is of this target."""
        has_component = bool(self._target.inputs.component)
        return stands_in(self._called, title) and (not has_component or stands_in(self.component, title))

    async def _refused(self, run: Run, found: shapes.WorkflowRun, wrong: str) -> Run:
        if found.status != "completed":
            await self._stop(run)
            note = f"GitHub began something else than was approved, and was told to stop: {wrong}."
            return replace(run, state="failed", note=one_line(note, 300))
        if found.conclusion != "success":
            return replace(
                run, state="failed", note=one_line(f"GitHub ran something else than was approved: {wrong}.", 300)
            )
        note = f"GitHub has RUN something else than was approved, look at what runs there: {wrong}."
        return replace(run, state="not_live", ended_at=found.updated_at, note=one_line(note, 300))

    def _news(self, run: Run) -> str:
        return awaited.workflow_run(self._name, run.ref)

    async def _stop(self, run: Run) -> None:
        if not run.ref:
            raise ToolError("GitHub does not show it yet, so it cannot be stopped: try again.")
        try:
            await self._api.post(f"{self._repo}/actions/runs/{run.ref}/cancel", {}, repeats=True)
        except Refusal as error:
            if error.status != 409:
                raise
            # It has ended by itself meanwhile, or GitHub is stopping it already: looking at it tells.

    async def _log(self, run: Run) -> str:
        """Of the jobs that failed. Of one that goes on, GitHub has none."""
        jobs = await self._api.get(shapes.Jobs, f"{self._repo}/actions/runs/{run.ref}/jobs", per_page=LISTED)
        failed = [job for job in jobs.jobs if job.conclusion in ("failure", "timed_out", "cancelled")][:JOBS_SHOWN]
        parts = []
        for job in failed:
            raw = await self._api.tail(f"{self._repo}/actions/jobs/{job.id}/logs", OUTPUT_READ_BYTES)
            lines = last_lines(_INSTANT.sub(b"", raw), lines_max=OUTPUT_LINES_MAX // len(failed))
            parts.append(f"{one_line(job.name, 80)}:\n{lines}" if len(failed) > 1 else lines)
        return "\n".join(parts)

    # What runs

    async def status(self) -> Running | None:
        return await (self._newest_deployment() if self._target.runs == "deployments" else self._newest_run())

    async def _newest_run(self) -> Running | None:
        listed = await self._runs(event="workflow_dispatch", status="success")
        ours = [one for one in listed if self._is_ours(one.display_title) and _FULL_SHA.search(one.display_title)]
        newest = max(ours, key=lambda one: one.updated_at, default=None)
        past = [run for run in await self._shared.history() if run.state == "succeeded"]
        # GitHub's lists lag behind: what we have seen succeed counts, too.
        seen = next((run for run in past if newest is None or _ended(run) > newest.updated_at), None)
        if seen and not any(str(one.id) == seen.ref for one in listed):
            return Running(seen.sha, minute(_ended(seen)), seen.by, seen.url)
        if newest is None:
            return None
        sha = _FULL_SHA.search(newest.display_title)
        assert sha is not None
        by = next((run.by for run in past if run.ref == str(newest.id)), "")
        actor = newest.triggering_actor.login if newest.triggering_actor else ""
        return Running(sha[0], minute(newest.updated_at), by or one_line(actor, 60), newest.html_url)

    async def _newest_deployment(self) -> Running | None:
        path = f"{self._repo}/deployments"
        found = await self._api.get(
            list[shapes.Deployment], path, environment=self._called, per_page=DEPLOYMENTS_LOOKED_AT
        )
        for one in found:
            statuses = await self._api.get(list[shapes.DeploymentStatus], f"{path}/{one.id}/statuses", per_page=1)
            if statuses and statuses[0].state == "success":
                last = statuses[0]
                by = one.creator.login if one.creator else ""
                return Running(one.sha, minute(last.created_at), one_line(by, 60), last.environment_url or last.log_url)
        return None

    # Setup

    async def problems(self) -> list[str]:
        try:
            return [problem async for problem in self._problems()]
        except ToolError as error:
            return [str(error)]

    async def _problems(self) -> AsyncIterator[str]:
        api = self._api
        if lacking := await lacking_permission(api):
            yield lacking
        workflow = await api.find(shapes.Workflow, self._workflow)
        if workflow is None:
            yield (
                f"{self._name} has no workflow {self._target.workflow} on its default branch, where GitHub wants it, "
                f"or {api.access.name} may not see it; {SEE}."
            )
            return
        if workflow.state != "active":
            yield f"{self._target.workflow} is {workflow.state.replace('_', ' ')} at GitHub: enable it there."
        if "{name}" not in self._target.ref and (
            problem := await self._file_problem(await self._head(self._target.ref))
        ):
            yield f"{self._target.workflow} on {self._target.ref}: {problem}; {SEE}."


async def lacking_permission(api: GitHubApi) -> str:
    """Of a token, GitHub does not say what it may."""
    if not api.access.app_id:
        return ""
    found = await api.get(shapes.Installation, f"/app/installations/{api.access.installation}")
    if found.permissions.get("actions") != "write":
        return f"The app may not start workflows: give it the permission Actions (read and write); {SEE}."
    if "contents" not in found.permissions:
        return f"The app may not read the repository: give it the permission Contents; {SEE}."
    return ""


def _ended(run: Run) -> datetime:
    return run.ended_at or run.started_at


def _why(conclusion: str) -> str:
    known = {
        "failure": "A job of the workflow failed.",
        "cancelled": "It was cancelled at GitHub.",
        "timed_out": "A job of the workflow took longer than it may.",
        "startup_failure": "GitHub could not begin the workflow: look at its file.",
    }
    return known.get(conclusion, f"GitHub says of it: {one_line(conclusion.replace('_', ' '), 60) or 'nothing'}.")
