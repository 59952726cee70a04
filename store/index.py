"""Computes the row of a thread in the index from its events. Pure.

A row is computed from a thread alone, so it can always be computed again. It holds the length of the log that it was
computed from: it is true as long as the log has that length. A store keeps rows so that a list need not load whole
logs; what it keeps is never trusted beyond that.

Who may decide is kept by group, never by person: who is in a group changes with the team file.
"""

from __future__ import annotations

from store.arrivals import AnswerOffered
from store.authority.terms import names_of
from store.events import ApprovalDecided, MessageReceived, ThreadForked, TriggerReceived
from store.rows import Row
from store.state import Request
from store.text import one_line
from store.thread import Thread
from store.values import Person

TITLE_CHARS_MAX = 100
PEOPLE_MAX = 10
"""A row names at most so many people."""


def row_of(thread: Thread) -> Row:
    """The row of a thread that has events."""
    people = people_of(thread)
    pending, place = thread.pending, thread.state.place
    return Row(
        id=thread.id,
        version=thread.version,
        status=thread.status,
        # What was moved to another thread leaves one behind in which there is nothing to see.
        agent="" if thread.has_only_arrivals and not thread.state.arrivals and thread.version > 1 else thread.agent,
        channel=place.channel if place else "",
        address=place.address if place else "",
        updated_at=thread.events[-1].at,
        title=title_of(thread),
        requester=_requester(thread),
        people=tuple(people[:PEOPLE_MAX]),
        crowded=len(people) > PEOPLE_MAX,
        groups=groups_of(pending) if pending else (),
        detailed=pending is not None or thread.step(thread.state.question) is not None,
    )


def title_of(thread: Thread) -> str:
    """What the thread is about, on one line: the open request or question, or else the last message."""
    if pending := thread.pending:
        return one_line(pending.title, TITLE_CHARS_MAX)
    if asked := thread.step(thread.state.question):
        return one_line(str(asked.chosen.arguments.get("question", "")), TITLE_CHARS_MAX)
    for event in reversed(thread.events):
        match event:
            case MessageReceived():
                return one_line(event.subject or event.text, TITLE_CHARS_MAX)
            case AnswerOffered():
                return one_line(event.words, TITLE_CHARS_MAX)
            case TriggerReceived():
                return one_line(f"{event.source} {event.name}", TITLE_CHARS_MAX)
            case _:
                pass
    return ""


def people_of(thread: Thread) -> list[str]:
    """The addresses of everybody who takes part: wrote, decided, or made this fork, in this order.

    A decision that did not count makes nobody take part: a card may be shown where people see it who are not asked.
    """
    wrote, decided, forked = list[str](), list[str](), list[str]()
    for event in thread.events:
        if isinstance(event, MessageReceived):
            wrote.append(event.sender.address)
        elif isinstance(event, TriggerReceived) and event.by:
            wrote.append(event.by.address)
        elif isinstance(event, ApprovalDecided) and counted(thread, event):
            decided.append(event.by.address)
        elif isinstance(event, ThreadForked):
            forked.append(event.by.address)
    return [address for address in dict.fromkeys((*wrote, *decided, *forked)) if address]


def counted(thread: Thread, decision: ApprovalDecided) -> bool:
    """Whether the decision had an effect."""
    step = thread.step(decision.step)
    return bool(step and step.request and step.request.outcomes.get(decision.id) in ("settled", "counted"))


def _requester(thread: Thread) -> tuple[str, ...]:
    for event in thread.events:
        match event:
            case MessageReceived():
                return _named(event.sender)
            case TriggerReceived(by=Person() as sender):
                return _named(sender)
            case TriggerReceived():
                return (one_line(f"{event.source} {event.name}", TITLE_CHARS_MAX),)
            case _:
                pass
    return ()


def _named(person: Person) -> tuple[str, ...]:
    name = one_line(person.name or person.address, TITLE_CHARS_MAX)
    return (name, *sorted(other for other in names_of(person) if other != name))


def groups_of(request: Request) -> tuple[str, ...]:
    """The groups that may decide it."""
    terms = request.terms
    if terms.standing:
        return ()  # Only the standing approval decides it.
    return tuple(filter(None, (terms.group, terms.then if request.widened else "")))


# What a list asks for


# As it is kept
