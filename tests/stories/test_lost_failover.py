"""A failover to a replica that lacks the last writes: real servers, real workers, and a ledger outside of the bot.

What the workers remember is written back before anybody acts on the log that lost it, and people are told. What a
worker that died would have remembered is confirmed by the replica first, where DURABLE_BEFORE_ACTING says so.
"""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.hold import RETURN_LEASES
from store.base import NotReplicated
from store.events import EventsLost, ToolFinished, ToolInterrupted, ToolStarted
from store.redis.store import RedisStore
from store.thread import Thread
from tests.fakes.servers import Server
from tests.matrices import matrix
from tests.patience import eventually
from tests.stories.yard import TOLD_OF_LOSS, Pair, Yard, pair, pass_time, until, until_status, working, yard_at
from tests.telling.story import message, opened

pytestmark = pytest.mark.slow

LEASE_SECONDS = 3
LONG_LEASE_SECONDS = 10
"""Where one worker has to be in time for another, however slow the machine is."""


@pytest.fixture
async def servers() -> AsyncIterator[Pair]:
    async with pair() as servers:
        yield servers


@pytest.fixture
async def yard(tmp_path: Path, servers: Pair) -> AsyncIterator[Yard]:
    async with yard_at(tmp_path, servers.url) as yard:
        yard.bot.environment["BOT_LEASE_SECONDS"] = str(LEASE_SECONDS)
        yield yard


async def asked(yard: Yard, servers: Pair) -> str:
    """The thread waits for approval, on both servers; from now on the replica learns nothing."""
    thread_id = await yard.asks()
    await until_status(servers.primary, thread_id, "waiting_for_approval")
    servers.replicate()
    servers.cut_replication()
    return thread_id


def has_lost(thread: Thread) -> bool:
    return any(isinstance(event, EventsLost) for event in thread.events)


def endings(thread: Thread) -> int:
    return sum(isinstance(event, ToolFinished) for event in thread.events)


async def ends_well(yard: Yard, servers: Pair, thread_id: str) -> None:
    """People were told and can go on, and the call ran once."""
    assert TOLD_OF_LOSS in await yard.shown(thread_id)
    refused = await yard.bot.approve(thread_id)
    assert refused.code != 0, refused
    await yard.says(thread_id, "What now?")
    thread = await until_status(servers.replica, thread_id, "done")
    assert yard.shipped_once, yard.ledger
    assert endings(thread) == 1
    assert not any(isinstance(event, ToolInterrupted) for event in thread.events)


async def test_what_a_worker_did_is_written_back_and_an_approval_has_no_effect_any_more(
    yard: Yard, servers: Pair
) -> None:
    yard.let_go()
    async with yard.bot.started("run", "worker") as worker:
        await working(worker)
        thread_id = await asked(yard, servers)
        await yard.approves(thread_id)
        await until_status(servers.primary, thread_id, "done")
        servers.fail_over()
        await worker.told("another_server")
        await worker.told("events_lost")
        await until(servers.replica, thread_id, has_lost, "the loss in the log")
        await ends_well(yard, servers, thread_id)


async def test_an_approval_of_the_log_that_lost_it_runs_nothing(yard: Yard, servers: Pair) -> None:
    """It counts: nobody there knows yet. The worker reaches the other server while the thread is due."""
    yard.let_go()
    async with yard.bot.started("run", "worker") as worker:
        await working(worker)
        thread_id = await asked(yard, servers)
        await yard.approves(thread_id)
        await until_status(servers.primary, thread_id, "done")
        worker.signal(signal.SIGSTOP)
        servers.fail_over()
        await yard.approves(thread_id)
        worker.signal(signal.SIGCONT)
        await until(servers.replica, thread_id, has_lost, "the loss in the log")
        await ends_well(yard, servers, thread_id)


async def test_another_worker_lets_the_one_that_remembers_write_first(yard: Yard, servers: Pair) -> None:
    yard.bot.environment["BOT_LEASE_SECONDS"] = str(LONG_LEASE_SECONDS)
    yard.let_go()
    async with yard.bot.started("run", "worker") as knows:
        await working(knows)
        thread_id = await asked(yard, servers)
        await yard.approves(thread_id)
        await until_status(servers.primary, thread_id, "done")
        async with yard.bot.started("run", "worker") as other:
            await working(other)
            for worker in (knows, other):
                worker.signal(signal.SIGSTOP)
            servers.fail_over()
            await yard.approves(thread_id)
            other.signal(signal.SIGCONT)
            await other.told("another_server")
            knows.signal(signal.SIGCONT)
            await until(servers.replica, thread_id, has_lost, "the loss in the log")
            await ends_well(yard, servers, thread_id)


async def test_a_worker_that_starts_after_the_failover_lets_the_one_that_remembers_write_first(
    yard: Yard, servers: Pair
) -> None:
    yard.bot.environment["BOT_LEASE_SECONDS"] = str(LONG_LEASE_SECONDS)
    yard.let_go()
    async with yard.bot.started("run", "worker") as knows:
        await working(knows)
        thread_id = await asked(yard, servers)
        await yard.approves(thread_id)
        await until_status(servers.primary, thread_id, "done")
        knows.signal(signal.SIGSTOP)
        servers.fail_over()
        await yard.approves(thread_id)
        async with yard.bot.started("run", "worker") as newcomer:
            await newcomer.told("another_server")
            knows.signal(signal.SIGCONT)
            await until(servers.replica, thread_id, has_lost, "the loss in the log")
            await ends_well(yard, servers, thread_id)


