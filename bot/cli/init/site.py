"""The part of `bot init` about the site: a first team file, with what it means beside it.

It overwrites nothing, deploys nothing, and writes only a file that `bot run` takes, and beside it the schema that
editors check it by.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from pathlib import Path

from bot.app import roster_problems
from bot.cli import console, person
from bot.cli.doctor import check_agents, check_team_file
from bot.cli.first_file import FirstSite, team_file
from bot.cli.init import kept
from bot.cli.init.dialogue import Dialogue, Later, show_findings, show_heading
from bot.cli.init.given import DEPLOY, STATUS
from bot.cli.init.part import Outcome
from bot.settings import Settings
from bot.setup import Setup, load
from bot.team import schema
from bot.team.file import inspect_team, team_path
from bot.team.problems import SettingsError
from channels.inbound import Refused

GIT_SECONDS_MAX = 10.0
QUESTIONS = {
    "--repository": "The git repository",
    "--component": "The name of what is deployed",
    "--environment": "The environments it is deployed to, in their order",
    "--deploy": f"The command that deploys it, with {DEPLOY}",
    "--status": f"The command that prints the commit that runs there, with {STATUS}",
}
"""By their options, in the order in which they are asked."""


async def set_up_site(settings: Settings, dialogue: Dialogue) -> Outcome:
    """Write the team file and its schema. Raises Refused and SettingsError, where nobody can be asked again."""
    path = team_path(settings.bot_config)
    is_named = dialogue.has(*QUESTIONS)
    if path.exists() and (is_named or dialogue.is_empty):
        raise Refused(
            f"{path} exists already, so nothing was written. `bot doctor` checks it; for the rest, give "
            f"their options, or run it at a terminal."
        )
    if not dialogue.asks and not is_named and not dialogue.is_empty:
        return "done" if path.exists() else "later"
    if dialogue.asks:
        show_heading("What it deploys")
    try:
        if path.exists():
            console.prose(f"It is set already: {path}.")
            return "done" if await _is_well(load()) else "failed"
        return await _written(settings, dialogue, path)
    except Later:
        console.prose("Left for later.")
        return "later"


async def _written(settings: Settings, dialogue: Dialogue, path: Path) -> Outcome:
    while True:
        answers = await _answered(dialogue)
        try:
            site = _site(answers)
            text = team_file(site, person.login())
            draft = drafted(text, settings)
        except (Refused, SettingsError) as error:
            if not dialogue.asks:
                raise
            for line in str(error).split("\n"):
                console.say_prose(line)
            continue
        is_well = await _is_well(draft)
        if not is_well and dialogue.asks and await dialogue.after_failure(may_keep=True) == "again":
            continue
        kept.create(path, text)
        try:
            schema.copy_beside(path)
        except OSError as error:
            raise Refused(f"{path.with_name(schema.NAME)} cannot be written: {error.strerror}.") from None
        print(f"Wrote {path}: {site.component} to {', '.join(site.environments)}.", flush=True)
        return "done" if is_well else "failed"


async def _is_well(setup: Setup) -> bool:
    found = [await check_agents(setup), *check_team_file(setup)]
    show_findings(found)
    return all(one.state != "failed" for one in found)


def _suggestion(option: str, answers: dict[str, str]) -> str:
    """Empty: only a person can say it."""
    match option:
        case "--repository":
            return _working_tree()
        case "--component":
            name = Path(answers.get("--repository", "")).name.lower().removesuffix(".git")
            return re.sub(r"[^a-z0-9]+", "-", name).strip("-")[:40]
        case "--environment":
            return "staging production"
    return ""


async def _answered(dialogue: Dialogue) -> dict[str, str]:
    """An answer for each option. Raises Refused if one is missing and nobody says it, and Later."""
    answers: dict[str, str] = {}
    for option, question in QUESTIONS.items():
        answers[option] = await dialogue.answer(option, question, _suggestion(option, answers))
    if dialogue.missing:
        raise Refused(f"Nothing was written: give {', '.join(dialogue.missing)}, or run it at a terminal to be asked.")
    return answers


def _environments(answer: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(re.split(r"[\s,]+", answer.strip(", \t"))))


def _site(answers: dict[str, str]) -> FirstSite:
    """Raises Refused."""
    commands = {}
    for option in ("--deploy", "--status"):
        try:
            commands[option] = tuple(shlex.split(answers[option]))
        except ValueError as error:
            raise Refused(f"{option} cannot be split into arguments ({error}).") from None
    return FirstSite(
        component=answers["--component"].strip(),
        environments=_environments(answers["--environment"]),
        repository=str(Path(answers["--repository"]).expanduser().absolute()),
        deploy=commands["--deploy"],
        status=commands["--status"],
    )


def drafted(text: str, settings: Settings) -> Setup:
    """As if the team file had this text. Raises SettingsError with what is wrong with it."""
    path = team_path(settings.bot_config)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        draft.write_text(text, encoding="utf-8")
        team, problems = inspect_team(draft)
    problems = [problem.replace(str(draft), str(path)) for problem in problems]
    setup = Setup(settings, team)
    if problems := problems + roster_problems(setup):
        raise SettingsError([f"Nothing was written to {path}:", *problems])
    return setup


def _working_tree() -> str:
    """The top of the git working tree that we are in; empty: in none."""
    command_line = ["git", "rev-parse", "--show-toplevel"]
    try:
        found = subprocess.run(command_line, capture_output=True, text=True, check=True, timeout=GIT_SECONDS_MAX)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
