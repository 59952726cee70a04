"""A worker that stands still for longer than its lease, and a store that is away for longer than one: real processes.

What has begun ends, and its outcome lands. What has not begun does not begin any more once somebody else may have been
asked about it. A ledger outside of the bot judges.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from store.redis.shorthand import shortened
from store.thread import Thread
from tests.fakes.servers import TcpServer
from tests.fakes.wire import Wire
from tests.matrices import matrix
from tests.patience import eventually
from tests.stories.yard import Yard, pass_time, until, until_status, working, yard_at

pytestmark = pytest.mark.slow

LEASE_SECONDS = 3
LONG_LEASE_SECONDS = 10
"""Where two workers are to renew in time, however slow the machine is."""
HOST = re.escape(socket.gethostname())
START = re.escape(shortened(b'{"v":1,"kind":"tool_started"').decode())
"""As it crosses the wire."""


@pytest.fixture
def server() -> Iterator[TcpServer]:
    server = TcpServer(appendfsync="always")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
async def wire(server: TcpServer) -> AsyncIterator[Wire]:
    """From one worker to the store. The people, and another worker, go there directly."""
    async with Wire(server.port) as wire:
        yield wire


@pytest.fixture
async def yard(tmp_path: Path, server: TcpServer) -> AsyncIterator[Yard]:
    async with yard_at(tmp_path, server.url) as yard:
        yard.bot.environment["BOT_LEASE_SECONDS"] = str(LEASE_SECONDS)
        yield yard


def url_of(wire: Wire) -> str:
    return f"redis://127.0.0.1:{wire.port}"


@contextlib.asynccontextmanager
async def away(server: TcpServer, wire: Wire, how: str) -> AsyncIterator[None]:
    match how:
        case "cut":
            wire.refuse()
            wire.cut()
            yield
            wire.accept()
        case "frozen":
            wire.freeze()
            yield
            wire.thaw()
        case "killed":
            server.kill()
            yield
            server.start()
        case "hung":
            with server.hung():
                yield


async def asked(yard: Yard, server: TcpServer) -> str:
    thread_id = await yard.asks()
    await until_status(server, thread_id, "waiting_for_approval")
    return thread_id


def kinds(thread: Thread) -> list[str]:
    return [event.kind for event in thread.events]


async def ends_well(yard: Yard, server: TcpServer, thread_id: str) -> Thread:
    thread = await until_status(server, thread_id, "done")
    assert yard.shipped_once, yard.ledger
    return thread


# A worker that stands still


async def test_a_worker_that_wakes_after_people_were_asked_begins_nothing(
    yard: Yard, server: TcpServer, wire: Wire
) -> None:
    """It is stopped as its start is on its way, and the reply waits for it until it goes on."""
    yard.let_go()
    async with yard.bot.started("run", "worker", REDIS_URL=url_of(wire)) as stopped:
        await working(stopped)
        thread_id = await asked(yard, server)
        async with wire.hold(START) as gate:
            await yard.approves(thread_id)
            await gate.reached()
            stopped.signal(signal.SIGSTOP)
        await until(server, thread_id, lambda thread: "tool_started" in kinds(thread), "the start")
        async with yard.bot.started("run", "worker") as other:
            await working(other)
            await until_status(server, thread_id, "waiting_for_answer")
            told = await yard.shown(thread_id)
            silence = re.search(
                rf" on {HOST}, nothing has been heard of it for (\d+) s, and it may still be going", told
            )
            assert silence, told
            assert int(silence[1]) >= LEASE_SECONDS
            assert "was stopped" not in told
            (await yard.bot.run("answer", thread_id, "no")).succeeded()
            # The model looks, and proposes it again.
            await until_status(server, thread_id, "waiting_for_approval")
            stopped.signal(signal.SIGCONT)
            await until(server, thread_id, lambda thread: "tool_not_begun" in kinds(thread), "that it was not begun")
            assert yard.ledger == []
            await yard.approves(thread_id)
            await ends_well(yard, server, thread_id)


async def test_a_start_that_arrives_after_another_worker_began_is_refused(
    yard: Yard, server: TcpServer, wire: Wire
) -> None:
    """It is stopped as well, and its start is on its way for all that time."""
    async with yard.bot.started("run", "worker", REDIS_URL=url_of(wire)) as stopped:
        await working(stopped)
        thread_id = await asked(yard, server)
        async with wire.hold(START) as gate:
            await yard.approves(thread_id)
            await gate.reached()
            stopped.signal(signal.SIGSTOP)
            async with yard.bot.started("run", "worker") as other:
                await working(other)
                await eventually(yard.began, "the command")
                gate.release()
                stopped.signal(signal.SIGCONT)
                await stopped.told("store_unavailable")
                yard.let_go()
                thread = await ends_well(yard, server, thread_id)
                assert kinds(thread).count("tool_started") == 1


# A store that is away


@matrix("how", ["cut", "frozen", "killed", "hung"], sample=2)
async def test_what_runs_while_the_store_is_away_goes_on_and_its_outcome_lands(
    yard: Yard, server: TcpServer, wire: Wire, how: str
) -> None:
    async with yard.bot.started("run", "worker", REDIS_URL=url_of(wire)) as worker:
        await working(worker)
        thread_id = await asked(yard, server)
        await yard.approves(thread_id)
        await eventually(yard.began, "the command")
        async with away(server, wire, how):
            await worker.told("store_unavailable")
            await pass_time(2 * LEASE_SECONDS)
            yard.let_go()
            await worker.told("fact_waits_for_store")
        thread = await ends_well(yard, server, thread_id)
        assert "tool_interrupted" not in kinds(thread)
        assert "Did it happen?" not in await yard.shown(thread_id)


async def test_when_the_store_is_back_another_worker_leaves_time_to_the_one_that_holds_the_thread(
    yard: Yard, server: TcpServer, wire: Wire
) -> None:
    yard.bot.environment |= {"REDIS_URL": url_of(wire), "BOT_LEASE_SECONDS": str(LONG_LEASE_SECONDS)}
    async with yard.bot.started("run", "worker") as holder:
        await working(holder)
        thread_id = await asked(yard, server)
        await yard.approves(thread_id)
        await eventually(yard.began, "the command")
        async with yard.bot.started("run", "worker") as other:
            await working(other)
            async with away(server, wire, "cut"):
                for worker in (holder, other):
                    await worker.told("store_unavailable")
                await pass_time(LONG_LEASE_SECONDS + 1)
                holder.signal(signal.SIGSTOP)
            await pass_time(2)  # The other is there first.
            holder.signal(signal.SIGCONT)
            await pass_time(LONG_LEASE_SECONDS + 1)  # The other claims what it may by now.
            yard.let_go()
            thread = await ends_well(yard, server, thread_id)
            assert "tool_interrupted" not in kinds(thread)


async def test_a_worker_that_is_cut_off_alone_lets_its_call_end_and_closes_the_question(
    yard: Yard, server: TcpServer, wire: Wire
) -> None:
    """Another worker takes the thread over, as it must, and asks people. Nobody has to answer."""
    async with yard.bot.started("run", "worker", REDIS_URL=url_of(wire)) as holder:
        await working(holder)
        thread_id = await asked(yard, server)
        await yard.approves(thread_id)
        await eventually(yard.began, "the command")
        async with yard.bot.started("run", "worker") as other:
            await working(other)
            async with away(server, wire, "cut"):
                await until_status(server, thread_id, "waiting_for_answer")
                yard.let_go()
                await holder.told("fact_waits_for_store")
            thread = await ends_well(yard, server, thread_id)
            assert kinds(thread).count("tool_interrupted") == kinds(thread).count("tool_finished") == 1
