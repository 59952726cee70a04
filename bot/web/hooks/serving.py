"""Makes the hooks of the team file ready to be served, and finishes now and then what a dead process has begun.

It is for the listeners and for `bot hooks` alike. It opens no listener.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import structlog

from bot.app import App
from bot.hook_secrets import hook_secrets
from bot.setup import Setup
from bot.team.hooks import kind_of
from bot.team.problems import SettingsError
from bot.web.hooks.taking import Hook, Hooks, Taker
from store.base import StoreUnavailable

if TYPE_CHECKING:
    from bot.door.deliveries import DeploymentRequests

FINISH_EVERY_SECONDS = 60.0

log = structlog.get_logger(__name__)


def hooks_of(bot: App, takers: Sequence[Taker] = (), *, with_secrets: bool = True) -> Hooks:
    """Raises SettingsError where a secret is missing. Without secrets, they only say what they would do."""
    secrets, problems = hook_secrets(bot.setup.settings, bot.setup.team.hooks)
    if problems and with_secrets:
        raise SettingsError(problems)
    found = {
        name: Hook(name, table, kind, secrets.get(name, ()))
        for name, table in bot.setup.team.hooks.items()
        if (kind := kind_of(name, table))
    }
    agent = bot.routes.of_place("")
    door = _door(bot)
    return Hooks(
        bot.store,
        bot.inbox,
        found,
        agent=agent,
        now=bot.now,
        takers=(*takers, *door),
        listeners=door,
    )


def _door(bot: App) -> tuple[DeploymentRequests, ...]:
    """Who takes what GitHub asks for its environments. Empty: none is named."""
    if not (environments := bot.setup.team.github.environments):
        return ()
    from bot.door.deliveries import requests_of  # it needs the libraries for GitHub

    return (requests_of(bot.store, bot.inbox, bot.now, environments),)


def url_of(setup: Setup, name: str) -> str:
    """Where a service posts to. Without BOT_PUBLIC_URL, only the path is known."""
    return f"{setup.settings.bot_public_url}/hooks/{name}"


@contextlib.asynccontextmanager
async def finishing(hooks: Hooks) -> AsyncIterator[None]:
    """In the background, from now on."""
    task = asyncio.create_task(_finish(hooks), name="hooks")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _finish(hooks: Hooks) -> None:
    while True:
        for hook in hooks.by_name.values():
            try:
                if finished := await hooks.finish(hook):
                    log.warning("hook_deliveries_finished", hook=hook.name, count=finished)
            except StoreUnavailable as error:
                log.warning("store_unavailable", hook=hook.name, error=str(error))
            except Exception:
                # A bug of ours. The other hooks go on, and this is tried again.
                log.exception("hook_failed", hook=hook.name)
        await asyncio.sleep(FINISH_EVERY_SECONDS)
