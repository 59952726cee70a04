"""A process that starts and follows a deployment at GitHub, killed before and after each of its requests.

Another process then does what a worker does after a crash: it looks for the deployment by its key, and follows it. No
workflow is dispatched twice, and none is lost: what was begun is followed to its end, and of what may not have begun
people are told.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests import ROOT
from tests.agent.roster.deploy.deployers.contract import ONE, TWO, ended, start
from tests.agent.roster.deploy.github.world import GitHubStage
from tests.fakes.github import Flow
from tests.matrices import matrix
from tests.patience import PATIENCE_SECONDS

REQUESTS = (
    "repos/get-commit",
    "repos/get-content",
    "actions/create-workflow-dispatch",
    "actions/get-workflow-run",
    "actions/get-workflow-run",
    "actions/get-workflow-run",
    "actions/list-workflow-runs",
)
"""Of a start, of three looks until it has ended, and of the question what runs, when nothing disturbs it."""
POINTS = tuple((number, after) for number in range(len(REQUESTS)) for after in (False, True))

WORKER = """
import asyncio, sys
from pathlib import Path
from agent.roster.deploy.deployers.base import At
from agent.roster.deploy.deployers.github import GitHubTarget
from tests.agent.roster.deploy.deployers.notes import FileNotes

async def main():
    folder = Path(sys.argv[1])
    at = At("web", "production", None, "acme/shop", folder / "state", FileNotes(folder / "notes"))
    deployer = GitHubTarget(workflow="deploy.yml").deployer(at)
    run = await deployer.start(sys.argv[2], name="v1", key="t1/s1", by="Ann", thread_id="t1")
    while run.state == "running":
        run = await deployer.look(run.id)
    run = await deployer.confirm(run)
    print(run.state, flush=True)

asyncio.run(main())
"""


async def worker(folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(folder), ONE, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )


async def test_the_requests_are_these_when_nothing_disturbs_it(stage: GitHubStage, tmp_path: Path) -> None:
    stage.shop.flow = Flow()
    process = await worker(tmp_path)
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert said == b"succeeded\n"
    assert tuple(request.operation for request in stage.github.requests) == REQUESTS


@pytest.mark.slow
@matrix("point", POINTS, sample=4)
async def test_it_is_dispatched_once_and_followed_wherever_its_process_is_killed(
    stage: GitHubStage, tmp_path: Path, point: tuple[int, bool]
) -> None:
    number, after = point
    stage.shop.flow = Flow()
    killed = stage.github.interrupt_at(number, after=after)
    process = await worker(tmp_path)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await killed.reached()
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    killed.release()

    found = await stage.deployer().find("t1/s1")
    dispatched = len(stage.shop.runs)
    is_dispatch = REQUESTS[number] == "actions/create-workflow-dispatch"
    if number < REQUESTS.index("actions/create-workflow-dispatch"):
        assert found is None, "nothing was claimed, and nothing has begun"
        assert dispatched == 0
        again = await start(stage.deployer())
        assert (await ended(stage.deployer(), again)).state == "succeeded"
    elif is_dispatch and not after:
        assert dispatched == 0
        assert found is not None
        assert (await start(stage.deployer())).id == found.id, "it is not asked for again: nobody knows that it was not"
        stage.notes.passed = timedelta(minutes=4)
        assert (await stage.deployer().look(found.id)).state == "lost"
        await stage.deployer().release(found.id, "Ann")
        assert (await start(stage.deployer(), TWO, key="t2/s1")).state == "running"
        assert stage.begun() == [TWO]
        return
    else:
        assert found is not None
        assert (await start(stage.deployer())).id == found.id
        run = await ended(stage.deployer(), found)
        assert (await stage.deployer().confirm(run)).state == "succeeded"
    assert stage.begun() == [ONE]
