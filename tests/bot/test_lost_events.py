"""After events were cut off the end of the store: no call runs again before people were told."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.lost_events import REASON
from bot.settings import Settings
from bot.stores import store_of
from store.embedded import losses
from store.embedded.aof import FOLDER
from store.embedded.check import repair
from store.redis.store import RedisStore
from store.thread import Thread
from tests.store.threads import begun
from tests.telling.playbook import Push, World, done

TOLD = f"noted: I stopped and need a person: {REASON} Write to me and I will continue."


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, bot_home=tmp_path / "home")


def cut_from(settings: Settings, event_id: str) -> None:
    """Damage the store just before this event, and cut off all from there on."""
    [file] = (settings.bot_home / "redis" / FOLDER).glob("*.incr.aof")
    data = bytearray(file.read_bytes())
    begins = data.rindex(b"*1\r\n$5\r\nMULTI", 0, data.index(f'"id":"{event_id}"'.encode()))
    data[begins] ^= 1
    file.write_bytes(data)
    report, kept = repair(settings.bot_home)
    assert kept is None
    report, kept = repair(settings.bot_home, lose_events=True)
    assert report.loses_events
    assert kept


async def pushed(store: RedisStore) -> World:
    world = World(store=store)
    world.model.answers(Push(target="prod"), done())
    await world.say("push it to prod")
    await world.run()
    await world.approve()
    await world.run()
    assert world.desk.ran == ["push(target: prod)"]
    return world


async def found_again(store: RedisStore, thread: Thread) -> World:
    """Another process, which remembers nothing, when the lease of the first has expired."""
    await store._redis.client.delete(store.keys.leases(store.keys.shard(thread.id)))
    world = World(store=store)
    world.thread = await store.load(thread.id)
    return world


@pytest.mark.parametrize("first", ["chosen", "requested", "decided", "started/1", "finished"])
async def test_no_call_runs_again_before_people_were_told(settings: Settings, first: str) -> None:
    async with store_of(settings) as store:
        before = await pushed(store)
    [lost] = [event.id for event in before.thread.events if event.id.startswith(f"s2/{first}")]
    cut_from(settings, lost)
    async with store_of(settings) as store:
        world = await found_again(store, before.thread)
        assert world.thread.status == "handed_to_human"
        await world.run()
        assert TOLD in world.lines
        assert world.desk.ran == []
        version = world.thread.version
    assert not losses.marked(settings.bot_home)
    async with store_of(settings) as store:
        assert (await store.load(before.thread.id)).version == version, "once for each cut"


async def test_a_process_that_dies_before_people_were_told_leaves_it_to_the_next(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store_of(settings) as store:
        before = await pushed(store)
    cut_from(settings, "s2/started/1")

    async def dies(*_: object) -> None:
        raise KeyboardInterrupt

    async def use() -> None:
        async with store_of(settings):
            pytest.fail("nobody gets the store before")

    with monkeypatch.context() as patched:
        patched.setattr("bot.lost_events.hand_over", dies)
        with pytest.raises(KeyboardInterrupt):
            await use()
    async with store_of(settings) as store:
        assert (await store.load(before.thread.id)).status == "handed_to_human"


async def test_what_is_at_rest_stays_at_rest(settings: Settings) -> None:
    async with store_of(settings) as store:
        before = await pushed(store)
        await begun(store, "t9")
    cut_from(settings, "m1")
    async with store_of(settings) as store:
        assert (await store.load(before.thread.id)).status == "done"
        assert not await store.exists("t9")
