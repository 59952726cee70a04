"""`bot store`: what people see of it. What damage is found and mended: `tests/store/embedded/test_check.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stories.program import Bot

pytestmark = pytest.mark.slow


@pytest.fixture
def bot(tmp_path: Path, template: Path) -> Bot:
    return Bot(tmp_path).with_site(template)


async def sent(bot: Bot) -> Path:
    """One thread is stored. Returns the file with its events."""
    (await bot.run("send", "hello")).succeeded()
    [file] = bot.home.rglob("*.incr.aof")
    return file


async def test_a_sound_store_is_said_to_be_sound(bot: Bot) -> None:
    await sent(bot)
    checked = (await bot.run("store", "check")).succeeded()
    assert checked.out.startswith("The store under .bot is sound: 2 events since the last snapshot, ")
    document = (await bot.run("store", "check", "--json")).succeeded().document
    assert (document["sound"], document["events_since_snapshot"], document["problems"]) == (True, 2, [])


async def test_where_there_is_no_store_nothing_is_called_sound(bot: Bot) -> None:
    for options in ([], ["--repair"], ["--json"]):
        (await bot.run("store", "check", *options)).failed("There is no store under .bot.")
    bot.home.mkdir()
    (await bot.run("store", "check")).failed("There is no store under .bot.")


async def test_a_torn_store_names_the_command_that_mends_it_and_it_does(bot: Bot) -> None:
    file = await sent(bot)
    size = file.stat().st_size
    with file.open("ab") as torn:
        torn.write(b"\0" * 100)
    (await bot.run("threads")).failed("`bot store check --repair` mends it")

    checked = await bot.run("store", "check")
    assert checked.code == 1
    assert checked.out == (
        f"appendonly.aof.1.incr.aof: after byte {size} of {size + 100} stands what is no command (100 bytes).\n"
    )
    assert checked.err == (
        "The store under .bot is damaged where events were stored. Without them, calls that were approved may run "
        "again. `bot store check --repair --lose-events` cuts 100 bytes with at most 0 events from "
        f"appendonly.aof.1.incr.aof, from byte {size:,} on, and keeps a copy, and hands every thread that is not at "
        "rest to people.\n"
    )
    document = (await bot.run("store", "check", "--json")).document
    assert (document["sound"], document["repaired"]) == (False, False)
    assert document["cuts"] == [
        {"file": "appendonly.aof.1.incr.aof", "from_byte": size, "size_bytes": 100, "events": 0}
    ]

    refused = await bot.run("store", "check", "--repair")
    assert (refused.code, refused.err) == (1, checked.err)
    assert file.stat().st_size == size + 100
    (await bot.run("store", "check", "--lose-events")).failed("it needs --repair")
    mended = await bot.run("store", "check", "--repair", "--lose-events")
    mended.succeeded()
    assert "Events are lost: every thread that is not at rest is handed to people." in mended.out
    assert mended.out.splitlines()[-1] == "The store is sound now: 2 events since the last snapshot."
    [kept] = bot.home.glob("redis-cut-*")
    assert f"A copy of what was cut is in {kept.relative_to(bot.folder)}." in mended.out
    [thread] = (await bot.run("threads", "--json")).succeeded().document
    assert thread["status"] == "handed_to_human"


async def test_the_unfinished_end_of_a_write_is_cut_without_a_question(bot: Bot) -> None:
    file = await sent(bot)
    with file.open("ab") as torn:
        torn.write(b"*1\r\n$5\r\nMULTI\r\n*3\r\n$4\r\nSA")
    checked = await bot.run("store", "check")
    assert checked.err.startswith("The store under .bot is damaged. `bot store check --repair` cuts ")
    (await bot.run("store", "check", "--repair")).succeeded()
    [thread] = (await bot.run("threads", "--json")).succeeded().document
    assert thread["status"] == "working"


async def test_what_cannot_be_mended_needs_a_backup(bot: Bot) -> None:
    file = await sent(bot)
    file.unlink()
    checked = await bot.run("store", "check", "--repair")
    assert checked.code == 1
    assert "restore a backup of .bot/redis" in checked.err


async def test_a_server_in_use_is_left_alone(bot: Bot) -> None:
    await sent(bot)
    async with bot.kept():
        (await bot.run("store", "check", "--repair")).failed("A server uses the files", "Stop `bot run`")


async def test_a_server_of_our_own_is_checked_elsewhere(bot: Bot) -> None:
    (await bot.run("store", "check", REDIS_URL="redis://127.0.0.1:1")).failed("REDIS_URL names a server")
