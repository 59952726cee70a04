"""The context window: what the model is sent of a thread, as a pure function of its events (factor 3).

One user message: a block for every event that matters, then what is under way now, then the question. The text only
grows at its end while it fits, which lets providers cache it; where it does not fit any more it is compacted in one go
to half its size. It is never longer than `Limits.context_chars_max`. The system prompt and the schema of the answer are
not made here.
"""

from __future__ import annotations

from dataclasses import replace

from agent.context.blocks import Block, block_of, is_final
from agent.context.compaction import compacted, without_seen_rows
from agent.context.now import under_way
from agent.context.writer import fitting
from agent.definition import Agent
from store.thread import Thread

QUESTION = "What should the next step be?"

SHARE = 8
"""One block takes at most this part of the context: the newest four, the first and the newest words always fit."""


class Context:
    """Renders one thread again and again while it grows, each finished event once."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._done: dict[int, Block | None] = {}

    def render(self, thread: Thread) -> str:
        """The whole user message."""
        limits = self._agent.limits
        share = limits.context_chars_max // SHARE
        blocks = []
        for index, event in enumerate(thread.events):
            if index in self._done:
                block = self._done[index]
            else:
                block, final = block_of(event, thread, self._agent), is_final(event, thread)
                room = share - 2 * len(block.tag) - 16 if block else 0
                if block and len(block.body) > room:
                    block = replace(block, body=fitting(block.body, room), table=())
                if final:
                    self._done[index] = block
            if block:
                blocks.append(block)
        now = Block("now", fitting(under_way(thread), share - len("<now>\n</now>\n\n\n\n") - len(QUESTION)))
        kept = compacted(blocks, limits.context_chars_max - share)
        return "\n\n".join([*without_seen_rows(kept), now.text, QUESTION])
