"""Look-ups that threads share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from agent.roster.deploy.looks import AT_ONCE_MAX, Looks
from agent.steps import ToolError

KEY = ("running", "web", "prod")


class Target:
    """Answers when it is told to, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.passed = 0.0

    async def look(self) -> str:
        self.asked += 1
        found = f"v{self.asked}"
        await self.gate.wait()
        return found


def looks_at(target: Target) -> tuple[Looks, Callable[[], Coroutine[None, None, str]]]:
    looks = Looks(lambda: target.passed)

    async def look() -> str:
        return await looks.get(KEY, target.look, 2.0)

    return looks, look


async def test_what_is_looked_up_at_once_is_looked_up_once_and_serves_for_a_while() -> None:
    target = Target()
    _, look = looks_at(target)
    assert await asyncio.gather(*(look() for _ in range(50))) == ["v1"] * 50
    target.passed = 2.0
    assert await look() == "v1"
    target.passed = 2.1
    assert await look() == "v2"


async def test_its_age_counts_from_when_it_was_begun() -> None:
    target = Target()
    _, look = looks_at(target)
    target.gate.clear()
    slow = asyncio.create_task(look())
    await asyncio.sleep(0)
    target.passed = 5.0
    target.gate.set()
    assert await slow == "v1"
    assert await look() == "v2"


async def test_what_has_changed_is_looked_up_anew_also_by_who_asks_while_the_old_look_is_under_way() -> None:
    target = Target()
    looks, look = looks_at(target)
    target.gate.clear()
    before = asyncio.create_task(look())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    looks.drop("running", "web")
    after = asyncio.create_task(look())
    await asyncio.sleep(0)
    target.gate.set()
    assert (await before, await after, await look()) == ("v1", "v2", "v2")
    looks.drop("running", "api")
    assert await look() == "v2"


async def test_who_is_cancelled_breaks_nothing_off_for_the_others() -> None:
    target = Target()
    _, look = looks_at(target)
    target.gate.clear()
    first, second = asyncio.create_task(look()), asyncio.create_task(look())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    target.gate.set()
    assert await second == "v1"


async def test_a_failure_is_told_to_all_who_wait_and_is_not_kept() -> None:
    looks, asked = Looks(), 0

    async def fail() -> str:
        nonlocal asked
        asked += 1
        raise ToolError("no route")

    found = await asyncio.gather(*(looks.get(KEY, fail, 2.0) for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in found] == ["no route"] * 3
    assert asked == 1
    with pytest.raises(ToolError):
        await looks.get(KEY, fail, 2.0)
    assert asked == 2


async def test_so_many_and_no_more_run_at_once() -> None:
    looks, running, most = Looks(), 0, 0

    async def look() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await asyncio.gather(*(looks.get(("running", str(n)), look, 2.0) for n in range(5 * AT_ONCE_MAX)))
    assert most == AT_ONCE_MAX
