"""`bot init`: writes a first team file, with what it means beside it, and says what to do next.

It asks for what no option gives, if somebody sits at the terminal. It overwrites nothing, deploys nothing, and writes
only a file that `bot run` takes, and beside it the schema that editors check it by.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer

from bot.app import roster_problems
from bot.cli import asking, command, console, exits, person
from bot.cli.first_file import FirstSite, team_file
from bot.settings import Settings
from bot.setup import Setup
from bot.team import schema
from bot.team.file import inspect_team, team_path
from bot.team.problems import SettingsError
from channels.inbound import Refused

GIT_SECONDS_MAX = 10.0
DEPLOY = "{component} {environment} {sha}"
STATUS = "{component} {environment}"


QUESTIONS = {
    "--repository": "The git repository",
    "--component": "The name of what is deployed",
    "--environment": "The environments it is deployed to, in their order",
    "--deploy": f"The command that deploys it, with {DEPLOY}",
    "--status": f"The command that prints the commit that runs there, with {STATUS}",
}
"""By their options, in the order in which they are asked."""


def init(
    component: Annotated[str, typer.Option("--component", metavar="NAME", help="what is deployed")] = "",
    environment: Annotated[
        list[str] | None, typer.Option("--environment", metavar="NAME", help="where to; several, in their order")
    ] = None,
    repository: Annotated[str, typer.Option("--repository", metavar="PATH", help="its git repository")] = "",
    deploy: Annotated[
        str, typer.Option("--deploy", metavar="COMMAND", help=f"what deploys it, e.g. '/srv/bin/deploy {DEPLOY}'")
    ] = "",
    status: Annotated[
        str, typer.Option("--status", metavar="COMMAND", help=f"what runs there, e.g. '/srv/bin/status {STATUS}'")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="ask nothing: take what is suggested")] = False,
    print_schema: Annotated[
        bool, typer.Option("--schema", help="print the JSON schema of bot.toml for editors, and do nothing else")
    ] = False,
) -> None:
    """Write a first bot.toml. Overwrites nothing.

    Asks for what is not given. Commands are split into arguments as a shell does it, and never run by one.
    """
    given = {
        "--component": component,
        "--environment": " ".join(environment or ()),
        "--repository": repository,
        "--deploy": deploy,
        "--status": status,
    }
    if print_schema:
        if yes or any(given.values()):
            raise exits.Misused("--schema takes no other option: it only prints.")
        print(schema.FILE.read_text(encoding="utf-8"), end="")
        return

    command.read(lambda settings: _written(settings, given, yes=yes))


async def _written(settings: Settings, given: dict[str, str], *, yes: bool) -> None:
    path = team_path(settings.bot_config)
    if path.exists():
        raise Refused(f"{path} exists already, so nothing was written. `bot doctor` says what is wrong with it.")
    asks = asking.attended() and not yes
    answers = await _answered(given, asks=asks, suggests=yes)
    try:
        site = _site(answers)
        text = team_file(site, person.login())
        _check(text, settings, path)
    except (Refused, SettingsError) as error:
        if not asks:
            raise
        raise Refused(f"{error}\nTo correct an answer: {_command_for(answers)}") from None
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        schema.copy_beside(path)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}.") from None
    print(f"Wrote {path}: {site.component} to {', '.join(site.environments)}.")
    console.say(_what_next(settings))


def _suggestion(option: str, answers: dict[str, str]) -> str:
    """Empty: only a person can say it."""
    match option:
        case "--repository":
            return _working_tree()
        case "--component":
            name = Path(answers["--repository"].strip()).name.lower().removesuffix(".git")
            return re.sub(r"[^a-z0-9]+", "-", name).strip("-")[:40]
        case "--environment":
            return "staging production"
    return ""


async def _answered(given: dict[str, str], *, asks: bool, suggests: bool) -> dict[str, str]:
    """An answer for each option. Raises Refused if one is missing and nobody says it."""
    answers = dict(given)
    lines = asking.typed_lines() if asks else None
    for option, question in QUESTIONS.items():
        if answers[option].strip():
            continue
        if lines:
            answers[option] = await _answer(lines, question, _suggestion(option, answers))
        elif suggests:
            answers[option] = _suggestion(option, answers)
    if missing := [option for option, answer in answers.items() if not answer.strip()]:
        raise Refused(f"Nothing was written: give {', '.join(missing)}, or run it at a terminal to be asked.")
    return answers


async def _answer(lines: AsyncIterator[str], question: str, suggestion: str) -> str:
    """Asks until something is answered. Raises Refused at the end of the input."""
    asked = f"{question}{f' [{suggestion}]' if suggestion else ''}: "
    console.log(asked)
    async for line in lines:
        if answer := line.strip() or suggestion:
            return answer
        console.log(asked)
    raise Refused("Nothing was written.")


def _command_for(answers: dict[str, str]) -> str:
    """The command that says all of it, so that nobody has to type it again."""
    words = [console.program(), "init"]
    for option, answer in answers.items():
        for value in _environments(answer) if option == "--environment" else [answer]:
            words += [option, value]
    return shlex.join(words)


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


def _check(text: str, settings: Settings, path: Path) -> None:
    """Raises SettingsError with what is wrong with the answers."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        draft.write_text(text, encoding="utf-8")
        team, problems = inspect_team(draft)
    problems = [problem.replace(str(draft), str(path)) for problem in problems]
    if problems := problems + roster_problems(Setup(settings, team)):
        raise SettingsError([f"Nothing was written to {path}:", *problems])


def _working_tree() -> str:
    """The top of the git working tree that we are in; empty: in none."""
    command_line = ["git", "rev-parse", "--show-toplevel"]
    try:
        found = subprocess.run(command_line, capture_output=True, text=True, check=True, timeout=GIT_SECONDS_MAX)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


def _what_next(settings: Settings) -> str:
    program = console.program()
    model = (
        ""
        if settings.has_model
        else "Set OPENAI_MODEL and OPENAI_API_KEY (any endpoint that speaks the OpenAI API); without a model, set\n"
        "OPENAI_MODEL=stand-in, which matches a few keywords.\n"
    )
    return (
        f"Next: {model and 'first, '}read it: each deployment waits for an approval until you say otherwise.\n{model}"
        f"{program} doctor   checks everything, and says what to do\n"
        f"{program} chat     talk to deploybot here"
    )
