"""Runs a command: loads the settings, prints each failure in one line on stderr, and sets the exit code.

Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted. A closed stdout (`bot doctor | head`) is a normal
end. Tracebacks are shown only for bugs, with BOT_LOG_LEVEL=debug.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import typer
import uvloop

from bot.app import Setup, load, model_problems, roster_problems
from bot.cli import console
from bot.logs import set_up_logging
from bot.team.problems import SettingsError
from channels.base import ChannelUnavailable
from channels.inbound import Refused
from store.base import StoreUnavailable, ThreadDiverged, UnknownThread
from store.codec import EventTooLarge
from store.embedded.server import EmbeddedRedisError
from store.text import one_line
from store.values import Person

NAME_CHARS_MAX = 100

PROOF = "terminal"
"""How people are authenticated here: see `me`."""


class Failed(Exception):
    """The command failed; the message is one line."""


FAILURES = (
    ChannelUnavailable,
    SettingsError,
    StoreUnavailable,
    ThreadDiverged,
    EmbeddedRedisError,
    UnknownThread,
    Refused,
    EventTooLarge,
    Failed,
)


class Misused(Exception):
    """The command line itself is wrong."""


def me(name: str) -> Person:
    """The person at the terminal, from `--as` or their login. Raises Misused."""
    if (name and not name.strip()) or len(name) > NAME_CHARS_MAX:
        raise Misused(f"--as takes a name of 1 to {NAME_CHARS_MAX} characters.")
    login = name.strip()
    if not login:
        try:
            login = getpass.getuser()
        except (KeyError, OSError):
            login = f"uid-{os.getuid()}"
    # Verified, because everybody who can run commands here can read and write the store anyway.
    return Person(name=login, address=login, trust="verified")


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
        console.say(f"That did not work: {error.strerror or error} ({error.filename or type(error).__name__}).")
        return 1
    return code


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


def run(
    work: Callable[[Setup], Coroutine[Any, Any, None]],
    *,
    model: bool = False,
    agents: bool = True,
    channels: bool = False,
) -> None:
    """`model`: must be configured. `agents`, `channels`: their settings must be valid. Raises Exit."""
    debug = False
    try:
        wanted: list[tuple[bool, Callable[[Setup], list[str]]]] = [
            (agents, roster_problems),
            (model, model_problems),
            (channels, lambda setup: setup.settings.channel_problems()),
        ]
        setup = load(*(check for is_wanted, check in wanted if is_wanted))
        debug = setup.settings.bot_log_level == "debug"
        set_up_logging(setup.settings.bot_log_level, console.LOG)
        uvloop.run(work(setup))
        sys.stdout.flush()
        return
    except FAILURES as failure:
        console.say(failure.args[0] if isinstance(failure, UnknownThread) else str(failure))
    except (KeyboardInterrupt, asyncio.CancelledError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # A second one would only cause a traceback.
        raise typer.Exit(130) from None
    except OSError:
        raise  # `exit_code` handles it: most likely stdout is closed.
    except Exception as error:
        where = "BOT_LOG_LEVEL=debug shows where"
        if debug:
            traceback.print_exc()
            where = "see above"
        console.say(f"A bug in this program ({where}): {type(error).__name__}: {one_line(str(error), 300)}")
    raise typer.Exit(1)
