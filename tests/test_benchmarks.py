"""The benchmarks run, and what does not depend on the machine holds. Nothing here is about time."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import pytest

from agent.context.window import Context
from store.events import StepChosen, ToolFinished, ToolStarted
from tests import ROOT
from tests.benchmarks.__main__ import site as benchmark_site
from tests.benchmarks.before import Rounds, compared
from tests.benchmarks.figures import Figure, table
from tests.benchmarks.first_look import first_look
from tests.benchmarks.lists import lists
from tests.benchmarks.messages import standard_messages
from tests.benchmarks.reading import context_tokens
from tests.benchmarks.steps import Site, growth, history, overhead
from tests.benchmarks.stub import ANSWERS, STEPS
from tests.benchmarks.threads import Recorded, recorded
from tests.benchmarks.tokens import tokens
from tests.benchmarks.workers import one_process, parked, through_the_queue
from tests.telling.story import PLACE


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with benchmark_site() as opened:
        yield opened


async def test_the_loop_takes_every_step_on_the_program_itself(site: Site) -> None:
    async with site.bot() as bot:
        took, thread = await bot.approve_loop()
    chosen = [event for event in thread.events if isinstance(event, StepChosen)]
    assert [event.intent for event in chosen] == [answer["intent"] for answer in ANSWERS]
    started = [event for event in thread.events if isinstance(event, ToolStarted) or getattr(event, "begun", False)]
    assert len(started) == STEPS - 1, "written ahead"
    assert sum(isinstance(event, ToolFinished) for event in thread.events) == STEPS - 1
    assert thread.status == "done"
    assert min(took.whole, took.cpu, took.pause, took.resume) > 0


async def test_every_figure_that_needs_a_server_can_be_taken(site: Site) -> None:
    figures = [
        *await overhead(site, 1),
        *await growth(site, 1, with_peer=False),
        *await parked(site, 2),
        *await lists(site, 20, 1),
        *await through_the_queue(site, 1),
        *await first_look(site, 1),
        *await one_process(site, 4),
    ]
    assert all(math.isfinite(figure.value) for figure in figures)
    tasks = next(figure for figure in figures if figure.name == "parked thread, tasks in a worker")
    assert tasks.holds
    written = [figure for figure in figures if figure.name.startswith("bytes sent")]
    assert all(figure.holds for figure in written)
    assert written[-1].value < written[0].value * 1.1, "as much at any length"


async def test_the_context_takes_fewer_tokens_than_standard_messages() -> None:
    figures = {figure.name.strip(): figure.value for figure in await context_tokens()}
    assert figures["against messages on the wire"] < 0.70
    assert figures["against their texts alone"] < 0.95


async def test_threads_are_recorded_the_same_each_time() -> None:
    once, again = await recorded(), await recorded()
    assert len(once) >= 20
    assert [_prompt(each) for each in once] == [_prompt(each) for each in again]


def _prompt(each: Recorded) -> str:
    return Context(each.agent).render(each.thread)


async def test_in_standard_messages_every_call_has_one_result() -> None:
    for each in await recorded():
        messages = standard_messages(each.thread)
        calls = [call["id"] for message in messages for call in message.get("tool_calls", ())]
        results = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
        assert sorted(calls) == sorted(results), each.name


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("8697bbd,2026-11-16T06:52,Lin Berg,Search: rank exact matches first", 25),
        ('{"sha":"8697bbd","date":"2026-11-16T06:52","author":"Lin Berg","subject":"Search: rank exact matches"}', 34),
    ],
)
def test_tokens_are_estimated_as_o200k_counts_them(text: str, counted: int) -> None:
    assert tokens(text) == pytest.approx(counted, abs=1)


@pytest.mark.parametrize("length", [10, 100, 1000])
def test_a_history_is_as_long_as_asked(length: int) -> None:
    events = history(PLACE, length)
    assert len(events) == len({event.id for event in events}) == length


def test_the_table_says_what_holds_and_what_is_missed() -> None:
    told = table(
        [
            Figure("pause", 0.7, "ms", at_most=1),
            Figure("loops", 45.2, "/s", at_least=60, note="busy"),
            Figure("fold", 2.5, "ms"),
        ]
    )
    assert [line.split() for line in told.splitlines()] == [
        ["pause", "0.70", "ms", "<=", "1", "ms", "holds"],
        ["loops", "45.2", "/s", ">=", "60", "/s", "MISSED", "busy"],
        ["fold", "2.50", "ms"],
    ]


async def test_this_checkout_is_compared_with_another(site: Site) -> None:
    rounds = Rounds(loops=1, loops_at_once=1, long=1, floods=1, flood=2, parked=2, commands=1)
    table = await compared(site, [ROOT], rounds)
    heads, *rows = table.splitlines()
    assert len(heads.split()) == 2, "this one and the other"
    assert len(rows) > 10
    assert all(row.endswith("x)") for row in rows)
