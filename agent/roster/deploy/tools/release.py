"""The tool that frees a target whose deployment ran on a machine that is gone. It deploys nothing.

How such a deployment ended, or whether it goes on, nobody here can see. So a person decides, by an approval.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import JsonValue

from agent import Call, Facts, Tool, ToolError
from agent.roster.deploy.deployers.base import Run, minute
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools.rows import FOR_PEOPLE, described, in_short


class ReleaseTarget(Tool):
    """Free a target that is locked by a deployment of a machine that is gone, when a person says that it is over."""

    component: str
    environment: str

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    doing: ClassVar[str] = "is releasing a target"
    for_people: ClassVar[frozenset[str]] = FOR_PEOPLE
    dangers: ClassVar[tuple[str, ...]] = ("note",)

    def needs_approval(self) -> bool:
        return True

    def title(self, facts: Facts) -> str:
        return f"Free {self.component} on {self.environment}, locked by a deployment of {in_short(facts['commit'])}"

    async def prepare(self, call: Call) -> Facts:
        targets = call.need(Targets)
        run, silent_since = await self._held(targets)
        return {
            "run": run.id,
            "commit": await described(targets, self.component, run.sha),
            "begun": f"{minute(run.started_at)} on {run.host}, by {run.by or 'somebody unknown'}",
            "last_heard_of": minute(silent_since),
            "note": f"its command may STILL RUN on {run.host}: look there before you approve",
        }

    async def _held(self, targets: Targets) -> tuple[Run, datetime]:
        """The run that holds the target, and since when its machine is silent. Raises ToolError if it is not gone."""
        where = f"{self.component} {self.environment}"
        held = await targets.command_deployer(self.component, self.environment).holder()
        if held is None:
            raise ToolError(f"{where} is not locked: deploy to it.")
        run, silent_since = held
        if silent_since is None:
            raise ToolError(f"{where} is held by run {run.id}, and {run.host}, where it runs, is alive. Wait for it.")
        return run, silent_since

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        await self._held(targets)  # Its machine may be heard of again since it was approved.
        deployer = targets.command_deployer(self.component, self.environment)
        await deployer.release(str(call.facts["run"]), call.requested_by)
        return {"released": f"{self.component} {self.environment}", "outcome": "unknown: look at what runs there"}
