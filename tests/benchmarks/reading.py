"""What it takes to read a thread of a thousand events, and what the model is charged for reading it."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.context.window import Context
from store.codec import decode, encode
from store.thread import Thread
from tests.benchmarks.figures import Figure, median_ms
from tests.benchmarks.messages import standard_messages, texts, wire
from tests.benchmarks.steps import Site, history
from tests.benchmarks.threads import recorded
from tests.benchmarks.tokens import ERROR_MAX, tokens
from tests.benchmarks.work import bench_agent


async def thousand_events(site: Site, rounds: int) -> list[Figure]:
    loads: list[float] = []
    async with site.bot() as bot:
        events = history(bot.new_place(), 1000)
        thread = await bot.store.append(Thread("t-thousand"), *events)
        for _ in range(rounds):
            began = time.monotonic()
            await bot.store.load(thread.id)
            loads.append(time.monotonic() - began)
    lines = [encode(event) for event in events]
    agent = bench_agent()
    context = Context(agent)
    context.render(thread)
    return [
        Figure("1,000 events: load", median_ms(loads), "ms", note="read, decode and fold"),
        Figure("  decode", _median_of(rounds, lambda: [decode(line) for line in lines]), "ms"),
        Figure("  fold", _median_of(rounds, lambda: Thread("t").extended(events)), "ms"),
        Figure("  render the first time", _median_of(rounds, lambda: Context(agent).render(thread)), "ms"),
        Figure("  render again", _median_of(rounds, lambda: context.render(thread)), "ms"),
    ]


def _median_of(rounds: int, work: Callable[[], object]) -> float:
    took = []
    for _ in range(rounds):
        began = time.monotonic()
        work()
        took.append(time.monotonic() - began)
    return median_ms(took)


async def context_tokens() -> list[Figure]:
    """The whole user message of every recorded thread; the system message is on neither side."""
    threads = await recorded()
    ours = on_the_wire = said = 0
    for each in threads:
        messages = standard_messages(each.thread)
        ours += tokens(Context(each.agent).render(each.thread))
        on_the_wire += tokens(wire(messages))
        said += tokens(texts(messages))
    note = f"{len(threads)} threads; o200k estimated, within {ERROR_MAX:.0%}"
    return [
        Figure("tokens of the context", ours / len(threads), "a thread", note=note),
        Figure("  against messages on the wire", ours / on_the_wire, "x", at_most=0.6),
        Figure("  against their texts alone", ours / said, "x", at_most=0.8),
    ]
