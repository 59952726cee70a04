"""People's newest words as a short chat, a line each, for a model that sorts them (`agent.model.second_look`).

Beside people's messages it has what they answer: the agent's questions, and a request that somebody rejected with a
comment. The last line is never the agent's own. A line is one line, whatever a name or a message holds. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import JsonValue

from store.events import ApprovalDecided, Event, MessageReceived, StepChosen, TriggerReceived
from store.text import one_line
from store.thread import Thread
from store.values import Person

LINES_MAX = 6
LINE_CHARS_MAX = 400
NAME_CHARS_MAX = 20
BOT = "bot"


def newest_words(thread: Thread) -> str:
    """Empty: nobody has written since a trigger, whose task is the team's own, or nobody at all."""
    found: list[tuple[str, str]] = []
    for who, words in _newest_first(thread):
        if words and (found or who != BOT):
            found.append((who, one_line(words, LINE_CHARS_MAX)))
        if len(found) == LINES_MAX:
            break
    return "\n".join(f"{who}: {words}" for who, words in reversed(found))


def _newest_first(thread: Thread) -> Iterator[tuple[str, str]]:
    for event in reversed(thread.events):
        if isinstance(event, TriggerReceived):
            return
        yield from _of(event, thread)


def _of(event: Event, thread: Thread) -> Iterator[tuple[str, str]]:
    match event:
        case MessageReceived():
            yield _name(event.sender), thread.state.edits.texts.get(event.id, event.text) or ""
        case ApprovalDecided(approved=False) if event.comment and (asked := thread.state.steps[event.step].request):
            yield _name(event.by), f"no, {event.comment}"
            yield BOT, f"{asked.asked.title}?"
        case StepChosen(by="model", effect="asks"):
            yield BOT, _text(event.arguments.get("question"))
        case _:
            pass


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def _name(person: Person) -> str:
    name = _plain(person.name or person.member)
    return "somebody" if not name or name == BOT else name


def _plain(name: str) -> str:
    """Letters and digits of its beginning, so that no name looks like words."""
    return "-".join(re.findall(r"\w+", name))[:NAME_CHARS_MAX]
