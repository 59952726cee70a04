"""The configuration, and the store that it names: all that a command needs which only reads.

It reads the environment and the team file, and reports all problems of them together. It builds no agent and no
channel (`bot.app` does), so whoever imports it imports no library of a channel or a model.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from bot.settings import Settings, environment
from bot.team.file import Team, inspect_team, team_path
from bot.team.problems import SettingsError
from channels import places, terminal
from channels.email import place as email_place
from channels.slack import place as slack_place
from channels.webhook import place as webhook_place
from store.embedded.server import embedded, why_down
from store.redis.connection import COMMAND_SECONDS, Connection
from store.redis.store import RedisStore

# Every channel registers the grammar of its places here.
places.register(slack_place.GRAMMAR, email_place.GRAMMAR, webhook_place.GRAMMAR, terminal.GRAMMAR)


@dataclass(frozen=True)
class Setup:
    """The configuration: of the machine (`settings`), and of the team."""

    settings: Settings
    team: Team = field(default_factory=Team)

    @property
    def team_folder(self) -> Path:
        """The folder of the team file, which may hold `agents/`."""
        return team_path(self.settings.bot_config).parent


def load(*checks: Callable[[Setup], list[str]]) -> Setup:
    """The setup. Raises SettingsError with all problems at once, including those that `checks` find."""
    settings, problems, wrong = environment()
    team = Team()
    try:
        if "bot_config" not in wrong:
            team, found = inspect_team(settings.bot_config)
            problems += found
    except SettingsError as error:
        problems += error.problems
    setup = Setup(settings, team)
    for check in checks:
        problems += check(setup)
    if problems:
        raise SettingsError(problems)
    return setup


@contextlib.asynccontextmanager
async def store_of(settings: Settings) -> AsyncIterator[RedisStore]:
    """The configured store, or the embedded server. Raises StoreUnavailable, EmbeddedRedisError."""
    async with connected(settings) as connection:
        store = RedisStore(connection, confirms=settings.durable_before_acting)
        try:
            yield store
        finally:
            await store.aclose()


@contextlib.asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Connection]:
    """A connection to the configured server, or to the embedded one. Raises StoreUnavailable, EmbeddedRedisError."""
    async with contextlib.AsyncExitStack() as stack:
        # A lease outlives any command: a reply that comes late is no lost lease.
        seconds = min(COMMAND_SECONDS, settings.bot_lease_seconds * 2 / 3)
        if settings.redis_url:
            connection = await Connection.open(settings.redis_url, seconds)
        else:
            url = await stack.enter_async_context(embedded(settings.bot_home))
            connection = await Connection.open(url, seconds, why_away=functools.partial(why_down, settings.bot_home))
        stack.push_async_callback(connection.aclose)
        yield connection
