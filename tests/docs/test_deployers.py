"""The deployer on the page is one: it passes the suite of all deployers, against a service over real HTTP."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web

from agent.roster.deploy.deployers.base import At, Deployer, NoAnswer, Run, Target, TargetBusy
from tests.agent.roster.deploy.deployers.contract import ONE, TWO, DeployerContract, Stage, ended, start
from tests.agent.roster.deploy.deployers.notes import FileNotes
from tests.docs.pages import DOCS

PAGE = DOCS["deployers"]
BLOCK = PAGE.block("python", "class OurTarget")
LINES_MAX = 40


class DeployService:
    """As the page's deployer expects one. What is asked for under a known id begins nothing new."""

    def __init__(self) -> None:
        self.url = ""
        self.deployments: dict[str, dict[str, str]] = {}
        self.running: dict[str, str] = {}
        self.fails_after: list[str] = []
        """Methods whose next request is carried out, and answered with 500."""

    async def put(self, request: web.Request) -> web.Response:
        given: dict[str, str] = await request.json()
        self.deployments.setdefault(request.match_info["id"], {**given, "state": "running", "why": "", "log": ""})
        return self._answer(request, {})

    async def get(self, request: web.Request) -> web.Response:
        found = self.deployments.get(request.match_info["id"])
        return self._answer(request, found) if found else web.json_response({}, status=404)

    async def delete(self, request: web.Request) -> web.Response:
        self.deployments[request.match_info["id"]] |= {"state": "failed", "why": "Somebody stopped it."}
        return self._answer(request, {})

    async def runs(self, request: web.Request) -> web.Response:
        sha = self.running.get(request.match_info["target"])
        return self._answer(request, {"sha": sha}) if sha else web.json_response({}, status=404)

    def _answer(self, request: web.Request, found: dict[str, Any]) -> web.Response:
        if request.method in self.fails_after:
            self.fails_after.remove(request.method)
            return web.json_response({"error": "out of memory"}, status=500)
        return web.json_response(found)


class OurStage(Stage):
    def __init__(self, target: Target, service: DeployService, folder: Path) -> None:
        self.target, self.service = target, service
        self.at = At("web", "production", None, "", folder / "state", FileNotes(folder / "notes"))

    def deployer(self) -> Deployer:
        return self.target.deployer(self.at)

    async def let_end(self, run: Run, *, well: bool = True) -> None:
        found = self.service.deployments[run.id]
        if well:
            found["state"] = "succeeded"
            self.service.running[found["target"]] = found["sha"]
        else:
            found |= {"state": "failed", "why": "Exit code 1.", "log": "copying\nno space left"}

    def begun(self) -> list[str]:
        return [one["sha"] for one in self.service.deployments.values()]

    async def settle(self) -> None:
        assert self.begun()


@pytest.fixture
async def service() -> AsyncIterator[DeployService]:
    service = DeployService()
    app = web.Application()
    app.router.add_put("/deployments/{id}", service.put)
    app.router.add_get("/deployments/{id}", service.get)
    app.router.add_delete("/deployments/{id}", service.delete)
    app.router.add_get("/running/{target}", service.runs)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield service
    await runner.cleanup()


@pytest.fixture
def module(tmp_path: Path) -> Iterator[ModuleType]:
    (tmp_path / "ours.py").write_text(BLOCK)
    spec = importlib.util.spec_from_file_location("ours_of_the_page", tmp_path / "ours.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


class TestOurs(DeployerContract):
    @pytest.fixture
    def stage(self, module: ModuleType, service: DeployService, tmp_path: Path) -> OurStage:
        target = module.OurTarget.model_validate({"kind": "ours", "url": service.url})
        return OurStage(target, service, tmp_path)

    async def test_what_the_service_may_have_begun_is_looked_up_and_never_asked_for_twice(
        self, stage: OurStage
    ) -> None:
        stage.service.fails_after.append("PUT")
        run = await start(stage.deployer())
        assert (run.state, run.ref) == ("running", "")
        assert "It is looked for" in run.note
        assert (await start(stage.deployer())).id == run.id
        await stage.let_end(run)
        assert (await ended(stage.deployer(), run)).state == "succeeded"
        assert stage.begun() == [ONE]

    async def test_what_the_service_never_shows_is_lost_and_keeps_its_target_until_a_person_says_so(
        self, stage: OurStage
    ) -> None:
        stage.service.fails_after.append("PUT")
        run = await start(stage.deployer())
        stage.service.deployments.clear()
        assert (await stage.deployer().look(run.id)).state == "running"
        notes = stage.at.notes
        assert isinstance(notes, FileNotes)
        notes.passed = timedelta(hours=1)
        lost = await stage.deployer().look(run.id)
        assert lost.state == "lost"
        assert "was asked for it and does not show it" in lost.note
        held = await stage.deployer().holder()
        assert held is not None
        assert held.silent_since == run.started_at
        with pytest.raises(TargetBusy, match=r"is locked by run .*: its outcome is unknown"):
            await start(stage.deployer(), TWO, key="t2/s1")
        await stage.deployer().release(run.id, "Ann")
        second = await start(stage.deployer(), TWO, key="t2/s1")
        await stage.let_end(second)
        assert (await ended(stage.deployer(), second)).state == "succeeded"

    async def test_a_service_that_is_away_is_no_end_of_a_deployment(self, stage: OurStage) -> None:
        run = await start(stage.deployer())
        stage.service.fails_after.append("GET")
        with pytest.raises(NoAnswer):
            await stage.deployer().look(run.id)
        await stage.let_end(run)
        assert (await ended(stage.deployer(), run)).state == "succeeded"


def test_it_has_so_many_lines_as_the_page_says() -> None:
    code = re.sub(r'^""".*"""\n|^(?:from|import) .*\n', "", BLOCK, flags=re.MULTILINE)
    assert len([line for line in code.splitlines() if line.strip()]) <= LINES_MAX
