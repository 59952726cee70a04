"""What is left out of a long prompt first, and what stays."""

from __future__ import annotations

from typing import Any

import pytest

from agent.context.blocks import Block
from agent.context.compaction import compacted
from agent.definition import Limits
from tests.agent.context.logs import conversation, told
from tests.agent.context.prompts import data_of, prompt_of
from tests.telling.story import message


def test_a_long_thread_is_compacted_and_keeps_the_first_and_the_newest_words() -> None:
    prompt = prompt_of(*conversation(100), limits=Limits(context_chars_max=4_000))
    assert len(prompt) <= 4_000
    assert "What I want is a quiet life." in prompt
    assert "text: question 99" in prompt
    assert data_of(prompt, "left_out") == {"what": "older events, for lack of room"}


def test_the_newest_words_survive_whatever_was_looked_up_since() -> None:
    looked = [event for n in range(50) for event in told(f"s{n}", "look", {f"k{i}": "y" * 500 for i in range(20)}, n=n)]
    prompt = prompt_of(
        message("first"), message("m2", "this is what I want"), *looked, limits=Limits(context_chars_max=9_000)
    )
    assert len(prompt) <= 9_000
    assert "this is what I want" in prompt


@pytest.mark.parametrize(
    ("long", "left"),
    [
        ("error", ["result", "request", "words", "solved"]),
        ("result", ["left_out: it was long", "request", "words", "solved"]),
        ("request", ["words", "solved"]),
        ("words", []),
    ],
)
def test_what_is_left_out_first_is_what_is_missed_least(long: str, left: list[str]) -> None:
    """Errors that were solved, then what can be looked up again, then what the program noted, then words."""

    def block(tag: str, name: str, **more: Any) -> Block:
        return Block(tag, f"{name}\n{'x' * (2_000 if name == long else 210)}\n", **more)

    blocks = [
        Block("message", "first\n"),
        block("flaky", "error", intent="flaky", error=True),
        block("look", "result", intent="look", result=True),
        block("approval_requested", "request"),
        block("message", "words"),
        Block("flaky", "solved\n", intent="flaky", result=True),
        *(Block("message", f"newest {n}\n") for n in range(4)),
    ]
    kept = compacted(blocks, sum(len(one.text) + 2 for one in blocks) - 1)
    names = [one.body.split("\n")[0] for one in kept]
    gap = "what: older events, for lack of room"
    assert names == ["first", gap, *left, *(f"newest {n}" for n in range(4))]
