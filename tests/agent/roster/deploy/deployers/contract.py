"""What every kind of deployer promises, as one suite. A kind's own tests say how its deployments go, by a `Stage`.

class TestYours(DeployerContract):
    @pytest.fixture
    def stage(self, ...) -> Stage: ...
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod

import pytest

from agent import ToolError
from agent.roster.deploy.deployers.base import Deployer, Run, Running, TargetBusy
from tests.patience import PATIENCE_SECONDS

ONE, TWO, THREE = ("4af9ec0" + "0" * 33, "b" * 40, "c" * 40)


class Stage(ABC):
    """One target, and the hands that decide how its deployments go. A deployment goes on until it is let end."""

    @abstractmethod
    def deployer(self) -> Deployer:
        """A new one each time, as another worker would have it."""

    @abstractmethod
    async def let_end(self, run: Run, *, well: bool = True) -> None:
        """The deployment ends soon: it deploys its commit, or it says `no space left` and fails."""

    @abstractmethod
    def begun(self) -> list[str]:
        """The commits of all deployments that were begun in the world, in order."""

    @abstractmethod
    async def settle(self) -> None:
        """Whatever was asked for has begun in the world."""

    stops: str = ""
    """What a refusal to stop a deployment says; empty: it stops."""


class DeployerContract:
    async def test_a_deployment_is_followed_to_its_end(self, stage: Stage) -> None:
        deployer = stage.deployer()
        assert await deployer.status() is None
        run = await start(deployer)
        assert (run.state, run.sha, run.name) == ("running", ONE, "v1")
        assert (run.component, run.environment, run.by, run.thread_id) == ("web", "production", "Ann", "t1")
        assert (await stage.deployer().look(run.id)).state == "running"
        await stage.let_end(run)
        run = await ended(stage.deployer(), run)
        assert (run.state, run.note) == ("succeeded", "")
        assert run.ended_at is not None
        assert run.ended_at >= run.started_at
        assert (await stage.deployer().confirm(run)).state == "succeeded"
        running = await stage.deployer().status()
        assert isinstance(running, Running)
        assert running.sha == ONE
        assert stage.begun() == [ONE]

    async def test_the_same_key_begins_one_deployment_however_often(self, stage: Stage) -> None:
        runs = await asyncio.gather(*(start(stage.deployer()) for _ in range(6)))
        assert len({run.id for run in runs}) == 1
        await stage.let_end(runs[0])
        await ended(stage.deployer(), runs[0])
        assert (await start(stage.deployer())).state == "succeeded"
        assert stage.begun() == [ONE]

    async def test_a_key_is_for_one_commit(self, stage: Stage) -> None:
        run = await start(stage.deployer())
        with pytest.raises(ToolError, match=r"has already started run .*, with another commit"):
            await start(stage.deployer(), TWO)
        await stage.let_end(run)
        await ended(stage.deployer(), run)
        with pytest.raises(ToolError, match=r"has already started run .*, with another commit"):
            await start(stage.deployer(), TWO)
        assert stage.begun() == [ONE]

    async def test_only_a_full_commit_is_deployed(self, stage: Stage) -> None:
        for sha in ("", "v1", ONE[:12], ONE.upper(), "--force"):
            with pytest.raises(ToolError, match="takes full SHAs"):
                await start(stage.deployer(), sha)
        with pytest.raises(ToolError, match="takes full SHAs"):
            await stage.deployer().start(ONE, previous="main", key="t1/s1", by="Ann", thread_id="t1")
        assert stage.begun() == []
        assert await stage.deployer().holder() is None

    async def test_a_deployment_is_found_again_by_its_key(self, stage: Stage) -> None:
        assert await stage.deployer().find("t1/s1") is None
        run = await start(stage.deployer())
        found = await stage.deployer().find("t1/s1")
        assert found is not None
        assert (found.id, found.state, found.sha) == (run.id, "running", ONE)
        await stage.let_end(run)
        await ended(stage.deployer(), run)
        found = await stage.deployer().find("t1/s1")
        assert found is not None
        assert found.state == "succeeded"
        assert await stage.deployer().find("t1/s2") is None

    async def test_what_was_never_begun_is_told_so(self, stage: Stage) -> None:
        for name in ("r99", "f" * 20, "../..", ""):
            with pytest.raises(ToolError, match=rf"No run '{name}' of web on production\."):
                await stage.deployer().look(name)
            with pytest.raises(ToolError, match="No run "):
                await stage.deployer().cancel(name, "Ann")
            with pytest.raises(ToolError, match="No run "):
                await stage.deployer().log_tail(name)

    async def test_one_deployment_at_a_time_and_the_other_hears_which(self, stage: Stage) -> None:
        run = await start(stage.deployer())
        with pytest.raises(TargetBusy, match=rf"web production is busy with run {run.id} of 4af9ec0, .* by Ann"):
            await start(stage.deployer(), TWO, key="t2/s1")
        held = await stage.deployer().holder()
        assert held is not None
        assert (held.run.id, held.silent_since) == (run.id, None)
        await stage.let_end(run)
        await ended(stage.deployer(), run)
        assert await stage.deployer().holder() is None
        second = await start(stage.deployer(), TWO, key="t2/s1")
        await stage.let_end(second)
        assert (await ended(stage.deployer(), second)).state == "succeeded"
        assert stage.begun() == [ONE, TWO]

    async def test_of_many_at_once_one_gets_the_target(self, stage: Stage) -> None:
        found = await asyncio.gather(
            *(start(stage.deployer(), key=f"t{n}/s1") for n in range(5)), return_exceptions=True
        )
        (run,) = [one for one in found if isinstance(one, Run)]
        assert sum(isinstance(error, TargetBusy) for error in found) == 4
        await stage.let_end(run)
        await ended(stage.deployer(), run)
        assert stage.begun() == [ONE]

    async def test_a_failure_says_why_with_the_end_of_its_log(self, stage: Stage) -> None:
        run = await start(stage.deployer())
        await stage.let_end(run, well=False)
        run = await ended(stage.deployer(), run)
        assert run.state == "failed"
        assert run.note.endswith(".")
        assert "no space left" in await stage.deployer().log_tail(run.id)
        assert await stage.deployer().status() is None
        assert await stage.deployer().holder() is None
        assert (await stage.deployer().confirm(run)) == run

    async def test_the_history_is_newest_first(self, stage: Stage) -> None:
        assert await stage.deployer().history() == []
        for sha, key, well in ((ONE, "t1/s1", True), (TWO, "t1/s2", False), (THREE, "t2/s1", True)):
            run = await start(stage.deployer(), sha, key=key)
            await stage.let_end(run, well=well)
            await ended(stage.deployer(), run)
        runs = await stage.deployer().history()
        assert [(run.sha, run.state) for run in runs] == [
            (THREE, "succeeded"),
            (TWO, "failed"),
            (ONE, "succeeded"),
        ]
        assert [run.sha for run in await stage.deployer().history(1)] == [THREE]

    async def test_a_running_deployment_stands_in_the_history(self, stage: Stage) -> None:
        run = await start(stage.deployer())
        assert [(one.id, one.state) for one in await stage.deployer().history()] == [(run.id, "running")]
        await stage.let_end(run)
        assert (await ended(stage.deployer(), run)).state == "succeeded"

    async def test_a_person_stops_it_or_hears_why_it_cannot_be(self, stage: Stage) -> None:
        run = await start(stage.deployer())
        await stage.settle()
        if stage.stops:
            with pytest.raises(ToolError, match=stage.stops):
                await stage.deployer().cancel(run.id, "Ann")
            assert (await stage.deployer().look(run.id)).state == "running"
            await stage.let_end(run)
            await ended(stage.deployer(), run)
        else:
            await stage.deployer().cancel(run.id, "Ann")
            run = await ended(stage.deployer(), run)
            assert run.state == "failed"
            assert run.note
            assert await stage.deployer().status() is None
        with pytest.raises(ToolError, match="has ended already"):
            await stage.deployer().cancel(run.id, "Ann")
        assert await stage.deployer().holder() is None

    async def test_what_is_followed_is_not_released_by_another_name(self, stage: Stage) -> None:
        with pytest.raises(ToolError, match="does not hold web production"):
            await stage.deployer().release("f" * 20, "Ann")
        run = await start(stage.deployer())
        with pytest.raises(ToolError, match="does not hold web production"):
            await stage.deployer().release("f" * 20, "Ann")
        await stage.let_end(run)
        await ended(stage.deployer(), run)

    async def test_a_name_that_would_do_harm_is_left_out(self, stage: Stage) -> None:
        run = await start(stage.deployer(), name="v1; rm -rf /")
        assert run.name == ""
        await stage.let_end(run)
        assert (await ended(stage.deployer(), run)).state == "succeeded"

    async def test_people_see_what_carries_it_out(self, stage: Stage) -> None:
        ((name, words),) = stage.deployer().carried_out.items()
        assert name in ("command_runs", "carried_out_by")
        assert isinstance(words, str)
        assert words

    async def test_a_target_that_is_set_up_well_has_no_problems(self, stage: Stage) -> None:
        assert await stage.deployer().problems() == []
        assert stage.begun() == []


async def start(deployer: Deployer, sha: str = ONE, *, key: str = "t1/s1", name: str = "v1") -> Run:
    return await deployer.start(sha, name=name, key=key, by="Ann", thread_id="t1")


async def ended(deployer: Deployer, run: Run) -> Run:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := await deployer.look(run.id)).state == "running":
        assert time.monotonic() < deadline, f"still running: {found}"
        await asyncio.sleep(0.01)
    return found
