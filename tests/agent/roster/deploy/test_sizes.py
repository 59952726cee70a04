"""Sites of any size: one component in one environment, and forty in five, from the first message to done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.roster.deploy.site import read_site
from tests.agent.roster.deploy.site_with_bot import Bot, facts, pending

DEPLOY = '#!/bin/sh\nprintf %s "$3" > "$(dirname "$0")/$1@$2"\n'
STATUS = '#!/bin/sh\nfile="$(dirname "$0")/$1@$2"\nif [ -f "$file" ]; then cat "$file"; fi\n'
TEST = "#!/bin/sh\necho all well on $1\n"


class Yard:
    """Where things run: a file for each target, with the SHA in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name, text in (("deploy", DEPLOY), ("status", STATUS), ("test", TEST)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def runs(self, component: str, environment: str) -> str:
        file = self.folder / f"{component}@{environment}"
        return file.read_text() if file.exists() else ""

    def test(self) -> list[str]:
        return [str(self.folder / "test"), "{environment}"]

    def component(self, repository: Path, *environments: str) -> dict[str, Any]:
        target = {
            "deploy": [str(self.folder / "deploy"), "{component}", "{environment}", "{sha}"],
            "status": [str(self.folder / "status"), "{component}", "{environment}"],
        }
        return {"repository": str(repository), "targets": dict.fromkeys(environments, target)}


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path / "yard")


async def test_one_component_in_one_environment(bot: Bot, yard: Yard) -> None:
    site = {"environments": {"live": {}}, "components": {"app": yard.component(bot.site.repository, "live")}}
    bot.set_up(lambda table: table.update(site))
    async with bot.working():
        thread = await bot.say("deploy v1.1.0 to live")
        assert pending(thread).chosen.arguments == {"component": "app", "environment": "live", "revision": "v1.1.0"}
        assert facts(thread)["running"] == "nothing yet"
        thread = await bot.settle(thread, approved=True)
    assert thread.status == "done"
    assert yard.runs("app", "live") == bot.site.sha("v1.1.0")


async def test_forty_components_in_five_environments(bot: Bot, yard: Yard) -> None:
    names = [f"service-{number}" for number in range(1, 41)]
    environments = {
        "lab": {"approval": "none"},
        "preview": {"after": "lab", "approval": "none", "test": yard.test()},
        "eu": {"after": "preview", "test": yard.test(), "on_failed_test": "rollback"},
        "us": {"after": "eu"},
        "asia": {"after": "eu"},
    }
    components = {name: yard.component(bot.site.repository, *environments) for name in names}
    site = {"environments": environments, "components": components}
    assert [*read_site(site).unattended] == ["lab", "preview"]
    bot.set_up(lambda table: table.update(site))
    sha = bot.site.sha("v1.1.0")
    async with bot.working():
        thread = await bot.say("deploy service-17 v1.1.0 to us")
        assert [yard.runs("service-17", name) for name in environments] == [sha, sha, "", "", ""]
        assert pending(thread).chosen.arguments["environment"] == "eu", "one environment after the other"
        thread = await bot.settle(thread, approved=True)
        assert pending(thread).chosen.arguments["environment"] == "us"
        thread = await bot.settle(thread, approved=True)
    assert thread.status == "done"
    assert [yard.runs("service-17", name) for name in environments] == [sha, sha, sha, sha, ""]
    assert sorted(path.name for path in yard.folder.glob("*@*")) == sorted(
        f"service-17@{name}" for name in ("lab", "preview", "eu", "us")
    )
