"""Deploys to Vercel: exactly the approved commit is built there, or what was built of it before is promoted.

A deployment that this makes has the run's id in its `meta`, so it is found again by it. Vercel takes a branch and a
commit; the commit that it then reports is compared with the approved one, and so is where the deployment goes. What
differs is cancelled, and never promoted.

In production, a deployment of this commit that is ready is promoted, not built again: that is the way back, too. Where
a project keeps its domains until somebody promotes, this promotes what it has built, if production still is as it was
approved. Only what Vercel itself has built from git is promoted: what somebody uploads may claim any commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import JsonValue

from agent import Facts, ToolError, awaited
from agent.roster.deploy.deployers.base import At, NoAnswer, Run, Running, minute
from agent.roster.deploy.deployers.hosted import HostedDeployer
from agent.roster.deploy.deployers.process import last_lines, one_line
from agent.roster.deploy.deployers.vercel.api import VercelApi, api_url
from agent.roster.deploy.deployers.vercel.going import TARGET_KEY, Going, marked
from agent.roster.deploy.deployers.vercel.shapes import Deployment, Project
from agent.roster.deploy.deployers.vercel.target import PREVIEW, PRODUCTION, VercelTarget

CANDIDATES_MAX = 20
ON_RECORD_MAX = 100
LOG_LINES_MAX = 40
NO_COMMIT = "0" * 40


class VercelDeployer(HostedDeployer):
    service = "Vercel"

    def __init__(self, target: VercelTarget, at: At) -> None:
        super().__init__(at)
        self._target = target
        self._api = VercelApi(target.team, url=api_url())
        self._going = Going(self._api, target, at)
        of = f" of {target.team}" if target.team else ""
        self.carried_out = {"carried_out_by": f"Vercel: {target.target} of the project {target.project}{of}"}

    async def about(self, sha: str) -> Facts:
        """Where people can look at this commit before they approve it."""
        filters = {"sha": sha, "state": "READY"}
        found = await self._api.deployments(self._target.project, filters, CANDIDATES_MAX)
        built = (one.url for one in found if one.state == "READY" and one.commits == {sha} and one.url)
        return {"preview": url} if (url := next(built, "")) else {}

    async def _check(self, run: Run) -> Run:
        project = await self._project()
        _body(self._target, project, sha=run.sha, meta={})
        built = await self._promotable(project, run.sha)
        return self._going.named(run, built) if built else run

    async def _begin(self, run: Run) -> Run:
        project = await self._project()
        if run.ref:
            return await self._promoted(run, project)
        made = await self._api.create(_body(self._target, project, sha=run.sha, meta=marked(run, self._at)))
        if not (wrong := self._going.wrong(run, made)):
            return self._going.named(run, made)
        if await self._going.cancelled(made):
            raise ToolError(f"{wrong} It was cancelled, and nothing else was begun.")
        return replace(self._going.named(run, made), note=one_line(wrong, 300))

    async def _promoted(self, run: Run, project: Project) -> Run:
        try:
            await self._api.promote(project.id, run.ref)
        except NoAnswer as error:
            if not error.may_have_begun:
                raise
            return replace(run, note=one_line(str(error), 300))  # It is known what to look at.
        return run

    async def _promotable(self, project: Project, sha: str) -> Deployment | None:
        """A production deployment of this commit that is ready; None: it has to be built.

        What runs already would not change by being promoted: people who want it once more want it built.
        """
        if self._target.target != PRODUCTION:
            return None
        filters = {"target": PRODUCTION, "state": "READY", "sha": sha}
        for one in await self._api.deployments(project.id, filters, CANDIDATES_MAX):
            if one.state != "READY" or sha not in one.commits:
                continue
            whole = await self._api.deployment(one.id)
            if whole.id == project.live:
                return None
            if whole.state == "READY" and whole.where == PRODUCTION and whole.is_of(sha):
                return whole
        return None

    async def _found(self, run: Run) -> Run | None:
        return await self._going.found(run)

    def _news(self, run: Run) -> str:
        return awaited.vercel_deployment(run.ref)

    async def _stop(self, run: Run) -> None:
        await self._going.stop(run)

    async def _log(self, run: Run) -> str:
        said = "\n".join(await self._api.log_tail(run.ref, LOG_LINES_MAX))
        return last_lines(said.encode(), lines_max=LOG_LINES_MAX)

    async def status(self) -> Running | None:
        project = await self._project()
        if self._target.target == PRODUCTION:
            live = await self._api.deployment(project.live) if project.live else None
        else:
            live = await self._newest_ready(project)
        if live is None:
            return None
        if not live.commit:
            raise ToolError(
                f"What runs on {self._at.where} was not built from one commit: {live.id}, by {one_line(live.by, 60)}.",
                hint=f"Somebody has to look at {live.inspector or live.url}, and promote one that was built from git.",
            )
        job = project.job
        since = datetime.fromtimestamp(job.requested / 1000, UTC) if job and job.to == live.id else live.at
        return Running(live.commit, since=minute(since), by=one_line(live.by, 60), url=live.url)

    async def _newest_ready(self, project: Project) -> Deployment | None:
        """Of the previews, only what was made for this target: Vercel makes one for each pull request."""
        is_preview = self._target.target == PREVIEW
        of = {f"meta-{TARGET_KEY}": self._at.where} if is_preview else {"target": self._target.target}
        for one in await self._api.deployments(project.id, {"state": "READY", **of}, CANDIDATES_MAX):
            is_ours = not is_preview or one.meta.get(TARGET_KEY) == self._at.where
            if is_ours and one.state == "READY" and one.where == self._target.target:
                return await self._api.deployment(one.id)
        return None

    async def history(self, limit: int = 20) -> list[Run]:
        """The runs on record; and of production, what others have deployed."""
        runs = await super().history(ON_RECORD_MAX)
        if self._target.target == PRODUCTION:
            known = {run.ref for run in runs}
            filters = {"target": PRODUCTION, "state": "READY"}
            others = await self._api.deployments(self._target.project, filters, min(limit, ON_RECORD_MAX))
            runs += self._of_others(one for one in others if one.id not in known)
        return sorted(runs, key=lambda run: run.started_at, reverse=True)[: max(0, limit)]

    def _of_others(self, found: Iterable[Deployment]) -> Iterable[Run]:
        """Those that have had traffic."""
        for one in found:
            if one.substate == "PROMOTED" and one.commit:
                yield Run(
                    id=one.id,
                    component=self.component,
                    environment=self.environment,
                    sha=one.commit,
                    name="",
                    previous="",
                    by=one_line(one.by, 60),
                    thread_id="",
                    url=one.inspector,
                    state="succeeded",
                    started_at=one.at,
                    ref=one.id,
                )

    async def _project(self) -> Project:
        return await self._api.project(self._target.project)

    async def problems(self) -> list[str]:
        try:
            if self._target.team:
                await self._api.team_of()
            project = await self._project()
            _body(self._target, project, sha=NO_COMMIT, meta={})
            await self.status()
        except ToolError as error:
            return [" ".join(filter(None, (str(error), error.hint)))]
        link = project.link
        connected = f"{link.org}/{link.repo}" if link and link.type == "github" and link.org and link.repo else ""
        if connected and self._at.github and connected.lower() != self._at.github.lower():
            return [
                f"The project {project.name!r} is connected to {one_line(connected, 100)}, and the component is "
                f"{self._at.github}: correct `project`, or the component's `github`."
            ]
        return []


def _body(target: VercelTarget, project: Project, *, sha: str, meta: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """What Vercel is asked to make. Raises ToolError if it cannot be made of the commit, or would go elsewhere."""
    if project.link is None:
        raise ToolError(
            f"The project {project.name!r} is not connected to a repository, so Vercel cannot build a commit.",
            hint="Somebody has to connect it in the project's settings at Vercel.",
        )
    known = (PRODUCTION, PREVIEW, *project.environments)
    if target.target not in known:
        named = f"`target` names {target.target!r}"
        raise ToolError(f"{named}, which the project {project.name!r} does not have. It has {', '.join(known)}.")
    if target.target == PRODUCTION and project.rolling:
        raise ToolError(
            f"The project {project.name!r} releases step by step (rolling releases), which cannot be followed here.",
            hint="Somebody has to turn them off in the project's settings at Vercel, or release by hand.",
        )
    production = project.link.productionBranch
    if target.target != PRODUCTION and target.branch and target.branch == production:
        raise ToolError(f"Vercel takes what is deployed as {target.branch!r} for production: name another `branch`.")
    goes_to: dict[str, JsonValue] = {}
    if target.target == PRODUCTION:
        goes_to = {"target": PRODUCTION}
    elif target.target != PREVIEW:
        goes_to = {"customEnvironmentSlugOrId": target.target}
    # Without a branch, the commit stands in its place: such a deployment is never taken for production.
    ref = target.branch or (production if target.target == PRODUCTION else "") or sha
    source = project.link.source(ref, sha)
    return {"name": project.name, "project": project.id, **goes_to, "gitSource": source, "meta": meta}