@matrix("workers", [1, 2], sample=1)
async def test_what_is_running_goes_on_and_its_outcome_lands(yard: Yard, servers: Pair, workers: int) -> None:
    if workers == 2:
        yard.bot.environment["BOT_LEASE_SECONDS"] = str(LONG_LEASE_SECONDS)
    async with yard.bot.started("run", "worker") as worker:
        await working(worker)
        thread_id = await asked(yard, servers)
        await yard.approves(thread_id)
        await eventually(yard.began, "the command")
        if workers == 1:
            await loses(yard, servers, thread_id)
        else:
            async with yard.bot.started("run", "worker") as other:
                await working(other)
                await loses(yard, servers, thread_id)


async def loses(yard: Yard, servers: Pair, thread_id: str) -> None:
    servers.fail_over()
    thread = await until(servers.replica, thread_id, has_lost, "the loss in the log")
    assert any(isinstance(event, ToolStarted) for event in thread.events)
    refused = await yard.bot.approve(thread_id)
    assert refused.code != 0, refused
    lease_seconds = int(yard.bot.environment["BOT_LEASE_SECONDS"])
    await pass_time(lease_seconds * RETURN_LEASES + LEASE_SECONDS)  # Another worker claims by then what is free.
    yard.let_go()
    await until(servers.replica, thread_id, lambda thread: endings(thread) == 1, "the outcome")
    await ends_well(yard, servers, thread_id)


# What the replica has to confirm first


def not_begun(thread: Thread) -> bool:
    return thread.status == "handed_to_human" and not thread.state.outbox


async def test_nothing_begins_that_no_replica_has_confirmed_and_people_are_told(yard: Yard, servers: Pair) -> None:
    yard.bot.environment["DURABLE_BEFORE_ACTING"] = "replica"
    yard.let_go()
    async with yard.bot.started("run", "worker") as worker:
        await working(worker)
        thread_id = await asked(yard, servers)
        await yard.approves(thread_id)
        thread = await until(servers.primary, thread_id, not_begun, "the hand-over")
        assert yard.ledger == []
        assert [event.kind for event in thread.events].count("tool_not_begun") == 1
        told = await yard.shown(thread_id)
        assert "It was not begun. The replica of Redis at redis://127.0.0.1:" in told
        servers.replicate()
        await yard.says(thread_id, "It is back. Go on.")
        await until_status(servers.primary, thread_id, "done")
        assert yard.shipped_once, yard.ledger


async def test_what_the_replica_confirmed_is_known_after_its_worker_died_with_the_primary(
    yard: Yard, servers: Pair
) -> None:
    """Replication is cut as soon as the command runs: the start is all that the other server knows."""
    yard.bot.environment["DURABLE_BEFORE_ACTING"] = "replica"
    async with yard.bot.started("run", "worker") as worker:
        await working(worker)
        thread_id = await yard.asks()
        await until_status(servers.primary, thread_id, "waiting_for_approval")
        await yard.approves(thread_id)
        await eventually(yard.began, "the command")
        servers.cut_replication()
        yard.let_go()
        await until_status(servers.primary, thread_id, "done")
        worker.kill()
        await worker.ends()
    servers.fail_over()
    async with yard.bot.started("run", "worker", DURABLE_BEFORE_ACTING="") as worker:
        await until_status(servers.replica, thread_id, "waiting_for_answer")
        told = await yard.shown(thread_id)
        assert re.search(r"nothing has been heard of it for \d+ s, and it may still be going on there\.", told)
        (await yard.bot.run("answer", thread_id, "yes")).succeeded()
        await until_status(servers.replica, thread_id, "done")
        assert yard.shipped_once, yard.ledger


async def test_the_disk_confirms_on_the_server_that_ships(tmp_path: Path, server: Server) -> None:
    async with yard_at(tmp_path, server.url) as yard:
        yard.bot.environment["DURABLE_BEFORE_ACTING"] = "disk"
        yard.let_go()
        async with yard.bot.started("run", "worker") as worker:
            await working(worker)
            thread_id = await yard.asks()
            await until_status(server, thread_id, "waiting_for_approval")
            await yard.approves(thread_id)
            await until_status(server, thread_id, "done")
            assert yard.shipped_once, yard.ledger
            assert "not_confirmed" not in worker.err
            worker.signal(signal.SIGTERM)
            assert await worker.ends() == 0


async def test_a_repetition_is_confirmed_no_sooner_than_what_it_repeats(servers: Pair) -> None:
    """WAIT waits for what its own connection wrote: one that repeats an append has to write something."""
    url = servers.primary.url
    first = await RedisStore.open(url, confirms="replica", command_seconds=2)
    second = await RedisStore.open(url, confirms="replica", command_seconds=2)
    try:
        opened_there = await first.append(Thread("t1"), opened(), confirm=True)
        with servers.replica.hung():
            for store in (first, second, second):
                with pytest.raises(NotReplicated):
                    await store.append(opened_there, message(), if_unmoved=True, confirm=True)
        assert (await second.append(opened_there, message(), if_unmoved=True, confirm=True)).version == 2
    finally:
        await first.aclose()
        await second.aclose()
