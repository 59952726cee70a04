"""`bot new`: an agent and a tool of the team's own, which run at once, and whose own tests pass."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from bot.cli import exits
from bot.cli.new.commands import _check_name
from tests.stories.program import Bot


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    return Bot(tmp_path, {"OPENAI_MODEL": "stand-in"})


async def own_tests(bot: Bot) -> str:
    """What pytest prints, run by the team in its folder."""
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "agents/disk")
    process = await asyncio.create_subprocess_exec(*command, cwd=bot.folder, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


@pytest.mark.slow
async def test_a_new_agent_answers_at_once_and_its_tests_pass(bot: Bot) -> None:
    made = await bot.run("new", "agent", "disk")
    assert (made.code, made.out) == (0, "Wrote agents/disk, and [agents.disk] in bot.toml.\n"), made
    for words in ("bot doctor", "chat --agent disk", "eval disk", "python -m pytest agents/disk"):
        assert words in made.err
    async with bot.kept():
        checked = (await bot.run("doctor")).succeeded()
        assert "ok       agents: disk" in checked.out
        assert "team file: every call that needs approval has people who may approve it." in checked.out
        answered = (await bot.run("send", "--wait", "--agent", "disk", "how full is the disk?")).succeeded()
        assert "code:        check_disk" in answered.out
        assert "free percent" in answered.out
        noted = ("send", "--wait", "--json", "--agent", "disk", 'write a note: "we cleaned /var/log"')
        waiting = (await bot.run(*noted)).succeeded().document
        assert waiting["pending"]["title"] == "Write down: we cleaned /var/log"
        assert not (bot.home / "disk").exists()
        approved = await bot.approve(waiting["id"], "--wait")
        assert "write note: written: we cleaned /var/log" in approved.succeeded().out
        assert (bot.home / "disk" / "notes.jsonl").read_text().count("we cleaned /var/log") == 1
        evals = await bot.run("eval", "disk")
        assert (evals.code, "right: 3 of 3" in " ".join(evals.out.split())) == (0, True), evals
    assert "5 passed" in await own_tests(bot)


@pytest.mark.slow
async def test_a_new_tool_has_a_test_that_passes_and_is_called_once_it_is_named(bot: Bot) -> None:
    (await bot.run("new", "tool", "disk", "restart_service")).failed(
        "There is no agent in agents/disk", "new agent disk"
    )
    await bot.run("new", "agent", "disk")
    made = await bot.run("new", "tool", "disk", "restart_service")
    files = "agents/disk/restart_service.py and agents/disk/test_restart_service.py"
    assert (made.code, made.out) == (0, f"Wrote {files}.\n")
    assert "from .restart_service import RestartService" in made.err
    assert "7 passed" in await own_tests(bot)
    code = bot.folder / "agents" / "disk" / "__init__.py"
    text = code.read_text().replace('NAME = "disk"', 'from .restart_service import RestartService\n\nNAME = "disk"', 1)
    code.write_text(text.replace("(CheckDisk, WriteNote)", "(CheckDisk, WriteNote, RestartService)"))
    asked = await bot.run("send", "--wait", "--json", "--agent", "disk", 'restart the service "web"')
    assert asked.succeeded().document["pending"]["title"] == "Do something to web"


@pytest.mark.slow
async def test_nothing_is_overwritten_and_what_cannot_be_appended_is_said(bot: Bot) -> None:
    (bot.folder / "bot.toml").write_text("agents = { }\n")
    made = await bot.run("new", "agent", "disk")
    assert (made.code, made.out) == (0, "Wrote agents/disk.\n")
    assert "bot.toml was left as it is" in made.err
    assert "[agents.disk]" in made.err
    before = {path: path.read_bytes() for path in bot.folder.rglob("*") if path.is_file()}
    (await bot.run("new", "agent", "disk")).failed("agents/disk exists already")
    (bot.folder / "bot.toml").write_text("half a ta")
    (await bot.run("new", "agent", "other")).failed("bot.toml is not valid TOML", "Nothing was written")
    (bot.folder / "bot.toml").write_text("agents = { }\n")
    await bot.run("new", "tool", "disk", "restart_service")
    (await bot.run("new", "tool", "disk", "restart_service")).failed("restart_service.py", "nothing was written")
    assert before.items() <= {path: path.read_bytes() for path in bot.folder.rglob("*") if path.is_file()}.items()
    (await bot.run("new", "agent", "Web Logs")).failed("'Web Logs' is not a name", code=2)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is not a name"),
        ("Disk", "small letters"),
        ("2nd", "a letter first"),
        ("../up", "is not a name"),
        ("a" * 41, "at most 40"),
        ("class", "cannot be the name"),
        ("agents", "cannot be the name"),
        ("json", "a Python module that is installed here"),
        ("pydantic", "a Python module that is installed here"),
        ("agent", "a Python module that is installed here"),
    ],
)
def test_a_name_that_would_hide_something_is_refused(name: str, problem: str) -> None:
    with pytest.raises(exits.Misused, match=problem):
        _check_name(name)


def test_names_of_modules_are_taken() -> None:
    for name in ("disk", "web_logs", "db2"):
        _check_name(name)
