"""The time of the store: right whatever this machine's clock says, and never going back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
import structlog.testing

from bot.store_time import (
    JUMP_MEASUREMENTS,
    JUMP_SECONDS_MAX,
    JUMP_TRUSTED_AFTER_SECONDS,
    MEASURE_SECONDS,
    ROUND_TRIP_SECONDS_MAX,
    StoreTime,
    difference,
)
from store.base import StoreUnavailable


class World:
    """A store, a machine whose clock anybody may set, and time that passes for both."""

    def __init__(self) -> None:
        self.store = 1_000_000.0
        self.machine = 1_000_000.0
        self.elapsed = 50.0
        self.answer_seconds = 0.0
        self.clock = StoreTime(self._ask, machine=lambda: self.machine, elapsed=lambda: self.elapsed)

    def pass_time(self, seconds: float) -> None:
        self.store += seconds
        self.machine += seconds
        self.elapsed += seconds

    async def _ask(self) -> float:
        self.pass_time(self.answer_seconds / 2)
        theirs = self.store
        self.pass_time(self.answer_seconds / 2)
        return theirs

    @property
    def now(self) -> float:
        return self.clock().timestamp()


@pytest.fixture
def world() -> World:
    return World()


async def test_until_the_store_was_asked_it_is_the_machines(world: World) -> None:
    world.machine += 300
    assert world.clock() == datetime.fromtimestamp(world.machine, UTC)


async def test_it_is_the_stores_and_goes_on(world: World) -> None:
    world.machine += 300
    await world.clock.measure()
    assert world.now == pytest.approx(world.store)
    world.pass_time(20)
    assert world.now == pytest.approx(world.store)


async def test_the_way_to_the_store_and_back_is_taken_into_account(world: World) -> None:
    world.answer_seconds = 0.8
    await world.clock.measure()
    assert world.now == pytest.approx(world.store)


async def test_a_machine_whose_clock_is_set_does_not_change_it(world: World) -> None:
    await world.clock.measure()
    world.machine += 3600
    assert world.now == pytest.approx(world.store)
    world.machine -= 7200
    assert world.now == pytest.approx(world.store)


async def test_a_store_that_is_a_little_ahead_is_followed_at_once(world: World) -> None:
    await world.clock.measure()
    world.store += JUMP_SECONDS_MAX - 1
    await world.clock.measure()
    assert world.now == pytest.approx(world.store)


@pytest.mark.parametrize("jump", [3600.0, -3600.0, JUMP_SECONDS_MAX + 1])
async def test_a_store_whose_clock_jumps_is_not_followed_until_it_has_held_for_minutes(
    world: World, jump: float
) -> None:
    """As after a failover to a replica whose clock is wrong: every open request would expire."""
    await world.clock.measure()
    world.store += jump
    right = world.store - jump
    with structlog.testing.capture_logs() as logs:
        for _ in range(JUMP_MEASUREMENTS - 1):
            await world.clock.measure()
            assert world.now == pytest.approx(right)
            world.pass_time(MEASURE_SECONDS)
            right += MEASURE_SECONDS
        await world.clock.measure()
    assert [(entry["log_level"], entry["event"]) for entry in logs] == [
        ("error", "store_clock_jumped"),
        ("warning", "store_clock_followed"),
    ]
    assert f"has jumped {'ahead' if jump > 0 else 'back'} by {abs(jump):.1f} s" in logs[0]["text"]
    if jump > 0:
        assert world.now == pytest.approx(world.store)
    else:  # It never goes back: it goes at half speed until the store has caught up.
        before = world.now
        world.pass_time(100)
        assert world.now == pytest.approx(before + 50)


async def test_many_measurements_at_once_do_not_make_a_jump_true(world: World) -> None:
    await world.clock.measure()
    world.store += 3600
    for _ in range(10 * JUMP_MEASUREMENTS):
        await world.clock.measure()
    assert world.now == pytest.approx(world.store - 3600)


async def test_two_measurements_far_apart_do_not_make_a_jump_true(world: World) -> None:
    await world.clock.measure()
    world.store += 3600
    await world.clock.measure()
    world.pass_time(2 * JUMP_TRUSTED_AFTER_SECONDS)
    await world.clock.measure()
    assert world.now == pytest.approx(world.store - 3600)


async def test_a_jump_that_is_gone_again_was_none_and_the_next_one_begins_anew(world: World) -> None:
    """Two servers that answer in turn, one of them wrong."""
    await world.clock.measure()
    with structlog.testing.capture_logs() as logs:
        for _ in range(4 * JUMP_MEASUREMENTS):
            for jump in (3600, -3600):
                world.store += jump
                await world.clock.measure()
                world.pass_time(MEASURE_SECONDS)
    assert world.now == pytest.approx(world.store)
    assert {entry["event"] for entry in logs} == {"store_clock_jumped"}


async def test_a_clock_that_jumps_again_and_again_is_never_followed(world: World) -> None:
    await world.clock.measure()
    right = world.store
    for _ in range(20):
        world.store += 600
        await world.clock.measure()
        world.pass_time(MEASURE_SECONDS)
        right += MEASURE_SECONDS
        assert world.now == pytest.approx(right)


async def test_a_store_that_was_set_back_is_waited_for_at_half_speed_and_never_back(world: World) -> None:
    await world.clock.measure()
    before = world.now
    world.store -= 4
    await world.clock.measure()
    assert world.now == before
    world.pass_time(2)
    assert world.now == pytest.approx(before + 1)
    world.pass_time(6)
    assert world.now == pytest.approx(before + 4) == pytest.approx(world.store)
    world.pass_time(5)
    assert world.now == pytest.approx(world.store)


async def test_a_slow_answer_is_not_believed_when_there_is_a_better_one(world: World) -> None:
    await world.clock.measure()
    world.answer_seconds = ROUND_TRIP_SECONDS_MAX + 1
    world.store += 3
    await world.clock.measure()
    assert world.now == pytest.approx(world.store - 3)


async def test_a_difference_is_logged_once_in_plain_words_and_again_after_it_was_gone(world: World) -> None:
    world.machine -= 90
    with structlog.testing.capture_logs() as logs:
        for step_seconds in (0, 0, 90, 4):
            world.machine += step_seconds
            await world.clock.measure()
            world.clock.report()
    assert [entry["text"] for entry in logs] == [
        "The clock of this machine is 90.0 s behind the clock of Redis. Run NTP on both machines.",
        "The clock of this machine is 4.0 s ahead of the clock of Redis. Run NTP on both machines.",
    ]
    assert {entry["event"] for entry in logs} == {"clock_differs"}


async def test_while_the_store_is_away_it_goes_on(world: World) -> None:
    async def away() -> float:
        raise StoreUnavailable("It is away.")

    await world.clock.measure()
    world.clock._ask = away
    with pytest.raises(StoreUnavailable):
        await world.clock.measure()
    world.pass_time(7)
    assert world.now == pytest.approx(world.store)


async def test_it_is_measured_again_from_time_to_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store_time.MEASURE_SECONDS", 0.001)
    asked = asyncio.Semaphore(0)

    async def ask() -> float:
        asked.release()
        if asked._value == 2:
            raise StoreUnavailable("Away for once.")
        return world.store

    keeping = asyncio.create_task(StoreTime(ask, elapsed=lambda: world.elapsed).keep())
    for _ in range(3):
        await asked.acquire()
    keeping.cancel()


def test_a_small_difference_is_told_in_milliseconds() -> None:
    assert difference(-0.0123) == "The clock of this machine is 12 ms ahead of the clock of Redis."
