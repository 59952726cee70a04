"""The embedded server: shared, stopped with its last user, and back with everything acknowledged after any kill.

Everything is real: users are processes, as `bot` is, and are killed by the kernel.
"""
# ruff: noqa: ASYNC240 - the files are local and small, and nothing else runs meanwhile

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio

from store.embedded import supervisor
from store.embedded.keeper import embedded
from store.embedded.server import EmbeddedRedisError
from store.embedded.supervisor import BUSY, LOG_BYTES_MAX
from tests import ROOT
from tests.patience import PATIENCE_SECONDS

USER = """
import asyncio, sys
from pathlib import Path
from store.embedded.keeper import embedded

async def use():
    async with embedded(Path(sys.argv[1])) as url:
        print(url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(use())
"""
"""Uses the server until its stdin ends."""

WRITER = """
import asyncio, itertools, sys
from pathlib import Path
import redis.asyncio
import structlog
from store.embedded.keeper import embedded

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def write():
    async with embedded(Path(sys.argv[1])) as url, redis.asyncio.Redis.from_url(url) as client:
        print(url, flush=True)
        for number in itertools.count():
            while True:
                try:
                    await client.set(f"n{number}", number)
                    break
                except redis.RedisError:
                    await asyncio.sleep(0.01)
            print(number, flush=True)

asyncio.run(write())
"""
"""Prints each number as soon as the server has acknowledged it, and never gives up."""

INTERRUPTED = """
import asyncio, sys
from pathlib import Path
import redis.asyncio
from store.embedded.keeper import embedded

async def wait_for_interrupt():
    async with embedded(Path(sys.argv[1])) as url, redis.asyncio.Redis.from_url(url, retry=None) as client:
        print(url, flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            print(await client.incr("said_goodbye"), flush=True)

try:
    asyncio.run(wait_for_interrupt())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

PARENT = """
import asyncio, subprocess, sys
from pathlib import Path
from store.embedded.keeper import embedded

async def use():
    async with embedded(Path(sys.argv[1])) as url:
        child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, close_fds=False)
        print(child.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(use())
"""
"""Has a child that inherits whatever can be inherited."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Whatever a test leaves behind on its home is a failure of that test."""
    home = tmp_path / "home"
    yield home
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := processes(home)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def commands() -> Iterator[tuple[int, str]]:
    """What runs on this machine, by process id. A zombie has no arguments."""
    if not Path("/proc/self").exists():
        listing = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True)
        for line in listing.stdout.splitlines():
            pid, _, command = line.strip().partition(" ")
            yield int(pid), command
        return
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def processes(home: Path) -> dict[int, str]:
    """The servers and supervisors of a home."""
    ours = {pid: command for pid, command in commands() if str(home) in command}
    return {pid: command for pid, command in ours.items() if "valkey-server" in command}


def servers(home: Path) -> list[int]:
    return [pid for pid, command in processes(home).items() if "embedded/supervisor" not in command]


def supervisors(home: Path) -> list[int]:
    """Their command names the server's binary too."""
    return [pid for pid, command in processes(home).items() if "embedded/supervisor" in command]


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        outcome = condition()
        if outcome if isinstance(outcome, bool) else await outcome:
            return
        await asyncio.sleep(0.02)
    pytest.fail("It did not happen in time.")


@contextlib.asynccontextmanager
async def process(script: str, home: Path) -> AsyncIterator[Process]:
    """In a process group of its own, as a shell starts it. Killed at the end, where it has not ended by itself."""
    command = [sys.executable, "-W", "error", "-c", script, str(home)]
    started = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=PIPE, stdout=PIPE, process_group=0)
    try:
        yield started
    finally:
        await kill(started)


async def said(process: Process) -> str:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
    assert line, "The process ended and said nothing."
    return line.decode().strip()


