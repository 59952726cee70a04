"""The context window: renders a thread for the model, as a pure function of its events (factor 3).

It is one user message: a block for every relevant event, then the ongoing work, then the question. While it fits, the
text grows only at its end, so that providers can cache it; when it no longer fits, it is compacted to half its size in
one go. It is never longer than `Limits.context_chars_max`, or than the model takes. The system message and the answer's
schema are made elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.context.blocks import Block, block_of, is_final
from agent.context.compaction import compacted, without_seen_rows
from agent.context.now import under_way
from agent.context.writer import fitting
from agent.definition import Agent
from store.events import Event, StepChosen
from store.thread import Thread

QUESTION = "What should the next step be?"

SHARE = 8
"""A block takes at most one eighth of the context, so the newest four, the first and the last request always fit."""


class Context:
    """Renders one thread repeatedly while it grows, each finished event only once.

    A thread that was read anew is rendered anew: it may be another one, if the store lost events of it.
    """

    def __init__(self, agent: Agent, chars_max: int = 0) -> None:
        """`chars_max`: for a model that takes less than the agent's own limit; 0: there is no such limit."""
        self._agent = agent
        limit = agent.limits.context_chars_max
        self._chars_max = min(limit, chars_max or limit)
        self._forget()

    def _forget(self) -> None:
        self._done: dict[int, Block | None] = {}
        self._order: list[int] = []
        self._last: Event | None = None
        """The newest event of the thread when it was rendered last."""

    def render(self, thread: Thread) -> str:
        """The whole user message."""
        rendered = len(self._order)
        if rendered > thread.version or (rendered and thread.events[rendered - 1] is not self._last):
            self._forget()
        self._last = thread.events[-1]
        share = self._chars_max // SHARE
        blocks = []
        for index in self._as_read(thread.events):
            event = thread.events[index]
            if index in self._done:
                block = self._done[index]
            else:
                block, final = block_of(event, index, thread, self._agent), is_final(event, thread)
                room = share - 2 * len(block.tag) - 16 if block else 0
                if block and len(block.body) > room:
                    block = replace(block, body=fitting(block.body, room), tables=())
                if final:
                    self._done[index] = block
            if block:
                blocks.append(block)
        now = Block("now", fitting(under_way(thread), share - len("<now>\n</now>\n\n\n\n") - len(QUESTION)))
        kept = compacted(blocks, self._chars_max - share)
        return "\n\n".join([*without_seen_rows(kept), now.text, QUESTION])

    def _as_read(self, events: Sequence[Event]) -> Sequence[int]:
        """The indices of the events in the order in which the model met them.

        A step comes before the words that its prompt did not hold, so the text still grows only at its end.
        """
        for index in range(len(self._order), len(events)):
            event, place = events[index], index
            if isinstance(event, StepChosen) and event.seen:
                while place and self._order[place - 1] >= event.seen:
                    place -= 1
            self._order.insert(place, index)
        return self._order
