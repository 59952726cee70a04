"""The tools of the pipeline after a merge: wait for one's turn on an environment, leave it, and tell older proposals.

Only code chooses them. They deploy nothing and stop nothing that has begun.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import JsonValue

from agent import Call, Result, Tool, ToolError, Wait
from agent.roster.deploy.deployers.base import NoAnswer, Run, minute
from agent.roster.deploy.line import Merge, Stand
from agent.roster.deploy.targets import Targets

POLL_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""The intervals between looks; the last one repeats. Whoever leaves the line wakes the next one."""
NEWER_MERGED = "newer_commit_merged"
"""What a thread is told whose proposal is out of date."""


class Turn(Result):
    state: Literal["first", "passed"]
    instead: str = ""
    """The commit that goes instead of it."""


class Told(Result):
    threads: int = 0
    """How many were told."""
    instead: str = ""
    """A newer commit that was merged already: what is to be proposed, its thread proposes."""


class WaitForTurn(Tool):
    """Wait until it is this merge's turn to be deployed to an environment. Chosen by code."""

    components: tuple[str, ...]
    environment: str
    revision: str

    by_code: ClassVar[bool] = True
    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is waiting for its turn"
    for_people: ClassVar[frozenset[str]] = frozenset({"components"})

    async def run(self, call: Call) -> JsonValue | Wait:
        targets = call.need(Targets)
        seconds = POLL_SECONDS[min(call.attempt, len(POLL_SECONDS)) - 1]
        run = await self._going_on(targets)
        merge = Merge(thread=call.thread_id, sha=self.revision, components=self.components)
        stand = await targets.line(self.environment).step_up(merge, busy=run is not None)
        if stand.state == "waits":
            return Wait(seconds, self._waits_for(stand, run))
        return Turn(state=stand.state, instead=stand.other.sha if stand.other else "").as_json()

    async def _going_on(self, targets: Targets) -> Run | None:
        """A deployment that goes on there, whoever began it. One that nobody knows the end of is no reason to wait:
        whoever wants to deploy is told so.
        """
        for component in self.components:
            try:
                deployer = targets.deployer(component, self.environment)
                if held := await deployer.holder():
                    run = await deployer.look(held.run.id)
                    if run.state == "running":
                        return run
            except NoAnswer:
                return held.run if held else None
            except ToolError:
                continue
        return None

    def _waits_for(self, stand: Stand, run: Run | None) -> str:
        what = f"turn of {self.revision[:7]} on {self.environment}"
        if stand.other:
            return f"{what}, after {stand.other.sha[:7]}"
        return f"{what}, after the deployment of {run.sha[:7]}, since {minute(run.started_at)}" if run else what


class LeaveLine(Tool):
    """Let the next merge be deployed to an environment. Chosen by code."""

    environment: str

    by_code: ClassVar[bool] = True
    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is making room for the next one"

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        for thread_id in await targets.line(self.environment).leave(call.thread_id):
            await targets.notes.wake(thread_id, "the line")
        return {}


class SupersedeOlder(Tool):
    """Tell the threads that would deploy older commits to the same targets that this one was merged. Chosen by code."""

    components: tuple[str, ...]
    revision: str

    by_code: ClassVar[bool] = True
    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking for older proposals"
    for_people: ClassVar[frozenset[str]] = frozenset({"components"})

    async def run(self, call: Call) -> JsonValue:
        targets, told, newer = call.need(Targets), set[str](), ""
        for component, environment in targets.places():
            if component not in self.components or not targets.config.supersedes(component, environment):
                continue
            proposals = targets.proposals(component, environment)
            mine = Merge(thread=call.thread_id, sha=self.revision, components=(component,))
            other, older = await proposals.merged(mine)
            newer = newer or (other.sha if other else "")
            for one in older:
                about: dict[str, JsonValue] = {
                    "component": component,
                    "environment": environment,
                    "sha": one.sha,
                    "newer": self.revision,
                }
                key = f"{call.key} {component} {environment} {one.thread}"
                if await targets.notes.tell(one.thread, NEWER_MERGED, about, key=key):
                    told.add(one.thread)
            # Only now: whoever dies before tells them again, and a thread reads it once.
            await proposals.forget(one.thread for one in older)
        return Told(threads=len(told), instead=newer).as_json()