async def leave(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0


async def kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    assert process.stdin is not None
    process.stdin.close()
    await process.communicate()


async def answers(url: str) -> bool:
    async with redis.asyncio.Redis.from_url(url, retry=None) as client:
        try:
            return bool(await client.ping())
        except redis.RedisError:
            return False


async def keys_after(home: Path) -> set[str]:
    """What the next user finds."""
    async with embedded(home) as url, redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
        return {key async for key in client.scan_iter(count=10_000)}


async def numbers_until(writer: Process, last: int) -> int:
    while (number := int(await said(writer))) < last:
        pass
    return number


def keys_up_to(number: int) -> set[str]:
    return {f"n{n}" for n in range(number + 1)}


async def test_it_starts_when_entered_and_has_stopped_when_left(home: Path) -> None:
    async with embedded(home) as url:
        assert await answers(url)
        assert len(servers(home)) == 1
    assert not await answers(url)
    assert servers(home) == []


def test_a_short_synchronous_command_uses_it_by_asyncio_run(home: Path) -> None:
    async def command() -> int:
        async with embedded(home) as url, redis.asyncio.Redis.from_url(url) as client:
            return int(await client.incr("commands"))

    assert [asyncio.run(command()) for _ in range(3)] == [1, 2, 3]


async def test_leaving_at_once_is_fine(home: Path) -> None:
    async with embedded(home):
        pass
    assert servers(home) == []


async def test_it_is_private_durable_and_has_no_port(home: Path) -> None:
    async with embedded(home) as url, redis.asyncio.Redis.from_url(url) as client:
        assert await client.config_get("port", "appendfsync", "appendonly", "save", "maxmemory-policy") == {
            "port": "0",
            "appendfsync": "always",
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        modes = {path: path.stat().st_mode for path in [home, *home.rglob("*")]}
    assert stat.S_ISSOCK(modes[home / "redis" / "redis.sock"])
    assert [path for path, mode in modes.items() if mode & 0o077] == []


async def test_a_relative_home_is_the_same_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.parent)
    async with embedded(Path(home.name)) as relative, embedded(home) as absolute:
        assert relative == absolute


async def test_a_long_log_is_set_aside(home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "redis.log").touch()
    os.truncate(home / "redis.log", LOG_BYTES_MAX + 1)
    async with embedded(home):
        assert (home / "redis.log").stat().st_size < 10_000
        assert (home / "redis.log.1").stat().st_size > LOG_BYTES_MAX


async def test_an_empty_directory_that_was_open_to_others_is_closed(home: Path) -> None:
    home.mkdir(mode=0o755)
    async with embedded(home):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700


async def test_an_open_directory_with_other_things_in_it_is_refused_and_left_as_it_was(home: Path) -> None:
    home.mkdir()
    home.chmod(0o755)
    (home / "photos").mkdir()
    error = await refusal(home)
    assert "chmod 700" in error
    assert [path.name for path in home.iterdir()] == ["photos"]
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


async def test_a_home_with_a_difficult_name_works() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        difficult = Path(short) / "a 'b' \"c\" 100% #1? ünï\\"
        async with embedded(difficult) as url, redis.asyncio.Redis.from_url(url) as client:
            assert await client.incr("n") == 1
            assert url.endswith("/redis/redis.sock")  # the socket's own path, not a short way to it
        await eventually(lambda: processes(difficult) == {})


async def test_a_home_with_a_long_path_works_and_its_socket_stays_in_it(home: Path) -> None:
    long = home / ("long" * 30) / "home"
    async with embedded(long) as url, redis.asyncio.Redis.from_url(url) as client:
        assert await client.incr("n") == 1
        assert stat.S_ISSOCK((long / "redis" / "redis.sock").stat().st_mode)
        assert len(url) < 60
    assert not short_way(url).is_symlink()
    async with embedded(long) as again:
        assert again == url


async def test_the_short_way_to_a_long_home_is_made_again_after_tmp_was_cleaned(home: Path) -> None:
    long = home / ("long" * 30)
    async with embedded(long) as url:
        short_way(url).unlink()
        async with embedded(long), redis.asyncio.Redis.from_url(url) as client:
            assert await client.ping()
            assert len(servers(home)) == 1


async def test_a_link_for_a_long_home_that_belongs_to_somebody_else_is_refused(home: Path) -> None:
    long = home / ("long" * 30)
    async with embedded(long) as url:
        pass
    short_way(url).symlink_to(home)
    try:
        assert "it belongs to somebody else" in await refusal(long)
    finally:
        short_way(url).unlink()


def short_way(url: str) -> Path:
    return Path(url.removeprefix("unix://")).parent


async def refusal(home: Path, start_seconds_max: float = PATIENCE_SECONDS) -> str:
    with pytest.raises(EmbeddedRedisError) as caught:
        async with embedded(home, start_seconds_max=start_seconds_max):
            pytest.fail("It started.")
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


async def test_a_file_as_home_is_named(home: Path) -> None:
    home.write_text("")
    error = await refusal(home)
    assert repr(str(home)) in error
    assert "is not a directory" in error


async def test_a_home_below_a_file_is_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = await refusal(tmp_path / "file" / "home")
    assert "Not a directory" in error
    assert "BOT_HOME" in error


async def test_a_home_that_cannot_be_written_to_is_named() -> None:
    not_even_root_may_write = Path("/System") if sys.platform == "darwin" else Path("/proc")
    error = await refusal(not_even_root_may_write / "home")
    assert error.startswith(f"BOT_HOME '{not_even_root_may_write}/home' cannot be used: ")
    assert error.endswith("Set BOT_HOME to a directory that this user can write to, or REDIS_URL to a server.")


async def test_a_platform_without_the_server_is_told_of_redis_url(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if "site-packages" not in folder])
    error = await refusal(home)
    assert error.startswith("There is no embedded Redis for this platform")
    assert "Set REDIS_URL" in error


