"""`bot run` in the hands of whoever operates it: signals, kills, several at once, a store that goes and comes."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.model_server import ModelServer, Reply, step
from tests.fakes.servers import LoadingServer, Server
from tests.fakes.wrong_clock import off_by
from tests.patience import PATIENCE_SECONDS
from tests.shop import MERGED
from tests.stories.program import BOT, LOOK_SECONDS, Bot, Running

pytestmark = pytest.mark.slow

DEPLOYING = {"intent": "deploy", "component": "backend", "environment": "staging", "revision": MERGED}
"""After it, code runs the end-to-end tests."""
SHOW_SECONDS = 0.15
"""Between two looks that take a process each."""
PROMPTLY_SECONDS = 5.0
"""For ending: what a busy machine may need beyond the grace."""

_SLOW_CHECK = """#!/bin/sh
touch begun
while [ ! -e go ]; do sleep 0.05; done
echo "checked at leisure"
"""


def done(message: str) -> dict[str, Any]:
    return {"intent": "done_for_now", "message": message}


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
def bot(tmp_path: Path, template: Path, model: ModelServer) -> Bot:
    return Bot(tmp_path).with_site(template).with_model(model)


@pytest.fixture
def slow(bot: Bot) -> Path:
    """The end-to-end tests of staging go on until `go` is there; `begun` says that they run."""
    script = bot.site.home / "end-to-end"
    script.write_text(_SLOW_CHECK)
    return bot.site.repository


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not happened():  # noqa: ASYNC110 - other processes bring it about
            await asyncio.sleep(LOOK_SECONDS)


async def status_is(bot: Bot, thread: str, status: str) -> dict[str, Any]:
    """Returns the thread when it has come to that."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            shown: dict[str, Any] = (await bot.run("show", thread, "--json")).succeeded().document
            if shown["status"] == status:
                return shown
            await asyncio.sleep(SHOW_SECONDS)


async def working(bot: Bot, *workers: Running) -> None:
    for worker in workers:
        await worker.told("Working")


async def opened(bot: Bot, text: str = "hello") -> str:
    return (await bot.run("send", text)).succeeded().out.strip()


async def test_an_idle_worker_ends_at_once(bot: Bot) -> None:
    async with bot.started("run") as worker:
        await working(bot, worker)
        worker.signal(signal.SIGTERM)
        assert await worker.ends(PROMPTLY_SECONDS) == 0
        assert worker.out == ""
        first, last = worker.texts
        assert first.startswith("Working for deploy, rollback, with scripted, on the embedded Redis under .bot")
        assert last == "Stopped."
    await bot.nothing_is_left()


async def test_a_worker_that_a_script_started_in_the_background_ends_as_well(bot: Bot) -> None:
    """From nothing, and with SIGINT ignored, as a shell that is not interactive starts it."""
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", 'trap "" INT; exec "$0" run worker', BOT, cwd=bot.folder, env=bot.env(), stdout=PIPE, stderr=PIPE
    )
    assert process.stderr
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert b"Working" in await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert [json.loads(line)["text"] for line in err.splitlines()] == [
        "Stopping, within 20 s. Ctrl-C again aborts the work in progress.",
        "Stopped.",
    ]
    await bot.nothing_is_left()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_a_worker_has_begun_it_finishes_and_the_rest_is_for_another(
    bot: Bot, slow: Path, model: ModelServer, number: signal.Signals
) -> None:
    model.script(DEPLOYING, done("Deployed."))
    async with bot.kept():
        thread = await opened(bot)
        async with bot.started("run") as first:
            await until((slow / "begun").exists)
            first.signal(number)
            late = await opened(bot, "too late for the first")
            (slow / "go").touch()
            assert await first.ends() == 0
        events = (await bot.run("show", thread, "--json")).document["events"]
        assert events[-1]["kind"] == "tool_finished"
        assert "checked at leisure" in events[-1]["result"]["output"]
        assert (await bot.run("show", late, "--json")).document["version"] == 2, "it took no new work"
        model.script(done("And you."))
        async with bot.started("run") as second:
            await status_is(bot, thread, "done")
            await status_is(bot, late, "done")
            second.signal(signal.SIGTERM)
            assert await second.ends() == 0
    started = [event["id"] for event in events if event["kind"] == "tool_started" or event.get("begun")]
    assert len(started) == len(set(started))
    (tests,) = [event["step"] for event in events if event.get("intent") == "run_end_to_end_tests"]
    assert len([one for one in started if one.startswith(f"{tests}/")]) == 1, "the tests once"


async def test_what_takes_longer_than_the_grace_is_handed_back(bot: Bot, model: ModelServer) -> None:
    never = asyncio.Event()
    model.script(step(done("never"), after=never), done("At last."))
    async with bot.kept():
        thread = await opened(bot)
        async with bot.started("run", BOT_GRACE_SECONDS="0.5", BOT_LEASE_SECONDS="1") as first:
            await model.arrived(1)
            began = time.monotonic()
            first.signal(signal.SIGTERM)
            assert await first.ends(0.5 + PROMPTLY_SECONDS) == 0
            assert time.monotonic() - began >= 0.5
            assert "Traceback" not in first.err
        async with bot.started("run", BOT_LEASE_SECONDS="1"):
            await status_is(bot, thread, "done")


