"""The line before an environment: one at a time, whoever asks, and nobody waits for ever for one who is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from pydantic import JsonValue

from agent.notes import StoredNotes
from agent.roster.deploy.line import ABSENT_AFTER, KEPT, LAPSES_AFTER, Line, Merge, Proposals, Stand
from store.memory import MemoryStore
from tests.telling.story import AT

MOMENT = timedelta(seconds=1)


class Yielding(StoredNotes):
    """Lets everybody else go first between a look and a change, as over a network."""

    async def change(self, name: str, text: str, *, expected: str) -> bool:
        await asyncio.sleep(0)
        return await super().change(name, text, expected=expected)

    async def tell(self, thread_id: str, name: str, data: Mapping[str, JsonValue], *, key: str) -> bool:
        raise AssertionError


async def older(one: Merge, other: Merge) -> bool:
    """Their commits are numbers, on one branch."""
    await asyncio.sleep(0)
    return set(one.components) <= set(other.components) and int(one.sha) < int(other.sha)


def merge(number: int, *components: str) -> Merge:
    return Merge(thread=f"t{number}", sha=str(number), components=components or ("shop",))


class World:
    def __init__(self, *, supersedes: bool = False) -> None:
        self.now = AT
        self.notes = Yielding(MemoryStore(), lambda: self.now)
        self.line = Line(self.notes, "staging", older=older, supersedes=supersedes)

    async def looks(self, *merges: Merge, busy: bool = False) -> list[Stand]:
        return list(await asyncio.gather(*(self.line.step_up(one, busy=busy) for one in merges)))


async def test_of_many_who_ask_at_once_and_again_one_at_a_time_is_first_and_the_oldest_goes_first() -> None:
    world, left = World(), [merge(number) for number in (4, 2, 5, 1, 3)]
    assert [stand.state for stand in await world.looks(*left, *left)].count("first") <= 1
    went = []
    while left:
        stands = await world.looks(*left)
        first = [one for one, stand in zip(left, stands, strict=True) if stand.state == "first"]
        assert len(first) <= 1
        for one in first:
            went.append(int(one.sha))
            left.remove(one)
            assert len(await world.line.leave(one.thread)) == min(1, len(left))
    assert went == [1, 2, 3, 4, 5]


async def test_nobody_is_first_while_a_deployment_goes_on_there() -> None:
    world = World()
    for _ in range(3):
        assert [stand.state for stand in await world.looks(merge(1), busy=True)] == ["waits"]
    assert [stand.state for stand in await world.looks(merge(1))] == ["first"]


async def test_a_turn_lapses_when_nothing_was_heard_for_long_and_nothing_is_deployed() -> None:
    world = World()
    for _ in range(2):
        await world.looks(merge(1))
    for _ in range(2):
        (waits,) = await world.looks(merge(2))
        assert (waits.state, waits.other and waits.other.thread) == ("waits", "t1")
    world.now += LAPSES_AFTER + MOMENT
    assert [stand.state for stand in await world.looks(merge(2), busy=True)] == ["waits"]
    assert [stand.state for stand in await world.looks(merge(2))] == ["first"]
    (back,) = await world.looks(merge(1))
    assert (back.state, back.other and back.other.sha) == ("passed", "2")


async def test_whoever_waits_and_is_gone_holds_nobody_up_and_keeps_its_place() -> None:
    world = World()
    await world.looks(merge(1, "ledger"))
    world.now += ABSENT_AFTER + MOMENT
    await world.looks(merge(2))
    assert [stand.state for stand in await world.looks(merge(2))] == ["first"]
    await world.line.leave("t2")
    assert [stand.state for stand in await world.looks(merge(1, "ledger"))] == ["first"]


async def test_of_another_component_nothing_is_passed_over() -> None:
    world = World(supersedes=True)
    await world.looks(merge(1, "ledger"))
    await world.looks(merge(2, "shop"))
    assert [stand.state for stand in await world.looks(merge(1, "ledger"))] == ["first"]


async def test_where_the_newest_wins_those_who_wait_before_it_are_passed() -> None:
    world = World(supersedes=True)
    for _ in range(2):
        await world.looks(merge(1))
    await world.looks(merge(2))
    await world.looks(merge(3))
    (passed,) = await world.looks(merge(2))
    assert (passed.state, passed.other and passed.other.thread) == ("passed", "t3")
    assert [stand.state for stand in await world.looks(merge(1))] == ["first"], "what has begun goes on"


async def test_a_newer_merge_finds_each_older_one_until_it_was_told_or_has_begun() -> None:
    world = World()
    proposals = Proposals(world.notes, "shop", "prod", older=older)
    await asyncio.gather(*(proposals.proposed(merge(number)) for number in (1, 2, 5)))
    assert await proposals.merged(merge(3)) == (None, (merge(2), merge(1)))
    await proposals.forget(["t1"])
    assert await proposals.merged(merge(4)) == (None, (merge(3), merge(2)))
    await proposals.forget(["t2", "t3"])
    newer, outdated = await proposals.merged(merge(2))
    assert (newer and newer.sha, outdated) == ("4", ())
    for number in range(10, 10 + 2 * KEPT):
        await proposals.merged(merge(number))
        await proposals.forget([f"t{number - 1}"])