async def test_a_server_that_ends_at_its_start_is_reported_by_its_last_words(home: Path) -> None:
    (home / "redis" / "redis.sock").mkdir(parents=True)
    home.chmod(0o700)
    error = await refusal(home)
    assert "Failed opening Unix socket" in error
    assert str(home / "redis.log") in error


async def test_a_damaged_file_is_reported_with_what_to_do(home: Path) -> None:
    async with embedded(home) as url, redis.asyncio.Redis.from_url(url) as client:
        await client.set("n", 1)
    (file,) = home.rglob("*.incr.aof")
    file.write_bytes(b"no command\r\n" + file.read_bytes())
    error = await refusal(home)
    assert "Bad file format" in error
    assert f"restore a backup of {str(home / 'redis')!r}" in error


async def test_a_command_cut_off_at_the_end_of_the_file_loses_only_itself(home: Path) -> None:
    async with embedded(home) as url, redis.asyncio.Redis.from_url(url) as client:
        await client.set("whole", 1)
        await client.set("cut", 1)
    (file,) = home.rglob("*.incr.aof")
    os.truncate(file, file.stat().st_size - 5)
    assert await keys_after(home) == {"whole"}


async def test_a_start_that_takes_too_long_is_given_up_and_leaves_nothing(home: Path) -> None:
    assert "is not ready after 0.001 s" in await refusal(home, start_seconds_max=0.001)
    await eventually(lambda: processes(home) == {})


async def test_a_cancelled_start_leaves_nothing(home: Path) -> None:
    entering = asyncio.create_task(keys_after(home))
    await eventually(lambda: (home / "redis.log").exists())
    entering.cancel()
    await asyncio.wait([entering])
    await eventually(lambda: processes(home) == {})


async def test_another_server_on_the_socket_is_not_adopted(home: Path) -> None:
    async with embedded(home) as url:
        pass

    def tell_lies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+PONG\r\n*2\r\n$3\r\ndir\r\n$1\r\n/\r\n")
        writer.close()

    async with await asyncio.start_unix_server(tell_lies, url.removeprefix("unix://")):
        assert "belongs to '/'" in await refusal(home)


