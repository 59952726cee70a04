"""How a deployment at Vercel goes, from what Vercel shows: still built, promoted, failed, or not what was approved.

It looks, and does three things that end the same however often they are done: it promotes what was built for its run
and waits for that, cancels what differs from what was approved, and cancels what takes too long.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import JsonValue

from agent import ToolError
from agent.roster.deploy.deployers.base import At, NoAnswer, Run, RunState
from agent.roster.deploy.deployers.process import one_line
from agent.roster.deploy.deployers.vercel.api import Refused, VercelApi
from agent.roster.deploy.deployers.vercel.shapes import Deployment, Project
from agent.roster.deploy.deployers.vercel.target import PRODUCTION, VercelTarget

RUN_KEY, TARGET_KEY = "deploybotRun", "deploybotTarget"
"""What stands in the `meta` of a deployment that this has made: its run, and its target."""
CLOCKS_DIFFER = timedelta(minutes=5)
"""How much the store's clock and Vercel's may differ."""


def marked(run: Run, at: At) -> dict[str, JsonValue]:
    return {RUN_KEY: run.id, TARGET_KEY: at.where}


class Going:
    def __init__(self, api: VercelApi, target: VercelTarget, at: At) -> None:
        self._api = api
        self._target = target
        self._notes = at.notes
        self._is_production = target.target == PRODUCTION

    def named(self, run: Run, deployment: Deployment) -> Run:
        """Its link leads to its page at Vercel, or to what was deployed, where that is what people are to see."""
        page, preview = deployment.inspector, deployment.url
        is_shown = deployment.state == "READY" and not self._is_production
        return replace(run, ref=deployment.id, url=preview if is_shown or not page else page, note="")

    def wrong(self, run: Run, deployment: Deployment) -> str:
        """What differs from what was approved; empty: nothing, as far as Vercel says."""
        is_ours = deployment.meta.get(RUN_KEY) == run.id
        is_said = deployment.commits or not deployment.is_being_built
        if is_said and not (deployment.commits == {run.sha} if is_ours else deployment.is_of(run.sha)):
            return f"Vercel took ANOTHER COMMIT, {short(deployment)} and not {run.sha[:7]}, for {deployment.id}."
        if deployment.where != self._target.target:
            where = one_line(deployment.where, 60)
            return f"Vercel takes {deployment.id} for {where}, and not for {self._target.target}."
        return ""

    async def cancelled(self, deployment: Deployment) -> bool:
        try:
            return (await self._api.cancel(deployment.id)).state == "CANCELED"
        except ToolError:
            return False

    async def found(self, run: Run) -> Run | None:
        """The run as it goes. None: Vercel does not show it."""
        deployment = await self._deployment_of(run)
        if deployment is None:
            return None
        run = self.named(run, deployment)
        if wrong := self.wrong(run, deployment):
            how = "It was cancelled." if await self.cancelled(deployment) else "It could NOT be cancelled: look there."
            return self._ended(run, "failed", f"{wrong} {how}")
        match deployment.state:
            case "READY":
                return await self._ready(run, deployment)
            case "ERROR":
                return self._ended(run, "failed", f"Vercel could not build it{_because(deployment)}.")
            case "CANCELED":
                return self._ended(run, "failed", f"It was cancelled at Vercel{_because(deployment)}.")
            case _:
                return await self._being_built(run, deployment)

    async def stop(self, run: Run) -> None:
        """Raises ToolError if it cannot be stopped."""
        deployment = await self._deployment_of(run)
        if deployment is None:
            raise ToolError("Vercel does not show it, so it cannot be stopped. Look at the project there.")
        if deployment.state == "READY":
            raise ToolError("It is built already, and a promotion cannot be stopped.")
        await self._api.cancel(deployment.id)

    async def _deployment_of(self, run: Run) -> Deployment | None:
        if run.ref:
            try:
                return await self._api.deployment(run.ref)
            except Refused as error:
                if error.status != 404:
                    raise
                return None
        filters = {f"meta-{RUN_KEY}": run.id, "since": str(self._since(run))}
        found = await self._api.deployments(self._target.project, filters)
        made = [one for one in found if one.meta.get(RUN_KEY) == run.id]
        return await self._api.deployment(made[-1].id) if made else None

    async def _being_built(self, run: Run, deployment: Deployment) -> Run:
        if not self._is_late(run):
            is_blocked = deployment.state == "BLOCKED"
            return replace(run, note=f"Vercel has blocked it{_because(deployment)}." if is_blocked else "")
        after = f"Its time limit of {self._target.timeout_seconds:g} seconds was over"
        if await self.cancelled(deployment):
            return self._ended(run, "timed_out", f"{after}, and it was cancelled.")
        # It may just have ended: that is seen the next time.
        return replace(run, note=f"{after}, and it could not be cancelled yet.")

    async def _ready(self, run: Run, deployment: Deployment) -> Run:
        """It is built. In production, the domains have to lead to it, too."""
        if not self._is_production:
            return self._ended(run, "succeeded", "")
        project = await self._api.project(self._target.project)
        if project.live == deployment.id:
            return self._ended(run, "succeeded", "")
        job = project.job
        if job and job.to == deployment.id and job.requested >= self._since(run):
            if job.is_under_way:
                return self._promoting(run, "Vercel is promoting it.")
            if job.status == "succeeded":  # What runs by now, `confirm` sees.
                return self._ended(run, "succeeded", "")
            return self._ended(run, "failed", f"It is built, and its promotion {job.status}. Look at the project.")
        if job and job.is_under_way:
            return self._promoting(run, "It is built, and waits until Vercel has ended another promotion.")
        if deployment.alias_error:
            why = one_line(deployment.alias_error.message, 200)
            return self._ended(run, "failed", f"It is built, and did not get the domains: {why}.")
        is_ours = deployment.meta.get(RUN_KEY) == run.id
        if is_ours and deployment.substate == "PROMOTED":  # It had them, and somebody has gone on since.
            return self._ended(run, "succeeded", "")
        if is_ours and not deployment.is_staged:
            return self._promoting(run, "It is built, and does not have the domains yet.")
        return await self._promote(run, deployment, project)

    async def _promote(self, run: Run, deployment: Deployment, project: Project) -> Run:
        if moved := await self._moved(run, project):
            return self._ended(run, "failed", f"It is built, and was not promoted: {moved}")
        try:
            await self._api.promote(project.id, deployment.id)
        except NoAnswer as error:
            return self._promoting(run, f"{error} Its promotion is asked for again, if it has to be.")
        except Refused as error:
            if error.status != 409:  # Another worker has asked for it, or somebody has promoted another one just now.
                return self._ended(run, "failed", f"It is built, and was not promoted. {error}")
        return self._promoting(run, "Vercel is promoting it.")

    async def _moved(self, run: Run, project: Project) -> str:
        """Why production is not as it was when this was approved; empty: it is, or nothing ran then."""
        if not run.previous:
            return ""
        live = await self._api.deployment(project.live) if project.live else None
        if live and run.previous in live.commits:
            return ""
        now = f"{live.id} of {short(live)}" if live else "nothing"
        return f"{now} runs in production by now, and not {run.previous[:7]}, as when this began."

    def _promoting(self, run: Run, note: str) -> Run:
        if not self._is_late(run):
            return replace(run, note=one_line(note, 300))
        return self._ended(run, "timed_out", f"{note} Its time limit was over. It may still be promoted: look there.")

    def _ended(self, run: Run, state: RunState, note: str) -> Run:
        return replace(run, state=state, note=one_line(note, 300), ended_at=self._notes.now())

    def _is_late(self, run: Run) -> bool:
        return self._notes.now() - run.started_at > timedelta(seconds=self._target.timeout_seconds)

    def _since(self, run: Run) -> int:
        return _milliseconds(run.started_at - CLOCKS_DIFFER)


def short(deployment: Deployment) -> str:
    """Its commit, for people."""
    found = sorted(sha[:7] for sha in deployment.commits)
    return one_line(" and ".join(found), 60) if found else "of which it does not say the SHA"


def _because(deployment: Deployment) -> str:
    why = one_line(deployment.error or deployment.reason or "", 200).rstrip(".")
    return f": {why}" if why else ""


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