async def test_a_second_ctrl_c_breaks_off(bot: Bot, model: ModelServer) -> None:
    model.script(step(done("never"), after=asyncio.Event()))
    await opened(bot)
    async with bot.terminal("run") as owner:
        await owner.sees("Working")
        await model.arrived(1)
        owner.presses("C")
        await owner.sees("Stopping, within 20 s. Ctrl-C again aborts the work in progress")
        began = time.monotonic()
        while not owner.process.has_ended and time.monotonic() < began + PATIENCE_SECONDS:
            owner.presses("C")
            await asyncio.sleep(0.2)
        assert await owner.ends() == 130
        assert time.monotonic() - began < 1.0 + PROMPTLY_SECONDS
    assert "Traceback" not in owner.screen
    await bot.nothing_is_left()


async def test_two_workers_and_commands_beside_them_share_the_embedded_server(bot: Bot, model: ModelServer) -> None:
    model.script(*(done(f"Done {number}.") for number in range(4)))
    async with bot.started("run") as one, bot.started("run") as two:
        await working(bot, one, two)
        threads = [done.succeeded().out.strip() for done in await bot.all(*(("send", f"n{n}") for n in range(4)))]
        for thread in threads:
            shown = await status_is(bot, thread, "done")
            assert [event["kind"] for event in shown["events"]].count("step_chosen") == 2
        assert len(model.requests) == 4, "nobody was asked twice"
        one.signal(signal.SIGTERM)
        assert await one.ends(PROMPTLY_SECONDS) == 0
        model.script(done("Still here."))
        (await bot.run("send", "--thread", threads[0], "are you there?")).succeeded()
        await status_is(bot, threads[0], "done")
        two.signal(signal.SIGTERM)
        assert await two.ends(PROMPTLY_SECONDS) == 0
    await bot.nothing_is_left()


async def test_a_killed_worker_is_followed_by_another(bot: Bot, model: ModelServer) -> None:
    model.script(step(done("never"), after=asyncio.Event()), done("Done by the second."))
    async with bot.started("run", BOT_LEASE_SECONDS="1") as first:
        await working(bot, first)
        thread = await opened(bot)
        await model.arrived(1)
        first.signal(signal.SIGKILL)
        assert await first.ends() == -signal.SIGKILL
    await bot.nothing_is_left()
    async with bot.started("run", BOT_LEASE_SECONDS="1") as second:
        shown = await status_is(bot, thread, "done")
        assert "Done by the second." in str(shown["events"][-2])
        assert len(model.requests) == 2
        second.signal(signal.SIGTERM)
        assert await second.ends(PROMPTLY_SECONDS) == 0
    await bot.nothing_is_left()


async def test_a_worker_outlives_its_store(bot: Bot, model: ModelServer, server: Server) -> None:
    bot.environment["REDIS_URL"] = server.url
    answered = asyncio.Event()
    model.script(step(done("Said while the store was away."), after=answered))
    async with bot.started("run") as worker:
        await working(bot, worker)
        thread = await opened(bot)
        await model.arrived(1)
        server.kill()
        await worker.told("store_unavailable")
        (await bot.run("threads")).failed("Cannot reach Redis")
        answered.set()
        server.start()
        shown = await status_is(bot, thread, "done")
        assert "Said while the store was away." in str(shown["events"])
        worker.signal(signal.SIGTERM)
        assert await worker.ends() == 0
        assert "Traceback" not in worker.err


async def test_a_worker_waits_for_a_store_that_is_away_and_then_works(bot: Bot, model: ModelServer) -> None:
    server = Server(appendfsync="always")
    bot.environment["REDIS_URL"] = server.url
    model.script(done("It came."))
    try:
        async with bot.started("run") as worker:
            await worker.told("waiting_for_store")
            assert f"Cannot reach Redis at {server.url}" in worker.err
            assert "Start it, or correct REDIS_URL." in worker.err
            server.start()
            await working(bot, worker)
            assert worker.err.count("waiting_for_store") == 1
            assert "store_reached" in worker.err
            await status_is(bot, await opened(bot), "done")
            worker.signal(signal.SIGTERM)
            assert await worker.ends(PROMPTLY_SECONDS) == 0
    finally:
        server.stop()


async def test_a_worker_waits_for_a_store_that_loads(bot: Bot) -> None:
    server = LoadingServer()
    try:
        server.start_loading()
        async with bot.started("run", REDIS_URL=server.url) as worker:
            await worker.told("is loading its data and answers nobody until it is done")
            server.finish_loading()
            await working(bot, worker)
            worker.signal(signal.SIGTERM)
            assert await worker.ends(PROMPTLY_SECONDS) == 0
    finally:
        server.stop()


