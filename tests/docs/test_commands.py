"""Whatever the pages tell people to type is a command that there is, with options that it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from typer.main import get_command

from bot.cli.main import COMMANDS, app_with
from tests.docs.pages import PAGES, README, Page

_OURS = re.compile(r"^(?:\.venv/bin/)?bot$")
_ALTERNATIVES = re.compile(r"[\[\],()]")
HELP = {"--help", "-h", "--version"}


def lines(page: Page) -> Iterator[str]:
    """What stands between backticks, and the lines of shell blocks; a line that goes on is one line."""
    for code in page.code():
        if code.startswith("bot "):
            yield code
    for block in page.blocks("sh"):
        yield from block.replace("\\\n", " ").splitlines()


@cache
def command_named(name: str) -> Any:
    commands: Any = get_command(app_with(name))
    return commands.commands[name]


def wrong(line: str) -> list[str]:
    """What is wrong with the calls of `bot` in a line of shell."""
    problems = []
    for call in calls(line):
        name, *rest = call
        if name not in COMMANDS:
            problems.append(f"there is no `bot {name}`")
            continue
        command = command_named(name)
        inner = getattr(command, "commands", {})
        named = [word for word in rest if word in inner]
        chosen = [inner[word] for word in named] or [command, *([inner["run"]] if name == "eval" else [])]
        options = {option for one in chosen for each in one.params for option in (*each.opts, *each.secondary_opts)}
        given = {word.partition("=")[0] for word in rest if word.startswith("--")}
        problems += [f"`bot {name}` has no {option}" for option in sorted(given - options - HELP)]
    return problems


def calls(line: str) -> Iterator[list[str]]:
    """The words after each `bot`, up to the end of its command. Brackets and commas of a usage are left out."""
    words = shlex.split(line.replace("'s ", " "), comments=True)
    call: list[str] | None = None
    for word in words:
        if _OURS.match(word):
            if call:
                yield call
            call = []
        elif word in ("|", "&&", ";", ">", "<"):
            if call:
                yield call
            call = None
        elif call is not None and (plain := _ALTERNATIVES.sub("", word)):
            call.append(plain)
    if call:
        yield call


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_is_one(page: Page) -> None:
    assert {line: found for line in lines(page) if (found := wrong(line))} == {}


def test_a_wrong_one_is_seen() -> None:
    assert wrong("export A=1; .venv/bin/bot send --wiat 'deploy v1'") == ["`bot send` has no --wiat"]
    assert wrong("bot hello") == ["there is no `bot hello`"]
    assert wrong("bot standing [grant, revoke] --uses=3 --loud") == ["`bot standing` has no --loud"]
    assert wrong("bot eval [AGENT] --runs 3  # --not an option") == []
    assert any("bot run" in line for line in lines(README))
