"""Opens the store that the settings name: the whole of it, or what a list needs.

It reads no team file. What only a whole store needs is imported when one is opened, because the events take as long to
import as everything that a list needs.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bot.settings import Settings
from store.redis.connection import COMMAND_SECONDS, Connection
from store.redis.index import RedisIndex
from store.redis.keys import Keys

if TYPE_CHECKING:
    from store.base import NoteStore, Store
    from store.redis.facts import ServerFacts
    from store.redis.store import RedisStore


@contextlib.asynccontextmanager
async def store_of(settings: Settings, *, stays: bool = True) -> AsyncIterator[RedisStore]:
    """The configured store, or the embedded server. Raises StoreUnavailable, EmbeddedRedisError.

    After events were cut off its end, people are told before anybody gets it. `stays`: an embedded server that is
    killed is restarted. A command that only reads need not do that.
    """
    from store.redis.store import RedisStore

    async with connected(settings, stays=stays) as connection:
        store = RedisStore(connection, confirms=settings.durable_before_acting)
        try:
            if not settings.redis_url:
                await _tell_of_losses(store, settings.bot_home)
            yield store
        finally:
            await store.aclose()


async def _tell_of_losses(store: RedisStore, home: Path) -> None:
    from store.embedded import losses

    if cut := losses.marked(home):
        from bot.lost_events import hand_over

        await hand_over(store, cut, datetime.fromtimestamp(await store.time(), UTC))
        losses.unmark(home)


async def facts_of(store: Store) -> ServerFacts | None:
    """How its server is set up; None: it has none. Raises StoreUnavailable."""
    from store.redis.store import RedisStore

    return await store.facts() if isinstance(store, RedisStore) else None


@contextlib.asynccontextmanager
async def index_of(settings: Settings) -> AsyncIterator[RedisIndex]:
    """The lists of the configured store. Raises StoreUnavailable, EmbeddedRedisError."""
    async with connected(settings, stays=False) as connection:
        yield RedisIndex(connection, Keys())


@contextlib.asynccontextmanager
async def connected(settings: Settings, *, stays: bool = True) -> AsyncIterator[Connection]:
    """A connection to the configured server, or to the embedded one. Raises StoreUnavailable, EmbeddedRedisError."""
    async with contextlib.AsyncExitStack() as stack:
        # A lease outlives any command: a reply that comes late is no lost lease.
        seconds = min(COMMAND_SECONDS, settings.bot_lease_seconds * 2 / 3)
        if settings.redis_url:
            connection = await Connection.open(settings.redis_url, seconds)
        else:
            from store.embedded.server import why_down

            url = await stack.enter_async_context(_embedded(settings, stays))
            connection = await Connection.open(url, seconds, why_away=functools.partial(why_down, settings.bot_home))
        stack.push_async_callback(connection.aclose)
        yield connection


async def secret_keys(settings: Settings, store: NoteStore) -> Sequence[str]:
    """The keys of the settings, else that of the embedded store. The first one signs and encrypts, all verify."""
    if settings.secret_keys:
        return settings.secret_keys
    from store.sealed import kept_secret

    return (await kept_secret(store),)


def _embedded(settings: Settings, stays: bool) -> contextlib.AbstractAsyncContextManager[str]:
    if not stays:
        from store.embedded.server import visited

        return visited(settings.bot_home)
    from store.embedded.keeper import embedded

    return embedded(settings.bot_home)
