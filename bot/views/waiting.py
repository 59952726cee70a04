"""What waits for a person in a thread, as an entry: the request for an approval, or the agent's question."""

from __future__ import annotations

from agent.speech.messages import question
from agent.speech.requests import approval
from bot.views.entry import Entry
from store.state import Request
from store.thread import Thread


def waiting(thread: Thread) -> Entry | None:
    """None: nothing waits for a person."""
    if thread.pending:
        return request_entry(thread, thread.pending)
    asked = thread.step(thread.state.question)
    return Entry.of("bot", question(asked.chosen)) if asked else None


def request_entry(thread: Thread, request: Request) -> Entry:
    return Entry.of("request", approval(thread, request))
