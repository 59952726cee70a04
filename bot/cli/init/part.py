"""One part of the set-up that is kept as variables: what is set already is shown, the rest asked, checked and kept.

The check is that of `bot doctor`, made as if the answers were set. Nothing is kept that would stop `bot run`.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from bot.cli import console
from bot.cli.findings import Finding
from bot.cli.init import kept
from bot.cli.init.dialogue import Dialogue, Later, show_findings, show_heading
from bot.settings import Settings
from bot.setup import Setup, load
from bot.team.problems import SettingsError
from channels.inbound import Refused
from store.failures import Explained
from store.variables import ENV_FILE

Outcome = Literal["done", "failed", "later"]


@dataclass(frozen=True)
class Part:
    name: str
    title: str
    options: tuple[str, ...]
    """Where nobody can be asked, only a part of which an option is given is set up."""
    is_set_up: Callable[[Settings], bool]
    shown: Callable[[Settings], str]
    """How it is set up, without a secret."""
    ask: Callable[[Dialogue, Setup], Awaitable[dict[str, str]]]
    """The variables by their names. Raises Later."""
    problems: Callable[[Setup], list[str]]
    """What would stop `bot run`."""
    check: Callable[[Setup], Awaitable[list[Finding]]]
    prepare: Callable[[Dialogue, Setup], Awaitable[None]] | None = None
    """Before the check: a login, say. Raises Explained."""


async def set_up(part: Part, dialogue: Dialogue) -> Outcome:
    """Raises Refused where nobody can be asked, and something is missing or wrong."""
    if not dialogue.asks and not dialogue.has(*part.options):
        return "done" if part.is_set_up(load().settings) else "later"
    show_heading(part.title)
    try:
        as_it_is = part.is_set_up(load().settings) and not dialogue.has(*part.options)
        if as_it_is and (outcome := await _kept_as_it_is(part, dialogue)):
            return outcome
        return await _asked(part, dialogue)
    except Later:
        console.prose("Left for later.")
        return "later"


async def _kept_as_it_is(part: Part, dialogue: Dialogue) -> Outcome | None:
    """None: it is to be changed."""
    setup = load()
    console.prose(f"It is set already: {part.shown(setup.settings)}.")
    is_well = await _is_well(part, setup)
    if await dialogue.confirmed("Change it?", default=not is_well):
        return None
    return "done" if is_well else "failed"


async def _asked(part: Part, dialogue: Dialogue) -> Outcome:
    while True:
        values = await part.ask(dialogue, load())
        if dialogue.missing:
            raise Refused(
                f"{part.title}: nothing was kept. Missing: {', '.join(dialogue.missing)}. Give the options, and "
                "set the variables in the environment; or run it at a terminal to be asked."
            )
        values = {name: text for name, text in values.items() if text}
        may_be_kept, is_well = await _tried(part, dialogue, values)
        if is_well:
            return "done" if await _keep(dialogue, values) else "later"
        if not dialogue.asks:
            raise Refused(f"{part.title}: nothing was kept, because the check failed.")
        if await dialogue.after_failure(may_keep=may_be_kept) == "keep":
            return "failed" if await _keep(dialogue, values) else "later"


async def _tried(part: Part, dialogue: Dialogue, values: Mapping[str, str]) -> tuple[bool, bool]:
    """(`bot run` would start with it, everything is well). Says what is wrong."""
    try:
        setup = load(draft=values)
        if problems := part.problems(setup):
            raise SettingsError(problems)
    except SettingsError as error:
        show_findings([Finding(part.name, "failed", problem) for problem in error.problems])
        return False, False
    if part.prepare:
        try:
            await part.prepare(dialogue, setup)
        except Explained as error:
            show_findings([Finding(part.name, "failed", str(error))])
            return True, False
    return True, await _is_well(part, setup)


async def _is_well(part: Part, setup: Setup) -> bool:
    console.say("Checking …")
    found = await part.check(setup)
    show_findings(found)
    return all(one.state != "failed" for one in found)


async def _keep(dialogue: Dialogue, values: Mapping[str, str]) -> bool:
    """False: the person does not want it. Raises Refused."""
    values = {name: text for name, text in values.items() if os.environ.get(name) != text}
    if held := [name for name in values if os.environ.get(name)]:
        text = f"{', '.join(held)}: set in the environment, which counts before {ENV_FILE}. Change it there."
        if not dialogue.asks:
            raise Refused(text)
        console.say_prose(f"Nothing was kept. {text}")
        return False
    if not values:
        return True
    if names := kept.differing(values):
        there = f"{', '.join(names)}: {ENV_FILE} has another value."
        if not dialogue.asks:
            raise Refused(f"{there} Nothing was kept: take it out first, or run this at a terminal.")
        if not await dialogue.confirmed(f"{there} Replace it?", default=False):
            return False
    await _keep_out_of_git(dialogue)
    kept.keep(values)
    console.prose(f"Kept in {ENV_FILE}: {', '.join(values)}.")
    return True


async def _keep_out_of_git(dialogue: Dialogue) -> None:
    match kept.git_of():
        case "tracked":
            console.say_prose(
                f"WARNING: git tracks {ENV_FILE}, so a commit would hold your secrets. Take it out: git rm --cached "
                f"{ENV_FILE}"
            )
        case "not ignored":
            console.say_prose(f"WARNING: git does not ignore {ENV_FILE}, so a commit could hold your secrets.")
            if await dialogue.confirmed("Add it to .gitignore?", default=True):
                kept.ignore()
                print(f"Added {ENV_FILE} to .gitignore.", flush=True)
