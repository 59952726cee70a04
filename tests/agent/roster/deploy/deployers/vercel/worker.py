"""A worker that deploys to Vercel, as a process that may be killed: `python -m … TABLE NOTES DIE_AT`.

It starts the deployment of ONE, looks until it has ended, and prints how. It kills itself at its nth point in the
notes; a test kills it at a call to Vercel.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from agent.roster.deploy.deployers.base import At, NoAnswer, Run
from agent.roster.deploy.deployers.vercel.deployer import VercelDeployer
from agent.roster.deploy.deployers.vercel.target import VercelTarget
from tests.agent.roster.deploy.deployers.contract import ONE, TWO
from tests.agent.roster.deploy.deployers.notes import FileNotes

KEY = "t1/s1"


async def deployed(deployer: VercelDeployer, key: str = KEY) -> Run:
    """Started, and followed to its end."""
    run = await deployer.start(ONE, name="v1", previous=TWO, key=key, by="Ann", thread_id="t1")
    while run.state == "running" and "does not show it" not in run.note:
        try:
            run = await deployer.look(run.id)
        except NoAnswer:
            continue
    return run


async def main(table: str, notes: str, die_at: str) -> None:
    at = At("web", "production", None, "", Path(notes), FileNotes(Path(notes), int(die_at)))
    run = await deployed(VercelDeployer(VercelTarget.model_validate_json(table), at))
    print(run.state, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