async def test_a_worker_that_waits_for_its_store_ends_at_once(bot: Bot) -> None:
    async with bot.started("run", REDIS_URL="redis://127.0.0.1:1") as worker:
        await worker.told("waiting_for_store")
        worker.signal(signal.SIGTERM)
        assert await worker.ends(PROMPTLY_SECONDS) == 0
        assert worker.texts[-1] == "Stopped."
        assert "Traceback" not in worker.err


async def test_a_worker_whose_store_takes_connections_and_says_nothing_ends_at_once(bot: Bot) -> None:
    asked = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked.set()
        await reader.read()
        writer.close()

    socket = bot.folder / "silent"
    async with (
        await asyncio.start_unix_server(say_nothing, socket),
        bot.started("run", REDIS_URL=f"unix://{socket}") as worker,
    ):
        await asyncio.wait_for(asked.wait(), PATIENCE_SECONDS)
        worker.signal(signal.SIGTERM)
        assert await worker.ends(PROMPTLY_SECONDS) == 0
        assert worker.texts == ["Stopped."]


async def test_a_wrong_password_is_not_waited_for(bot: Bot, server: Server) -> None:
    server.command("CONFIG", "SET", "requirepass", "correct horse")
    (await bot.run("run", REDIS_URL=server.url)).failed("denies access. Correct the user and the password")


async def test_what_the_store_cannot_promise_is_said_at_the_start(bot: Bot, server: Server) -> None:
    async with bot.started("run", REDIS_URL=server.url, DURABLE_BEFORE_ACTING="replica") as worker:
        await working(bot, worker)
        assert worker.texts[0] == (
            "durability: DURABLE_BEFORE_ACTING is replica, and no replica is online: no tool that acts begins."
        )


async def test_what_an_agent_lacks_is_said_while_it_runs(bot: Bot) -> None:
    file = bot.folder / "bot.toml"
    text = file.read_text()
    file.write_text(text.replace(str(bot.site.repository), str(bot.folder / "gone")))
    assert file.read_text() != text
    async with bot.started("run") as worker:
        await working(bot, worker)
        await worker.told(str(bot.folder / "gone"))
        assert any(line["event"] == "setup_warning" and "gone" in line["text"] for line in worker.log)


async def test_a_port_in_use_is_said_with_what_to_do(bot: Bot) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = await bot.run("run", "web", HOST="127.0.0.1", PORT=port)
    assert ended.code == 1
    assert f"PORT {port} is in use: set PORT to another." in ended.err


async def test_times_are_the_stores_and_a_wrong_clock_is_logged_once(
    bot: Bot, model: ModelServer, server: Server, tmp_path: Path
) -> None:
    model.script(done("Whatever the time is."))
    async with off_by(-7200, server.url, tmp_path / "s") as url:
        bot.environment["REDIS_URL"] = url
        before = datetime.now(UTC)
        async with bot.started("run") as worker:
            await working(bot, worker)
            shown = await status_is(bot, await opened(bot), "done")
            worker.signal(signal.SIGTERM)
            assert await worker.ends() == 0
            assert worker.err.count("clock_differs") == 1
            assert "The clock of this machine is 7200.0 s ahead of the clock of Redis. Run NTP" in worker.err
    for event in shown["events"]:
        assert datetime.fromisoformat(event["at"]) < before - timedelta(seconds=7000)


async def test_a_worker_ends_promptly_while_its_store_is_away(bot: Bot, model: ModelServer, server: Server) -> None:
    bot.environment["REDIS_URL"] = server.url
    model.script(Reply(content="never", after=asyncio.Event()))
    async with bot.started("run", BOT_GRACE_SECONDS="1") as worker:
        await working(bot, worker)
        await opened(bot)
        await model.arrived(1)
        server.kill()
        await worker.told("store_unavailable")
        worker.signal(signal.SIGTERM)
        assert await worker.ends(1 + 2 * PROMPTLY_SECONDS) == 0
        assert "Traceback" not in worker.err
    server.start()


async def test_a_log_that_nobody_takes_does_not_stop_the_work(bot: Bot, model: ModelServer, server: Server) -> None:
    bot.environment["REDIS_URL"] = server.url
    trouble = {"status": 400, "message": "trouble", "headers": {"Retry-After": "0.2"}}
    model.script({"error": trouble}, done("Done all the same."))
    process = await asyncio.create_subprocess_exec(
        BOT, "run", cwd=bot.folder, env=bot.env(BOT_LOG_LEVEL="debug"), stdout=PIPE, stderr=PIPE
    )
    assert process.stderr
    async with asyncio.timeout(PATIENCE_SECONDS):
        await process.stderr.readline()
        process._transport.get_pipe_transport(2).close()  # type: ignore[attr-defined]
        server.kill()
        server.start()
        thread = await opened(bot)
        await status_is(bot, thread, "done")
        process.terminate()
        assert await process.wait() == 0
