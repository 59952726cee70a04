"""The tool that frees a target whose deployment nobody can follow any more: its machine is gone, or its service does
not show it. It deploys nothing.

How such a deployment ended, or whether it goes on, nobody here can see. So a person decides, by an approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from pydantic import JsonValue

from agent import Call, Facts, Tool, ToolError
from agent.roster.deploy.deployers.base import Holder, minute
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools.rows import FOR_PEOPLE, LABELS, described, in_short


class ReleaseTarget(Tool):
    """Free a target that is locked by a deployment of a machine that is gone, when a person says that it is over."""

    component: str
    environment: str

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    doing: ClassVar[str] = "is releasing a target"
    for_people: ClassVar[frozenset[str]] = FOR_PEOPLE
    dangers: ClassVar[tuple[str, ...]] = ("note",)
    on_cards: ClassVar[Mapping[str, str]] = {
        "commit": "its deployment",
        "begun": "begun",
        "last_heard_of": "its machine was last heard of",
        "run": "run",
        **{path.replace("running.", "commit."): label for path, label in LABELS.items()},
    }

    def needs_approval(self) -> bool:
        return True

    def title(self, facts: Facts) -> str:
        return f"Free {self.component} on {self.environment}, locked by a deployment of {in_short(facts['commit'])}"

    def warns(self, facts: Facts) -> Mapping[str, str]:
        note = str(facts["note"])
        return {"note": f"{note[:1].upper()}{note[1:]}."}

    async def prepare(self, call: Call) -> Facts:
        targets = call.need(Targets)
        held, silent_since = await self._held(targets)
        run, on = held.run, f" on {held.run.host}" if held.run.host else ""
        return {
            "run": run.id,
            "commit": await described(targets, self.component, run.sha),
            "begun": f"{minute(run.started_at)}{on}, by {run.by or 'somebody unknown'}",
            "last_heard_of": minute(silent_since),
            "note": held.may_go_on,
        }

    async def _held(self, targets: Targets) -> tuple[Holder, datetime]:
        """What holds the target, and since when nobody knows how it goes. Raises ToolError if somebody does."""
        where = f"{self.component} {self.environment}"
        held = await targets.deployer(self.component, self.environment).holder()
        if held is None:
            raise ToolError(f"{where} is not locked: deploy to it.")
        if held.silent_since is None:
            on = f", and {held.run.host}, where it runs, is alive" if held.run.host else ", which goes on"
            raise ToolError(f"{where} is held by run {held.run.id}{on}. Wait for it.")
        return held, held.silent_since

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        await self._held(targets)  # Its machine may be heard of again since it was approved.
        deployer = targets.deployer(self.component, self.environment)
        await deployer.release(str(call.facts["run"]), call.requested_by)
        return {"released": f"{self.component} {self.environment}", "outcome": "unknown: look at what runs there"}
