"""Runs what a command does: loads the settings, and prints each failure in one line on stderr.

It ends with exit code 1 after a failure, and 130 if interrupted (`bot.cli.exits` has the others). Tracebacks are shown
only for bugs, with BOT_LOG_LEVEL=debug.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import typer
import uvloop

from bot.cli import console, exits
from bot.logs import set_up_logging
from bot.setup import Setup, load
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


def me(name: str) -> Person:
    """The person at the terminal, from `--as` or their login. Raises Misused."""
    if (name and not name.strip()) or len(name) > NAME_CHARS_MAX:
        raise exits.Misused(f"--as takes a name of 1 to {NAME_CHARS_MAX} characters.")
    login = name.strip()
    if not login:
        try:
            login = getpass.getuser()
        except (KeyError, OSError):
            login = f"uid-{os.getuid()}"
    # Verified, because everybody who can run commands here can read and write the store anyway.
    return Person(name=login, address=login, trust="verified")


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
        setup = load(*_checks(agents=agents, model=model, channels=channels))
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


def _checks(*, agents: bool, model: bool, channels: bool) -> Iterator[Callable[[Setup], list[str]]]:
    if agents or model:
        # Not at the top: the commands that only read need no agent, and agents take long to import.
        from bot.app import model_problems, roster_problems

        yield from ([roster_problems] if agents else [])
        yield from ([model_problems] if model else [])
    if channels:
        yield lambda setup: setup.settings.channel_problems()
