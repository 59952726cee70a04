"""Runs what a command does: loads the settings, and prints each failure in one line on stderr.

It ends with exit code 1 after a failure, and 130 if interrupted (`bot.cli.exits` has the others). Tracebacks are shown
only for bugs, with BOT_LOG_LEVEL=debug.

Every command imports this module. So what only some of them need is imported where it is used.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

import typer
import uvloop

from bot.cli import console
from bot.settings import Settings, environment
from bot.team.problems import SettingsError
from store.failures import Explained
from store.text import one_line

if TYPE_CHECKING:
    from bot.setup import Setup

Ready = tuple[Settings, Coroutine[Any, Any, None]]
"""The settings, and what is to be run."""


class Failed(Explained):
    """The command failed; the message is one line."""


def read(work: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    """For a command that only reads the store: it needs no team file, no agent and no log. Raises Exit."""

    def ready() -> Ready:
        found = environment()
        if found.problems:
            raise SettingsError(found.problems)
        return found.settings, work(found.settings)

    _run(ready)


def run(
    work: Callable[[Setup], Coroutine[Any, Any, None]],
    *,
    model: bool = False,
    agents: bool = True,
    channels: bool = False,
) -> None:
    """`model`: must be configured. `agents`, `channels`: their settings must be valid. Raises Exit."""

    def ready() -> Ready:
        from bot.logs import set_up_logging
        from bot.setup import load

        setup = load(*_checks(agents=agents, model=model, channels=channels))
        set_up_logging(setup.settings.bot_log_level, console.LOG)
        return setup.settings, work(setup)

    _run(ready)


def _checks(*, agents: bool, model: bool, channels: bool) -> Iterator[Callable[[Setup], list[str]]]:
    if agents or model:
        from bot.app import model_problems, roster_problems

        yield from ([roster_problems] if agents else [])
        yield from ([model_problems] if model else [])
    if channels:
        yield lambda setup: setup.settings.channel_problems()


def _run(ready: Callable[[], Ready]) -> None:
    debug = False
    try:
        settings, work = ready()
        debug = settings.bot_log_level == "debug"
        uvloop.run(work)
        sys.stdout.flush()
        return
    except Explained as failure:
        console.say(str(failure))
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
