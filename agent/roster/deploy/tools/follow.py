"""The tools that follow deployments: wait for the end, list past runs, run the end-to-end tests.

They start and stop no deployment: none of them acts by somebody's words.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, JsonValue, StrictBool

from agent import Call, Result, Tool, Wait
from agent.roster.deploy.deployers.base import Deployer, NoAnswer, Run, RunState, minute
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools.rows import FOR_PEOPLE, LISTED, described

POLL_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""The intervals between checks of a running deployment; the last one repeats."""
ATTEMPTS_MAX = 2_000
"""A deployment whose service does not answer any more after so many looks is given up, and people are told."""


class Outcome(Result):
    """How a deployment ended. The other fields of the result are for people and the model."""

    state: RunState


class Tested(Result):
    passed: StrictBool
    output: str


class ListWorkflowRuns(Tool):
    """The newest deployments of one target: id, state, SHA, when and by whom."""

    component: str
    environment: str

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking at past deployments"

    async def run(self, call: Call) -> JsonValue:
        runs = await call.need(Targets).deployer(self.component, self.environment).history(LISTED)
        return {
            "runs": [
                {
                    "run_id": run.id,
                    "state": run.state,
                    "sha": run.sha[:7],
                    "name": run.name,
                    "started": minute(run.started_at),
                    "by": run.by,
                }
                for run in runs
            ]
        }


class GetWorkflowStatus(Tool):
    """One deployment: its state, and the end of its output."""

    component: str
    environment: str
    run_id: str = Field(description="as in list_workflow_runs")

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking at a deployment"

    async def run(self, call: Call) -> JsonValue:
        deployer = call.need(Targets).deployer(self.component, self.environment)
        return await _run_as_json(await deployer.look(self.run_id), deployer, call.need(Targets))


class WaitForDeployment(Tool):
    """Wait until a deployment has ended, and say how, and whether it runs. Chosen by code after each start."""

    component: str
    environment: str
    run_id: str

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    follows: ClassVar[bool] = True
    doing: ClassVar[str] = "is waiting for a deployment"
    for_people: ClassVar[frozenset[str]] = FOR_PEOPLE | {"run_id"}

    async def run(self, call: Call) -> JsonValue | Wait:
        targets = call.need(Targets)
        deployer = targets.deployer(self.component, self.environment)
        poll_seconds = POLL_SECONDS[min(call.attempt, len(POLL_SECONDS)) - 1]
        try:
            run = await deployer.look(self.run_id)
            if run.state == "running":
                on = f" on {run.host}" if run.host else ""
                what = f"deployment of {self.component} to {self.environment}{on}, since {minute(run.started_at)}"
                return Wait(poll_seconds, f"{what}: {run.note}" if run.note else what)
            targets.has_changed(self.component, self.environment)
            # A deployment that succeeds may have left something else running.
            return await _run_as_json(await deployer.confirm(run), deployer, targets)
        except NoAnswer as error:
            if call.attempt >= ATTEMPTS_MAX:
                raise
            return Wait(max(poll_seconds, error.retry_seconds), str(error))


class RunEndToEndTests(Tool):
    """Run the end-to-end tests of an environment. Chosen by code after a deployment.

    They run the team's command, in production too, so nobody's words lead to them: they belong to a deployment.
    """

    environment: str

    by_code: ClassVar[bool] = True
    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is running the end-to-end tests"
    timeout_seconds: ClassVar[float] = 960.0

    async def run(self, call: Call) -> JsonValue:
        checked = await call.need(Targets).end_to_end().check(self.environment)
        output = "\n".join(filter(None, (checked.output, checked.note)))
        return Tested(passed=checked.passed, output=output).as_json()


async def _run_as_json(run: Run, deployer: Deployer, targets: Targets) -> JsonValue:
    fields: dict[str, JsonValue] = {
        "run_id": run.id,
        "component": run.component,
        "environment": run.environment,
        "state": run.state,
        **await described(targets, run.component, run.sha),
        "sha": run.sha[:7],
    }
    if run.name:
        fields["name"] = run.name
    if run.url:
        fields["run_link"] = run.url
    if run.previous:
        fields["previous"] = run.previous[:7]
    if run.note:
        fields["note"] = run.note
    if run.state != "running" and (output := run.output or await deployer.log_tail(run.id)):
        fields["output"] = output
    return fields
