"""Which model an agent asks, and what happens if that one is unavailable, over real HTTP."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from agent.model.base import ERROR_CHARS_MAX, ModelBusy, ModelFailure
from agent.model.bounded import BUSY_SECONDS
from agent.model.choice import Models, Option
from agent.model.circuit import FAILURES_MAX
from agent.model.price import Price
from tests.agent.model.endpoints import DOWN, NOTHING, Served, hanging, prompt, served
from tests.fakes.model_server import Reply, error


def falling_back(first: Served, second: Served, timeout_seconds: float = 20) -> Models:
    return Models([Option(first.model, timeout_seconds, fallback="cheap"), Option(second.model, 20)])


async def failure(models: Models) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        await models.answer(prompt())
    return caught.value


async def test_an_agent_asks_its_model_and_all_others_ask_the_default() -> None:
    async with served(NOTHING) as default, served(NOTHING, label="cheap") as cheap:
        models = Models([Option(default.model, 20), Option(cheap.model, 20, agents=("rollback",))])
        assert (models.name, models.calls_max) == ("default-1 (cheap: cheap-1)", 20)
        await models.answer(prompt(agent="rollback"))
        assert (default.asked, cheap.asked) == (0, 1)
        await models.answer(prompt(agent="deploy"))
        assert (default.asked, cheap.asked) == (1, 1)


async def test_the_fallback_gets_the_same_prompt_once() -> None:
    async with served(DOWN) as first, served(NOTHING, label="cheap") as second:
        await falling_back(first, second).answer(prompt("deploy “v1” to \N{ROCKET}"))
    assert first.server.requests[0]["messages"] == second.server.requests[0]["messages"]
    assert (first.asked, second.asked) == (1, 1)


async def test_an_answer_that_is_no_use_is_not_given_to_the_fallback() -> None:
    async with served("Hello!", "Hello!") as first, served(label="cheap") as second:
        assert (await failure(falling_back(first, second))).reason == "invalid"
    assert second.asked == 0


async def test_a_model_that_is_left_alone_costs_no_time_where_there_is_a_fallback() -> None:
    async with served(DOWN, repeat=True) as first, served(NOTHING, label="cheap", repeat=True) as second:
        models = falling_back(first, second)
        for _ in range(3 * FAILURES_MAX):
            await models.answer(prompt())
    assert (first.asked, second.asked) == (FAILURES_MAX, 3 * FAILURES_MAX)


async def test_the_time_of_a_call_is_shared_with_the_fallback() -> None:
    async with served(hanging()) as first, served(hanging(), label="cheap") as second:
        failed = await failure(falling_back(first, second, timeout_seconds=3.0))
    assert failed.error.startswith(f"{first.server.url} did not answer in time (limit 1.5 s). The fallback: ")
    assert (first.asked, second.asked) == (1, 1)


async def test_a_model_has_what_its_fallback_does_not_need() -> None:
    async with served(hanging()) as first, served(NOTHING, label="cheap") as second:
        models = Models([Option(first.model, 2.0, fallback="cheap"), Option(second.model, 0.5)])
        await models.answer(prompt())
    assert first.asked == 1


async def test_where_both_are_unavailable_both_are_told_of_and_the_sooner_one_counts() -> None:
    slow = error(429, "Slow down. " * 60, headers={"Retry-After": "30"})
    down = error(401)
    async with (
        served(slow, DOWN) as first,
        served(error(429, headers={"Retry-After": "20"}), down, label="cheap") as second,
    ):
        models = falling_back(first, second)
        failed = await failure(models)
        assert (failed.reason, failed.retry_after_seconds, failed.model) == ("unavailable", 20, "cheap-1")
        assert "asks to slow down (429). Slow down." in failed.error
        assert "The fallback: The endpoint asks to slow down (429)." in failed.error
        assert len(failed.error) <= ERROR_CHARS_MAX
        for served_model in (first, second):
            served_model.clock.now += 30
        assert (await failure(models)).retry_after_seconds is None


@pytest.mark.parametrize(
    ("replies", "concerns"),
    [((error(400), error(422)), "request"), ((error(400), DOWN), "model"), ((DOWN, error(400)), "model")],
)
async def test_it_is_the_request_only_if_both_refuse_it(replies: tuple[Reply, Reply], concerns: str) -> None:
    async with served(replies[0]) as first, served(replies[1], label="cheap") as second:
        assert (await failure(falling_back(first, second))).concerns == concerns


async def test_a_fallback_that_is_busy_is_as_good_as_none() -> None:
    async with served(DOWN) as first, served(hanging(), label="cheap", calls_max=1) as second:
        call = asyncio.create_task(second.model.answer(prompt()))
        await second.server.arrived(1)
        failed = await failure(falling_back(first, second))
        assert "401" in failed.error
        assert BUSY_SECONDS <= (failed.retry_after_seconds or 0) < 2 * BUSY_SECONDS, "the fallback may have room then"
        assert failed.is_known, "it tells a thread nothing new the next time"
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call


async def test_a_fallback_that_is_busy_is_waited_for_while_the_first_one_is_left_alone() -> None:
    async with served(DOWN, repeat=True) as first, served(hanging(), label="cheap", calls_max=1) as second:
        for _ in range(FAILURES_MAX):
            with suppress(ModelFailure):
                await first.model.answer(prompt())
        call = asyncio.create_task(second.model.answer(prompt()))
        await second.server.arrived(1)
        with pytest.raises(ModelBusy) as caught:
            await falling_back(first, second).answer(prompt())
        assert caught.value.retry_after_seconds < 2 * BUSY_SECONDS
        assert first.asked == FAILURES_MAX
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call


async def test_a_model_that_is_busy_is_not_unavailable() -> None:
    async with served(hanging(), calls_max=1) as first, served(label="cheap") as second:
        call = asyncio.create_task(first.model.answer(prompt()))
        await first.server.arrived(1)
        with pytest.raises(ModelBusy):
            await falling_back(first, second).answer(prompt())
        assert second.asked == 0
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call


async def test_the_cost_is_that_of_the_model_that_answered() -> None:
    async with (
        served(DOWN, price=Price(100, 100)) as first,
        served(NOTHING, label="cheap", price=Price(1, 1)) as second,
    ):
        answer = await falling_back(first, second).answer(prompt())
    assert answer.usage
    assert answer.usage.cost == 0.00012
