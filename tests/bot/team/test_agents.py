"""Agents of the team's own: found by folder or module, and told of in one line where they cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.app import roster_problems
from bot.setup import load
from bot.team.agents import Agents, build_agents, inspect_agents
from bot.team.calendar import schedules_of
from bot.team.file import Team
from bot.team.problems import SettingsError

SITE = {
    "environments": {"staging": {}},
    "components": {
        "backend": {"repository": "/srv/shop", "targets": {"staging": {"deploy": ["d", "{sha}"], "status": ["s"]}}}
    },
}
AGENT = """
from agent.definition import Agent

NAME = "{name}"


def build(table, home):
    return Agent(name=NAME, prompt=table.get("prompt", ""), tools=())
"""


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    """What a test imports of its own, nobody finds later."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.split(".")[0] in ("agents", "acme", "db"):
            del sys.modules[name]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def found(folder: Path, **tables: dict[str, Any]) -> Agents:
    return inspect_agents(Team(agents=tables), folder / "home", folder)


def told(folder: Path, **tables: dict[str, Any]) -> list[str]:
    return list(found(folder, **tables).problems)


def test_an_agent_is_found_in_the_folder_of_its_name(tmp_path: Path) -> None:
    write(tmp_path / "agents/db/__init__.py", AGENT.format(name="db"))
    agents = found(tmp_path, db={"prompt": "Be brief."})
    assert agents.problems == ()
    assert {name: agent.prompt for name, agent in agents.built.items()} == {"db": "Be brief."}
    assert agents.folders == {"db": tmp_path / "agents" / "db"}


def test_an_agent_is_found_by_its_module(tmp_path: Path) -> None:
    write(tmp_path / "acme/ops.py", AGENT.format(name="db"))
    agents = build_agents(Team(agents={"db": {"module": "acme.ops", "prompt": "Be kind."}}), tmp_path, tmp_path)
    assert agents.built["db"].prompt == "Be kind."
    assert agents.folders == {}


def test_one_that_ships_is_replaced_by_name(tmp_path: Path) -> None:
    write(tmp_path / "acme.py", AGENT.format(name="deploy"))
    agents = found(tmp_path, deploy={"module": "acme"})
    assert agents.built["deploy"].tools == ()


def test_those_that_ship_go_the_same_way(tmp_path: Path) -> None:
    agents = found(tmp_path, deploy=SITE)
    assert list(agents.built) == ["deploy", "rollback"]
    assert agents.folders["rollback"].name == "rollback"
    assert agents.problems == ()


def test_an_agent_that_is_to_take_over_must_be_one(tmp_path: Path) -> None:
    tested = {"test": ["t"], "on_failed_test": "rolback"}
    assert told(tmp_path, deploy={**SITE, "environments": {"staging": tested}}) == [
        "agents.deploy in the team file lets another agent take over: 'rolback' is no agent that is set up; did you "
        "mean rollback?"
    ]


def test_an_agent_may_share_the_table_of_another(tmp_path: Path) -> None:
    write(tmp_path / "agents/night/__init__.py", AGENT.format(name="night") + '\nSHARES = "db"\n')
    write(tmp_path / "agents/db/__init__.py", AGENT.format(name="db"))
    agents = found(tmp_path, night={}, db={"prompt": "Be brief."})
    assert {name: agent.prompt for name, agent in agents.built.items()} == {"night": "Be brief.", "db": "Be brief."}
    assert told(tmp_path, night={}) == ["agents.night in the team file: it uses [agents.db], which is missing."]
    assert told(tmp_path, night={"prompt": "x"}, db={}) == [
        "agents.night in the team file: prompt has no effect, because it uses [agents.db]."
    ]


def test_nothing_is_imported_that_the_team_file_does_not_name(tmp_path: Path) -> None:
    write(tmp_path / "agents/db/__init__.py", AGENT.format(name="db"))
    write(tmp_path / "agents/other/__init__.py", "raise SystemExit('imported')")
    path = list(sys.path)
    assert told(tmp_path) == []
    assert told(tmp_path, deploy=SITE) == []
    assert sys.path == path
    assert told(tmp_path, db={}) == []
    assert "agents.other" not in sys.modules


def test_what_it_imports_later_is_found_too_and_hides_nothing(tmp_path: Path) -> None:
    write(tmp_path / "acme/__init__.py", "")
    write(tmp_path / "acme/late.py", "ANSWER = 42")
    write(tmp_path / "agents/db/__init__.py", AGENT.format(name="db") + "\n\ndef later():\n    import acme.late\n")
    found(tmp_path, db={})
    sys.modules["agents.db"].later()
    assert sys.path[0] != str(tmp_path)
    assert sys.path[-1] == str(tmp_path)


