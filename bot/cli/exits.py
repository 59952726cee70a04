"""Runs the command that was typed, and turns how it ends into an exit code.

Exit codes: 0 done, 1 failed, 2 wrong command line, 3 done so far, and a person has to go on (a command with `--wait`,
whose thread the agent handed over). A closed stdout (`bot doctor | head`) is a normal end. It imports
nothing that a command needs, so that `bot --help` answers at once; `bot.cli.command` runs what a command does.
"""

from __future__ import annotations

import sys

import typer

from bot.cli import console

RESTS_WITH_A_PERSON = 3


class Misused(Exception):
    """The command line itself is wrong."""


def exit_code(app: typer.Typer) -> int:
    """Run the command that was typed. A closed stdout, as after `| head`, is a normal end."""
    code = 0
    try:
        code = _typed(app)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # Typer turns the first into the second.
        console.discard(1)
    except OSError as error:
        console.discard(1)
        console.say(in_words(error))
        return 1
    return code


def in_words(error: OSError) -> str:
    return f"That did not work: {error.strerror or error} ({error.filename or type(error).__name__})."


def _typed(app: typer.Typer) -> int:
    try:
        return int(app(standalone_mode=False) or 0)
    except Misused as error:
        console.say(str(error))
        return 2
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            console.say(error.format_message())
        else:
            context = getattr(error, "ctx", None)
            message = " ".join(error.format_message().split())
            stop = "" if message.endswith((".", "?")) else "."
            console.say(f"{message}{stop} See `{context.command_path if context else 'bot'} --help`.")
        return error.exit_code
