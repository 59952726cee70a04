"""Fixtures that the tests share.

template       the folder of a demo site, for copying: `Bot.with_site(template)`
clock          a Clock that stands still until `clock.advance(seconds)`
redis_url      a real server, the same one for the whole run; take a prefix of your own (`servers.unique_prefix`)
redis_store    a RedisStore on it, under a prefix that no other test has
cluster_url    the same in cluster mode, where a script over several slots is refused
server         a server for this test alone, durable at every append: `kill()` it, `start()` it again
backend        memory, Redis and Redis in cluster mode, one after the other (`servers.Backend`)
store          a store on that backend
"""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import structlog

import bot.setup  # noqa: F401 - it registers the grammars of places, whichever test runs first
from store.base import Store
from store.redis.store import RedisStore
from tests import matrices, order, signals
from tests.fakes.clock import Clock
from tests.fakes.servers import Backend, ClusterServer, MemoryBackend, RedisBackend, Server, opened_store, unique_prefix
from tests.shop import Site

# Thousands of tests live until the end: to look through them for garbage, again and again, takes a tenth of a run.
gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With NOTHING_SKIPPED=1, as in CI, a test that is skipped has failed."""
    report = yield
    if report.skipped and os.environ.get("NOTHING_SKIPPED"):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr}"
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    matrices.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    matrices.set_up(config)
    signals.hand_on_none_that_is_ignored()
    # By itself it prints a traceback in colours with every local, for a second each.
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(matrices.summary(config))


@pytest.hookimpl(trylast=True)  # after hypothesis has marked its own
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left = matrices.left_out(items, config)
    config.hook.pytest_deselected(items=[item for item in items if item in left])
    kept = [item for item in items if item not in left]
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    items[:] = order.dealt(kept, workers) if workers > 1 else kept


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = Site(tmp_path_factory.mktemp("template") / "site")
    site.build()
    return site.home


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[Server]:
    yield from _running(Server())


@pytest.fixture(scope="session")
def _cluster_server() -> Iterator[Server]:
    yield from _running(ClusterServer())


@pytest.fixture(scope="session")
def redis_url(_redis_server: Server) -> str:
    return _redis_server.url


@pytest.fixture(scope="session")
def cluster_url(_cluster_server: Server) -> str:
    return _cluster_server.url


@pytest.fixture
def server() -> Iterator[Server]:
    yield from _running(Server(appendfsync="always"))


@pytest.fixture
async def redis_store(redis_url: str) -> AsyncIterator[RedisStore]:
    async with opened_store(redis_url, unique_prefix()) as store:
        yield store


@pytest.fixture(params=["memory", "redis", "cluster"])
async def backend(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Backend]:
    backend: Backend
    match request.param:
        case "memory":
            backend = MemoryBackend(clock)
        case kind:
            backend = RedisBackend(request.getfixturevalue(f"{kind}_url"))
    try:
        yield backend
    finally:
        await backend.aclose()


@pytest.fixture
async def store(backend: Backend) -> Store:
    return await backend.open()
