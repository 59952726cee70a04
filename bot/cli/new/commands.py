"""`bot new`: an agent or a tool of the team's own, beside bot.toml. Each runs at once, and its test passes.

What it writes is copied from `bot.cli.new.newcomer`, with other names. It overwrites nothing, and changes one existing
file: it appends a table to bot.toml, where that is sure to change nothing else.
"""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.roster import shipped
from bot.cli import command, console, exits, person
from bot.cli.first_file import agent_file
from bot.cli.new import newcomer
from bot.settings import Settings
from bot.team import schema
from bot.team.adding import NotAppended, append_agent, table_of
from bot.team.file import team_path
from channels.inbound import Refused

NAME_CHARS_MAX = 40
AGENTS = "agents"
"""The folder of the team's agents, beside bot.toml."""
AGENT_FILES = ("__init__.py", "prompt.md", "evals/first.yaml", "test_agent.py")
TOOL_FILES = {"do_something.py": "{name}.py", "test_do_something.py": "test_{name}.py"}

app = typer.Typer(help="Add an agent or a tool of your own, which works at once.", rich_markup_mode=None)
AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="the agent, a folder in agents/")]


@app.command()
def agent(name: Annotated[str, typer.Argument(metavar="NAME", help="of the agent; letters, digits and _")]) -> None:
    """Write a new agent into agents/NAME/, and its table into bot.toml."""
    _check_name(name)
    if name in shipped():
        raise exits.Misused(f"The agent {name} ships with this program. Choose another name.")

    async def work(settings: Settings) -> None:
        path = team_path(settings.bot_config)
        folder = path.parent / AGENTS / name
        files = {target: _read(target).replace("newcomer", name) for target in AGENT_FILES}
        if folder.exists():
            raise Refused(f"{folder} exists already, so nothing was written.")
        by_hand = ""
        if path.exists():
            try:
                append_agent(path, name, then=lambda: _write(folder, files))
            except NotAppended as reason:
                by_hand = f"{reason} Add this to it yourself:\n\n{table_of(name)}"
        else:
            _write(folder, files)
            _write(path.parent, {path.name: agent_file(table_of(name), person.login())})
            schema.copy_beside(path)
        print(f"Wrote {folder}{'' if by_hand else f', and [agents.{name}] in {path}'}.")
        if by_hand:
            console.say(by_hand)
        console.say(_what_next(settings, name, folder))

    command.read(work)


@app.command()
def tool(
    agent: AgentName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="of the tool, e.g. restart_service")],
) -> None:
    """Write a new tool and its test into agents/AGENT/."""
    _check_name(name)
    kind = "".join(word.capitalize() for word in name.split("_"))

    async def work(settings: Settings) -> None:
        folder = team_path(settings.bot_config).parent / AGENTS / agent
        if not agent.isidentifier() or not (folder / "__init__.py").is_file():
            raise Refused(f"There is no agent in {folder}. `{console.program()} new agent {agent}` writes one.")
        names = {"do_something": name, "DoSomething": kind, "newcomer": agent}
        files = {}
        for source, target in TOOL_FILES.items():
            text = _read(source)
            for ours, theirs in names.items():
                text = text.replace(ours, theirs)
            files[target.format(name=name)] = text
        _write(folder, files)
        print(f"Wrote {' and '.join(str(folder / target) for target in files)}.")
        console.say(
            f"Name it in {folder / '__init__.py'}:\n\n"
            f"    from .{name} import {kind}\n\n"
            f"and add {kind} to the `tools` of its Agent. Its test: {_python()} -m pytest {folder}"
        )

    command.read(work)


def _check_name(name: str) -> None:
    """Raises Misused. The name becomes that of a Python package, which must not hide another one."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > NAME_CHARS_MAX:
        what = f"small letters, digits and _, at most {NAME_CHARS_MAX}, and a letter first"
        raise exits.Misused(f"{name[:60]!r} is not a name for this: use {what}, such as web_logs.")
    if keyword.iskeyword(name) or name == AGENTS:
        raise exits.Misused(f"{name!r} cannot be the name of a Python module there. Choose another name.")
    spec = importlib.util.find_spec(name)
    if name in sys.stdlib_module_names or (spec and spec.origin):
        raise exits.Misused(f"{name!r} is the name of a Python module that is installed here. Choose another name.")


def _read(file: str) -> str:
    return (Path(newcomer.__file__).parent / file).read_text(encoding="utf-8")


def _write(folder: Path, files: dict[str, str]) -> None:
    """Raises Refused. Writes all of them or, where one exists already, none."""
    if there := [str(folder / name) for name in files if (folder / name).exists()]:
        raise Refused(f"{', '.join(there)} exists already, so nothing was written.")
    for name, text in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise Refused(f"{path} cannot be written: {error.strerror}.") from None


def _what_next(settings: Settings, name: str, folder: Path) -> str:
    program = console.program()
    commands = {
        f"{program} doctor": "checks everything, and says what to do",
        f"{program} chat --agent {name}": "talk to it here; try: how full is the disk?",
        f"{program} eval {name}": f"plays its cases in {folder / 'evals'}",
        f"{_python()} -m pytest {folder}": "runs its tests",
        f"{program} new tool {name} NAME": "writes one more tool",
    }
    width = max(map(len, commands))
    model = (
        "" if settings.has_model else "Set OPENAI_MODEL and OPENAI_API_KEY, or OPENAI_MODEL=stand-in for no model.\n"
    )
    return f"Next:\n{model}" + "\n".join(f"{typed:<{width}}   {does}" for typed, does in commands.items())


def _python() -> str:
    """The command that runs the Python of this program."""
    return "python" if shutil.which("bot") else shlex.quote(os.path.relpath(sys.executable))
