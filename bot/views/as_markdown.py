"""A whole thread as Markdown, for a ticket or a review. It adds nothing to what `bot.views.transcript` says.

Text from people and from outside stands in fences, and cannot end them.
"""

from __future__ import annotations

from bot.views.transcript import entries
from store.text import one_line
from store.thread import Thread


def markdown(thread: Thread) -> str:
    head = [
        f"# Thread {_escaped(thread.id)}",
        "",
        f"Agent {_escaped(thread.agent)}, {_escaped(thread.place.channel)}, {thread.status}, {thread.version} events.",
        "",
    ]
    body = []
    for entry in entries(thread):
        fence = "`" * max(3, _longest_run_of_backticks(entry.text) + 1)
        body += [f"**{_escaped(entry.who)}**", "", fence, entry.text, fence, ""]
    return "\n".join(head + body)


def _longest_run_of_backticks(text: str) -> int:
    longest = run = 0
    for char in text:
        run = run + 1 if char == "`" else 0
        longest = max(longest, run)
    return longest


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\`*_[]<>#" else char for char in one_line(text, 80))
