"""Deployments by workers on several machines, which share a store and no disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from datetime import timedelta

import pytest

from agent.notes import NotesUnavailable
from agent.roster.deploy.deployers.base import Run, TargetBusy
from agent.roster.deploy.deployers.machine import Machine
from agent.roster.deploy.deployers.shared import SILENT_AFTER
from agent.steps import ToolError
from tests.agent.roster.deploy.deployers.place import (
    GATED,
    ONE,
    THREE,
    TWO,
    Place,
    ended,
    open_gate,
    start,
    starter,
    until,
)
from tests.patience import PATIENCE_SECONDS


@pytest.fixture
def elsewhere(place: Place) -> Place:
    return place.from_another_machine("b")


async def test_any_machine_can_tell_how_a_deployment_goes(place: Place, elsewhere: Place) -> None:
    run = await start(place.gated())
    seen = await elsewhere.deployer().look(run.id)
    assert (seen.state, seen.sha, seen.by, seen.host) == ("running", ONE, "Ann", run.host)
    open_gate(place)
    await ended(place.deployer(), run)
    seen = await elsewhere.deployer().look(run.id)
    assert (seen.state, seen.exit_code, seen.output) == ("succeeded", 0, f"began {ONE}\nended")
    assert [(one.id, one.state) for one in await elsewhere.deployer().history()] == [(run.id, "succeeded")]


async def test_an_end_is_told_beside_the_work_though_nobody_looks(place: Place, elsewhere: Place) -> None:
    run = await start(place.gated())
    await place.tend()
    assert (await elsewhere.deployer().look(run.id)).state == "running"
    open_gate(place)
    await until(lambda: (place.folder(run) / "result.json").exists())
    await place.tend()
    assert (await elsewhere.deployer().look(run.id)).state == "succeeded"
    assert Machine(place.state).marks() == []


async def test_one_deployment_at_a_time_holds_a_target_over_all_machines(place: Place, elsewhere: Place) -> None:
    run = await start(place.gated())
    with pytest.raises(TargetBusy, match=rf"busy with run {run.id} .* by Ann on {run.host}\. Wait for it to end"):
        await start(elsewhere.deployer(), TWO, key="t2/s1")
    open_gate(place)
    await ended(place.deployer(), run)
    assert (await ended(elsewhere.deployer(), await start(elsewhere.deployer(), TWO, key="t2/s1"))).state == "succeeded"
    assert place.ran() == [ONE, TWO]


async def test_of_many_machines_at_once_one_gets_the_target(place: Place) -> None:
    machines = [place.from_another_machine(str(number)) for number in range(5)]
    starts = (start(machine.gated(), key=f"t{number}/s1") for number, machine in enumerate(machines))
    found = await asyncio.gather(*starts, return_exceptions=True)
    ((run, winner),) = [(one, at) for one, at in zip(found, machines, strict=True) if isinstance(one, Run)]
    assert sum(isinstance(error, TargetBusy) for error in found) == 4
    open_gate(place)
    await ended(winner.deployer(), run)
    assert len(place.ran()) == 1


async def test_the_same_key_runs_once_over_all_machines(place: Place, elsewhere: Place) -> None:
    run = await start(place.gated())
    again = await start(elsewhere.deployer())
    assert (again.id, again.state) == (run.id, "running")
    open_gate(place)
    await ended(place.deployer(), run)
    assert (await start(elsewhere.deployer())).state == "succeeded"
    with pytest.raises(ToolError, match="with another commit"):
        await start(elsewhere.deployer(), TWO)
    assert place.ran() == [ONE]


async def test_what_a_machine_that_is_gone_ran_is_lost_and_locked_until_a_person_releases_it(
    place: Place, elsewhere: Place
) -> None:
    run = await start(place.gated())
    await place.tend()
    elsewhere.notes.passed = SILENT_AFTER - timedelta(seconds=30)
    assert (await elsewhere.deployer().look(run.id)).state == "running"
    elsewhere.notes.passed = SILENT_AFTER + timedelta(seconds=30)
    there = elsewhere.deployer()
    seen = await there.look(run.id)
    assert seen.state == "lost"
    assert f"No worker on {run.host}, where it was begun, has been heard of since" in seen.note
    with pytest.raises(TargetBusy, match=r"locked by run .* its outcome is unknown") as busy:
        await start(there, TWO, key="t2/s1")
    assert "Ask a person to check; when they say that it is over, choose release_target." in busy.value.hint
    await there.release(run.id, "Dex")
    with pytest.raises(ToolError, match="does not hold web production any more"):
        await there.release(run.id, "Dex")
    assert "released for Dex" in (await there.look(run.id)).note
    after = await ended(there, await start(there, TWO, key="t2/s1"))
    assert after.state == "succeeded"
    # It comes back: what it knows is told, and takes nothing from anybody.
    open_gate(place)
    await ended(place.deployer(), run)
    assert (await there.look(run.id)).state == "succeeded"
    assert [one.id for one in await there.history()] == [after.id, run.id]


async def test_a_machine_that_comes_back_goes_on_telling(place: Place, elsewhere: Place) -> None:
    run = await start(place.gated())
    place.notes.passed = elsewhere.notes.passed = SILENT_AFTER * 2
    assert (await elsewhere.deployer().look(run.id)).state == "lost"
    await place.tend()
    assert (await elsewhere.deployer().look(run.id)).state == "running"
    open_gate(place)
    await ended(place.deployer(), run)


@pytest.mark.slow
async def test_a_worker_that_dies_between_claim_and_record_leaves_no_lock(place: Place, elsewhere: Place) -> None:
    worker = starter(place, place.config(), "before it is recorded")
    await asyncio.to_thread(worker.communicate, timeout=PATIENCE_SECONDS)
    with pytest.raises(TargetBusy):
        await start(elsewhere.deployer(), TWO, key="t2/s1")
    await place.tend()
    assert (await ended(elsewhere.deployer(), await start(elsewhere.deployer(), TWO, key="t2/s1"))).state == "succeeded"
    assert place.ran() == [TWO]


@pytest.mark.slow
@pytest.mark.parametrize("die_at", [1, 2])
async def test_wherever_a_worker_dies_at_the_store_the_step_can_be_told_again(place: Place, die_at: int) -> None:
    """Before and after the claim. Before the end is told, and after each of its changes: see the next test."""
    worker = starter(place, place.config(), str(die_at))
    await asyncio.to_thread(worker.communicate, timeout=PATIENCE_SECONDS)
    assert worker.returncode == -signal.SIGKILL
    assert (await ended(place.deployer(), await start(place.deployer()))).state == "succeeded"
    assert (await ended(place.deployer(), await start(place.deployer(), TWO, key="t1/s2"))).state == "succeeded"
    assert place.ran() == [ONE, TWO]


@pytest.mark.parametrize("told", [0, 1])
async def test_an_end_that_was_told_by_half_is_told_again(place: Place, elsewhere: Place, told: int) -> None:
    run = await start(place.deployer())
    await until(lambda: (place.folder(run) / "result.json").exists())
    place.notes.away_after = told
    assert (await place.deployer().look(run.id)).state == "succeeded", "its own machine knows"
    place.notes.away_after = None
    if told:
        assert (await elsewhere.deployer().look(run.id)).state == "succeeded"
        await ended(elsewhere.deployer(), await start(elsewhere.deployer(), TWO, key="t2/s1"))
    await place.tend()
    history = await elsewhere.deployer().history()
    assert [one.state for one in history] == ["succeeded"] * (1 + told)
    assert Machine(place.state).marks() == []


@pytest.mark.slow
async def test_a_command_without_its_runner_locks_the_target_for_all_until_it_is_gone(
    place: Place, elsewhere: Place
) -> None:
    run = await start(place.gated())
    await until(lambda: "group" in place.processes(run) and place.printed(run) == f"began {ONE}\n")
    os.kill(place.processes(run)["runner"], signal.SIGKILL)
    assert (await ended(place.deployer(), run)).state == "lost"
    await place.tend()
    seen = await elsewhere.deployer().look(run.id)
    assert (seen.state, seen.note) == ("lost", "Its runner died, but its command still runs: ask a person to check.")
    with pytest.raises(TargetBusy, match="but its command still runs"):
        await start(elsewhere.deployer(), TWO, key="t2/s1")
    os.killpg(place.processes(run)["group"], signal.SIGKILL)

    async def is_free() -> bool:
        await place.tend()
        return await elsewhere.deployer().holder() is None

    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await is_free():  # noqa: ASYNC110 - the kernel brings it about
            await asyncio.sleep(0.01)
    assert (await ended(elsewhere.deployer(), await start(elsewhere.deployer(), TWO, key="t2/s1"))).state == "succeeded"


async def test_a_store_that_forgot_everything_is_told_again_what_runs(place: Place, elsewhere: Place) -> None:
    await ended(place.deployer(), await start(place.deployer(), TWO, key="t0/s1"))
    run = await start(place.gated())
    shutil.rmtree(place.notes.folder)
    await place.tend()
    with pytest.raises(TargetBusy, match=f"busy with run {run.id}"):
        await start(elsewhere.deployer(), THREE, key="t2/s1")
    open_gate(place)
    await ended(place.deployer(), run)


async def test_runs_from_before_the_store_had_them_are_told_once(place: Place, elsewhere: Place) -> None:
    for number, sha in enumerate([ONE, TWO]):
        await ended(place.deployer(), await start(place.deployer(), sha, key=f"t1/s{number}"))
    shutil.rmtree(place.notes.folder)
    shutil.rmtree(place.state / "untold")
    for request in place.state.rglob("request.json"):
        text = request.read_text()
        request.write_text(text.replace(f'"machine": "{Machine(place.state).identity()}", ', ""))
    await place.tend()
    assert [one.sha for one in await elsewhere.deployer().history()] == [TWO, ONE]
    assert Machine(place.state).marks() == []


async def test_without_the_store_nothing_is_begun_and_what_runs_here_is_still_known(place: Place) -> None:
    run = await start(place.gated())
    place.notes.is_away = True
    assert (await place.deployer().look(run.id)).state == "running"
    open_gate(place)
    assert (await ended(place.deployer(), run)).state == "succeeded"
    with pytest.raises(NotesUnavailable):
        await start(place.deployer(), TWO, key="t1/s2")
    place.notes.is_away = False
    assert (await ended(place.deployer(GATED.replace("cat", ":")), await start(place.deployer(), TWO, key="t1/s2"))).sha
    assert place.ran() == [ONE, TWO]


async def test_a_note_of_a_newer_version_locks_the_target(place: Place) -> None:
    await place.notes.change("deployment-targets/web/production", '{"holder": {"new": 1}}', expected="")
    with pytest.raises(ToolError, match="cannot be read; a newer version may have written it"):
        await start(place.deployer())
    assert place.ran() == []