async def test_a_second_server_on_the_directory_is_refused(home: Path) -> None:
    async with embedded(home):
        before = servers(home)
        command = [sys.executable, supervisor.__file__, str(home), "/bin/false"]
        second = await asyncio.create_subprocess_exec(*command)
        assert await second.wait() == BUSY
        assert servers(home) == before


async def test_several_users_in_one_process_share_it(home: Path) -> None:
    async with embedded(home) as first:
        async with embedded(home) as second:
            assert second == first
            assert len(servers(home)) == 1
        assert await answers(first)
    assert not await answers(first)


@pytest.mark.slow
async def test_two_processes_share_one_server_and_the_last_one_out_stops_it(home: Path) -> None:
    async with process(USER, home) as first, process(USER, home) as second:
        url = await said(first)
        assert await said(second) == url
        before = servers(home)
        assert len(before) == 1
        await leave(first)
        assert servers(home) == before
        assert await answers(url)
        await leave(second)
        assert servers(home) == []


@pytest.mark.slow
async def test_eight_processes_that_start_at_once_get_one_server(home: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        users = [await stack.enter_async_context(process(USER, home)) for _ in range(8)]
        assert len({await said(user) for user in users}) == 1
        assert len(servers(home)) == 1
        assert (home / "redis.log").read_text().count("Ready to accept connections") == 1
        await asyncio.gather(*(leave(user) for user in users))
        assert servers(home) == []


@pytest.mark.slow
async def test_processes_that_come_and_go_at_once_never_meet_a_stopping_server(home: Path) -> None:
    async def come_and_go() -> None:
        for _ in range(10):
            async with embedded(home) as url, redis.asyncio.Redis.from_url(url, retry=None) as client:
                await client.incr("visits")

    async with process(USER, home) as other:
        await said(other)
        await asyncio.gather(come_and_go(), come_and_go(), leave(other))
    async with embedded(home) as url, redis.asyncio.Redis.from_url(url) as client:
        assert await client.get("visits") == b"20"


@pytest.mark.slow
async def test_a_killed_process_is_no_user_any_more(home: Path) -> None:
    async with process(USER, home) as first, process(USER, home) as second:
        url = await said(first)
        await said(second)
        await kill(first)
        assert await answers(url)
        await leave(second)
        assert servers(home) == []


@pytest.mark.slow
async def test_when_every_user_is_killed_the_server_stops_all_the_same(home: Path) -> None:
    async with process(USER, home) as first, process(USER, home) as second:
        await said(first)
        await said(second)
        await kill(first)
        await kill(second)
        await eventually(lambda: processes(home) == {})


@pytest.mark.slow
async def test_children_of_a_user_do_not_inherit_its_place(home: Path) -> None:
    async with process(PARENT, home) as parent:
        child = int(await said(parent))
        try:
            await kill(parent)
            await eventually(lambda: processes(home) == {})
            os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.slow
async def test_a_killed_server_comes_back_with_everything_that_was_acknowledged(home: Path) -> None:
    async with process(WRITER, home) as writer, process(USER, home) as user:
        await said(writer)
        await said(user)
        number = 0
        for _ in range(3):
            number = await numbers_until(writer, number + 200)
            (server,) = servers(home)
            os.kill(server, signal.SIGKILL)
        number = await numbers_until(writer, number + 200)
        assert len(servers(home)) == 1
        await kill(writer)
        assert keys_up_to(number) <= await keys_after(home)


@pytest.mark.slow
async def test_a_server_killed_together_with_its_supervisor_comes_back(home: Path) -> None:
    async with process(WRITER, home) as writer:
        await said(writer)
        number = await numbers_until(writer, 200)
        for pid in [*supervisors(home), *servers(home)]:
            os.kill(pid, signal.SIGKILL)
        number = await numbers_until(writer, number + 200)
        assert len(servers(home)) == len(supervisors(home)) == 1
        await kill(writer)
    assert keys_up_to(number) <= await keys_after(home)


@pytest.mark.slow
async def test_a_server_that_ended_by_itself_comes_back(home: Path) -> None:
    async with embedded(home) as url, redis.asyncio.Redis.from_url(url) as client:
        await client.set("n", 1)
        await client.shutdown()
        await eventually(lambda: answers(url))
        assert await client.get("n") == b"1"


@pytest.mark.slow
async def test_without_its_supervisor_the_server_goes_on_and_the_last_user_stops_it(home: Path) -> None:
    async with process(USER, home) as user:
        url = await said(user)
        (supervisor,) = supervisors(home)
        before = servers(home)
        os.kill(supervisor, signal.SIGKILL)
        await eventually(lambda: supervisors(home) == [])
        assert await answers(url)
        assert servers(home) == before
        await leave(user)
        assert servers(home) == []


@pytest.mark.slow
async def test_a_server_left_by_killing_all_but_it_is_adopted_and_then_stopped(home: Path) -> None:
    async with process(WRITER, home) as writer:
        await said(writer)
        number = await numbers_until(writer, 200)
        before = servers(home)
        (supervisor,) = supervisors(home)
        os.kill(supervisor, signal.SIGKILL)
        await kill(writer)
    assert servers(home) == before
    async with embedded(home):
        assert servers(home) == before
    assert servers(home) == []
    assert keys_up_to(number) <= await keys_after(home)


@pytest.mark.slow
async def test_after_killing_everything_the_next_user_finds_everything_that_was_acknowledged(home: Path) -> None:
    async with process(WRITER, home) as writer, process(USER, home) as user:
        await said(writer)
        await said(user)
        number = await numbers_until(writer, 500)
        for pid in [user.pid, *supervisors(home), *servers(home), writer.pid]:
            os.kill(pid, signal.SIGKILL)
        await user.communicate()
        rest, _ = await writer.communicate()
        number = max([number, *(int(line) for line in rest.split(b"\n")[:-1])])
    await eventually(lambda: processes(home) == {})
    async with embedded(home):
        assert len(servers(home)) == 1
        assert keys_up_to(number) <= await keys_after(home)


@pytest.mark.slow
async def test_an_interrupt_of_the_process_group_leaves_the_server_until_its_user_has_closed(home: Path) -> None:
    async with process(INTERRUPTED, home) as user:
        await said(user)
        assert user.pid not in {os.getpgid(pid) for pid in processes(home)}
        os.killpg(user.pid, signal.SIGINT)
        assert await said(user) == "1"
        assert await said(user) == "interrupted"
        assert await asyncio.wait_for(user.wait(), PATIENCE_SECONDS) == 0
        assert servers(home) == []
    assert "SIGINT" not in (home / "redis.log").read_text()
    assert await keys_after(home) == {"said_goodbye"}


@pytest.mark.slow
async def test_a_large_store_is_waited_for_until_it_has_loaded(home: Path) -> None:
    fill = "for n = 1, 200000 do redis.call('SET', ARGV[1] .. n, n) end"
    async with embedded(home) as url, redis.asyncio.Redis.from_url(url, socket_timeout=PATIENCE_SECONDS) as client:
        for prefix in "abc":
            await client.eval(fill, 0, prefix)
        (server,) = servers(home)
        os.kill(server, signal.SIGKILL)
    async with embedded(home) as url, redis.asyncio.Redis.from_url(url) as client:
        assert await client.dbsize() == 600_000


def test_the_listing_of_processes_finds_what_it_should(home: Path) -> None:
    """A listing that found nothing would let every test above pass."""

    async def found() -> tuple[int, int]:
        async with embedded(home):
            return len(servers(home)), len(supervisors(home))

    assert asyncio.run(found()) == (1, 1)
