"""Runs what a command does: loads the settings, and prints each failure in one line on stderr.

A command that serves (`bot run`) says everything in its log; the others log only what is wrong. It ends with exit code
1 after a failure, 130 if interrupted, and otherwise the command's own (`bot.cli.exits` has them all). Tracebacks are
shown only for bugs, with BOT_LOG_LEVEL=debug.

Every command imports this module. So what only some of them need is imported where it is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

import typer
import uvloop

from bot.cli import console, exits
from bot.settings import Settings, environment
from bot.team.problems import SettingsError
from store.failures import Explained
from store.text import one_line

if TYPE_CHECKING:
    from bot.setup import Setup


class Failed(Explained):
    """The command failed; the message is one line."""


def read(work: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    """For a command that only reads the store: it needs no team file, no agent and no log. Raises Exit."""

    def ready() -> Coroutine[Any, Any, None]:
        found = environment()
        if found.problems:
            raise SettingsError(found.problems)
        return work(found.settings)

    _run(ready)


def run(
    work: Callable[[Setup], Coroutine[Any, Any, None]],
    *,
    model: bool = False,
    agents: bool = True,
    any_agent: bool = False,
    channels: bool = False,
    hooks: bool = False,
    serves: bool = False,
    reports: bool = False,
) -> None:
    """`model`: must be configured. `agents`, `channels`: their settings must be valid. `any_agent`: there must be one.
    `hooks`: each must have a secret.

    `reports`: it says itself what is wrong with them, unless the settings cannot be read. Raises Exit.
    """
    from bot.logs import log_failure, set_up_logging

    if serves:  # Even what is wrong with the settings is said in the log.
        set_up_logging("info", console.LOG)

    def ready() -> Coroutine[Any, Any, None]:
        from bot.setup import load

        checks = _checks(agents=agents, any_agent=any_agent, model=model, channels=channels, hooks=hooks)
        unread = _checks(agents=reports, any_agent=False, model=False, channels=False, hooks=False)
        setup = load(*checks, if_wrong=tuple(unread))
        level = setup.settings.bot_log_level
        set_up_logging("error" if level == "info" and not serves else level, console.LOG)
        return work(setup)

    _run(ready, log_failure if serves else None)


def _checks(
    *, agents: bool, any_agent: bool, model: bool, channels: bool, hooks: bool
) -> Iterator[Callable[[Setup], list[str]]]:
    if agents or any_agent or model:
        from bot.app import agent_problems, model_problems, roster_problems

        yield from ([agent_problems] if any_agent else [])
        yield from ([roster_problems] if agents else [])
        yield from ([model_problems] if model else [])
    if channels:
        yield lambda setup: setup.settings.channel_problems()
    if hooks:
        from bot.hook_secrets import secrets_missing

        yield secrets_missing


def _run(ready: Callable[[], Coroutine[Any, Any, None]], log_failure: Callable[[str], None] | None = None) -> None:
    say = log_failure or console.say
    try:
        uvloop.run(ready())
        sys.stdout.flush()
        return
    except typer.Exit:
        raise
    except Explained as failure:
        say(str(failure))
    except (KeyboardInterrupt, asyncio.CancelledError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # A second one would only cause a traceback.
        raise typer.Exit(130) from None
    except OSError as error:
        if log_failure is None:
            raise  # `exit_code` handles it: most likely stdout is closed.
        say(exits.in_words(error))
    except Exception as error:
        where = "BOT_LOG_LEVEL=debug shows where"
        if _in_debug():
            say(traceback.format_exc())
            where = "see above"
        say(f"A bug in this program ({where}): {type(error).__name__}: {one_line(str(error), 300)}")
    raise typer.Exit(1)


def _in_debug() -> bool:
    """Also where the team file could not be read."""
    with contextlib.suppress(Exception):  # Reading the environment may be what failed.
        return environment().settings.bot_log_level == "debug"
    return False
