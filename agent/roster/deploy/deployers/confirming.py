"""After a deployment has succeeded: does the target run its commit? A command or a workflow that ends well may not have
deployed anything.
"""

from __future__ import annotations

from dataclasses import replace

from agent import ToolError
from agent.roster.deploy.deployers.base import Deployer, Run
from agent.roster.deploy.deployers.process import one_line
from agent.roster.deploy.deployers.shared import SharedRuns


async def confirmed(deployer: Deployer, shared: SharedRuns, run: Run, *, what: str = "The command") -> Run:
    """See `Deployer.confirm`. A doubt is stored. Raises NotesUnavailable."""
    if run.state != "succeeded":
        return run
    try:
        running = await deployer.status()
    except ToolError as error:
        note = f"{what} succeeded, but what runs there could not be asked: {error}"
        doubted = replace(run, state="unconfirmed", note=one_line(note, 300))
    else:
        if running and running.sha == run.sha:
            return run
        found = running.sha[:7] if running else "nothing"
        where = f"{run.component} {run.environment}"
        doubted = replace(
            run, state="not_live", note=f"{what} succeeded, but {found} runs on {where}, not {run.sha[:7]}."
        )
    await shared.end(doubted)
    return doubted