MODULE = ": its module 'agents.db'"
BUILD = "NAME = 'db'\ndef build(table, home):\n  return "
WRONG = [
    ("", {"module": "acme.ops"}, ": there is no module 'acme.ops', neither installed nor next to the team file."),
    ("", {"module": 7}, '.module must be the name of a module, such as "acme.agents.db".'),
    ("", {"module": "../acme"}, '.module must be the name of a module, such as "acme.agents.db".'),
    (
        "import nowhere",
        {},
        f"{MODULE} cannot be imported: ModuleNotFoundError: No module named 'nowhere' (FILE, line 1).",
    ),
    ("x = 1\n1 / 0", {}, f"{MODULE} cannot be imported: ZeroDivisionError: division by zero (FILE, line 2)."),
    ("raise SystemExit", {}, f"{MODULE} cannot be imported: SystemExit: (FILE, line 1)."),
    ("def", {}, f"{MODULE} cannot be imported: SyntaxError: invalid syntax (__init__.py, line 1)."),
    ("", {}, f'{MODULE} has no NAME; it must be "db".'),
    ("NAME = 'database'", {}, f"{MODULE} has the NAME 'database'; it must be 'db'."),
    ("NAME = 'db'", {}, f"{MODULE} has no function `build`."),
    (
        "NAME, SHARES, build = 'db', 'db', print",
        {},
        f"{MODULE} has the SHARES 'db'; it must be the name of another agent.",
    ),
    (f"{BUILD} table['url']", {}, ": its build failed: KeyError: 'url' (FILE, line 3)."),
    (f"{BUILD} 3", {}, ": its build returned 3, which is not an Agent."),
    (AGENT.format(name="db").replace("name=NAME", "name='x'"), {}, ": its build returned an agent with the name 'x'."),
    (
        "from agent.roster.deploy.tools import TOOLS" + AGENT.format(name="db").replace("tools=()", "tools=TOOLS[:1]"),
        {},
        ": The agent 'db' cannot be built: its resources hold no Targets, which its tools need: LookUp.",
    ),
]


@pytest.mark.parametrize(("code", "table", "words"), WRONG)
def test_what_is_wrong_is_one_line_with_the_name_of_the_table(
    tmp_path: Path, code: str, table: dict[str, Any], words: str
) -> None:
    write(tmp_path / "agents/db/__init__.py", code)
    (line,) = told(tmp_path, db=table)
    assert line == f"agents.db in the team file{words}".replace("FILE", str(tmp_path / "agents/db/__init__.py"))


def test_two_of_one_name_are_told_apart_by_module(tmp_path: Path) -> None:
    write(tmp_path / "agents/deploy/__init__.py", AGENT.format(name="deploy"))
    assert told(tmp_path, deploy=SITE) == [
        "agents.deploy in the team file: there are two, a shipped one and agents/deploy/; choose one with `module`."
    ]
    assert told(tmp_path, deploy={"module": "agents.deploy"}) == []
    assert told(tmp_path, deploy={"module": "agent.roster.deploy", **SITE}) == []


def test_a_package_of_the_same_name_from_elsewhere_is_not_taken_for_the_teams(tmp_path: Path) -> None:
    write(tmp_path / "installed/agents/__init__.py", "")
    write(tmp_path / "installed/agents/db.py", AGENT.format(name="db"))
    write(tmp_path / "team/agents/db/__init__.py", AGENT.format(name="db"))
    sys.path.insert(0, str(tmp_path / "installed"))
    import agents.db  # type: ignore[import-not-found]  # noqa: F401

    (line,) = told(tmp_path / "team", db={})
    assert "another package `agents` hides" in line


def test_all_of_it_is_told_with_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOT_LOG_LEVEL", "loud")
    write(tmp_path / "agents/db/__init__.py", "NAME = 'db'")
    write(
        tmp_path / "bot.toml",
        '[agents.db]\n[agents.night]\nmodule = "acme"\n[agents.deploy]\n[routes]\nC1 = "dbx"\nC2 = "night"\n',
    )
    with pytest.raises(SettingsError) as caught:
        load(roster_problems)
    assert caught.value.problems == [
        "BOT_LOG_LEVEL must be debug, info, warning or error.",
        "agents.db in the team file: its module 'agents.db' has no function `build`.",
        "agents.night in the team file: there is no module 'acme', neither installed nor next to the team file.",
        "agents.deploy.components in the team file is missing.",
        "routes.C1 in the team file: 'dbx' is no agent that is set up; did you mean db?",
    ]


def test_the_agents_folder_brings_its_schedules(tmp_path: Path) -> None:
    write(tmp_path / "agents/db/__init__.py", AGENT.format(name="db"))
    write(
        tmp_path / "agents/db/schedules.toml",
        '[schedules.nightly]\ncron = "0 8 * * *"\ntime_zone = "UTC"\nplace = "terminal:ops"\nsay = "Good morning."\n',
    )
    team = Team(agents={"db": {}})
    agents = inspect_agents(team, tmp_path, tmp_path)
    (schedule,) = schedules_of(team, agents.all, agents.folders, {"terminal": None})
    assert (schedule.name, schedule.table.agent) == ("nightly", "db")
