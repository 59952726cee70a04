"""One model under its limits, over real HTTP: calls at once, the circuit, the price."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from agent.model.base import ERROR_CHARS_MAX, ModelBusy, ModelFailure
from agent.model.bounded import BUSY_SECONDS, SPREAD_SECONDS_MAX
from agent.model.circuit import FAILURES_MAX, PAUSE_SECONDS
from agent.model.price import Price
from store.values import Usage
from tests.agent.model.endpoints import DOWN, NOTHING, Served, hanging, prompt, served
from tests.fakes.model_server import error, step


async def failure(served: Served) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        await served.model.answer(prompt())
    return caught.value


async def busy(served: Served) -> float:
    with pytest.raises(ModelBusy) as caught:
        await served.model.answer(prompt())
    return caught.value.retry_after_seconds


async def test_as_many_calls_at_once_as_allowed_and_the_next_is_turned_away_at_once() -> None:
    go_on = asyncio.Event()
    async with served(step(NOTHING, after=go_on), calls_max=3, repeat=True) as one:
        calls = [asyncio.create_task(one.model.answer(prompt())) for _ in range(3)]
        await one.server.arrived(3)
        assert await busy(one) >= BUSY_SECONDS
        assert one.asked == 3
        go_on.set()
        await asyncio.gather(*calls)
        await one.model.answer(prompt())


async def test_a_call_that_is_cancelled_or_fails_makes_room_for_another() -> None:
    async with served(hanging(), DOWN, NOTHING, calls_max=1) as one:
        call = asyncio.create_task(one.model.answer(prompt()))
        await one.server.arrived(1)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        await failure(one)
        await one.model.answer(prompt())


async def test_those_who_are_turned_away_come_back_one_after_the_other_and_soon() -> None:
    async with served(hanging(), calls_max=1) as one:
        call = asyncio.create_task(one.model.answer(prompt()))
        await one.server.arrived(1)
        waits = [await busy(one) for _ in range(1_000)]
        assert len(set(waits[:100])) == 100
        assert waits == sorted(waits)
        assert waits[0] < 2 * BUSY_SECONDS
        assert waits[-1] == pytest.approx(BUSY_SECONDS + SPREAD_SECONDS_MAX)
        one.clock.now += 60
        assert await busy(one) == pytest.approx(waits[0])
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call


async def test_a_model_that_keeps_failing_is_not_asked_for_a_while_and_that_is_told_at_once() -> None:
    async with served(DOWN, repeat=True) as one:
        for _ in range(FAILURES_MAX):
            assert "401" in (await failure(one)).error
        asked = one.asked
        told = [await failure(one) for _ in range(3)]
        assert one.asked == asked
    assert told[0].reason == "unavailable"
    assert told[0].error == (
        f"The model default-1 was not asked, because it failed {FAILURES_MAX} times in a row. The last time: "
        "The endpoint does not accept the API key (401); check OPENAI_API_KEY."
    )
    waits = [failed.retry_after_seconds or 0 for failed in told]
    assert PAUSE_SECONDS < waits[0] < waits[1] < waits[2] < PAUSE_SECONDS + 1


async def test_after_its_pause_one_call_tries_it_and_the_others_wait_for_what_comes_of_it() -> None:
    go_on = asyncio.Event()
    async with served(*[DOWN] * FAILURES_MAX, step(NOTHING, after=go_on), NOTHING) as one:
        for _ in range(FAILURES_MAX):
            await failure(one)
        one.clock.now += PAUSE_SECONDS
        probe = asyncio.create_task(one.model.answer(prompt()))
        await one.server.arrived(FAILURES_MAX + 1)
        assert (await failure(one)).retry_after_seconds
        assert one.asked == FAILURES_MAX + 1
        go_on.set()
        await probe
        await one.model.answer(prompt())


async def test_a_model_that_does_not_answer_in_time_is_left_alone_too() -> None:
    async with served(hanging(), repeat=True) as one:
        for _ in range(FAILURES_MAX):
            with pytest.raises(ModelFailure, match="did not answer in time"):
                await one.model.answer(prompt(), within_seconds=0.05)
        assert "was not asked" in (await failure(one)).error


@pytest.mark.parametrize("status", [400, 422, 418])
async def test_a_request_that_is_refused_for_itself_says_nothing_of_the_model(status: int) -> None:
    async with served(error(status, "This prompt is odd."), repeat=True) as one:
        for _ in range(2 * FAILURES_MAX):
            failed = await failure(one)
            assert (failed.concerns, failed.is_known) == ("request", False)
        assert one.asked == 2 * FAILURES_MAX


@pytest.mark.parametrize("status", [401, 402, 403, 404, 501])
async def test_a_refusal_that_concerns_everybody_leaves_the_model_alone(status: int) -> None:
    async with served(error(status, "No."), repeat=True) as one:
        for _ in range(FAILURES_MAX):
            assert (await failure(one)).concerns == "model"
        assert not (await failure(one)).was_asked


async def test_a_probe_that_is_refused_for_itself_makes_way_for_another() -> None:
    async with served(*[DOWN] * FAILURES_MAX, error(400, "This prompt is odd."), NOTHING) as one:
        for _ in range(FAILURES_MAX):
            await failure(one)
        one.clock.now += PAUSE_SECONDS
        assert "This prompt is odd." in (await failure(one)).error
        await one.model.answer(prompt())


async def test_an_endpoint_that_asks_to_slow_down_is_left_alone_for_as_long_as_it_asks() -> None:
    async with served(error(429, "Slow down.", headers={"Retry-After": "7"}), NOTHING) as one:
        assert (await failure(one)).retry_after_seconds == 7
        told = await failure(one)
        assert told.error == (
            "The model default-1 was not asked, because it asks to slow down. The last time: The endpoint asks to slow "
            "down (429). Slow down."
        )
        assert 7 < (told.retry_after_seconds or 0) < 8
        one.clock.now += 7
        await one.model.answer(prompt())


async def test_an_endpoint_that_asks_to_slow_down_without_saying_for_how_long_is_not_left_alone() -> None:
    async with served(error(429, headers={"x-should-retry": "false"}), repeat=True) as one:
        for _ in range(2 * FAILURES_MAX):
            assert (await failure(one)).was_asked


async def test_useless_answers_are_answers() -> None:
    async with served("Hello!", repeat=True) as one:
        for _ in range(2 * FAILURES_MAX):
            assert (await failure(one)).reason == "invalid"


async def test_what_is_told_of_a_model_that_is_left_alone_is_short() -> None:
    async with served(error(404, "No such model. " * 100), repeat=True) as one:
        for _ in range(FAILURES_MAX):
            await failure(one)
        assert len((await failure(one)).error) <= ERROR_CHARS_MAX


async def test_an_answer_has_its_cost_where_there_is_a_price() -> None:
    async with served(NOTHING, "Hello!", price=Price(0.25, 2.0)) as one:
        answer = await one.model.answer(prompt())
        failed = await failure(one)
    assert answer.usage == Usage(input_tokens=100, output_tokens=20, cached_tokens=64, cost=0.000065)
    assert failed.usage
    assert failed.usage.cost
    async with served(NOTHING) as one:
        answer = await one.model.answer(prompt())
    assert answer.usage == Usage(input_tokens=100, output_tokens=20, cached_tokens=64)
