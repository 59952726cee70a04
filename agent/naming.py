"""Whether people have named what a model's call would change: out of nothing, nothing is changed.

A tool says which of its arguments people must name, and what they call its values (`Tool.named_by_people`).

| Text                                                         | Names |
|--------------------------------------------------------------|-------|
| the message of a verified person, and its subject            | yes   |
| the message of a program with a token of its own             | yes   |
| the question of ours that such a message answers             | yes   |
| what such a message passes on, as far as that can be told    | no    |
| the task of a schedule, a signed trigger                     | yes   |
| the comment of a verified person's decision                  | yes   |
| the reason for which another agent takes over                | yes   |
| a call that acts, of code, of a person, or one that began    | yes   |
| anybody else's message, the history before the first mention | no    |
| a file, what a tool looked up, what the model says itself    | no    |

It is no reading of what people want: words that name a thing may forbid it. It only keeps a model from filling in what
nobody has spoken of, and decides nothing that approvals decide: a call that is named waits for one as before, and with
it each call that doubtful words led to. So it is generous (`agent.spelling`). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from agent.definition import Agent, UnusableStep
from agent.spelling import CHARS_MAX, Words
from agent.steps import DoneForNow, NothingToDo, Step, Tool, as_question
from store.authority.words import is_machine
from store.events import (
    AgentChanged,
    ApprovalDecided,
    Event,
    MessageEdited,
    MessageReceived,
    StepChosen,
    StepRefused,
    TriggerReceived,
)
from store.state import StepState
from store.thread import Thread

REFUSALS_MAX = 2
"""After so many refusals since anybody wrote, code says what the model does not."""
DOUBTFUL = (
    "A person whom I can verify must name it: what others write, what is passed on and what stands in files names "
    "nothing."
)

_PREFIX = re.compile(r"\s*\[?[^\W\d_]{1,20}\s?(?:[\[(]\d{1,3}[\])])?\s?[:\uff1a]")
"""Of a subject, which is then that of another mail: `Fwd:`, `WG:`."""
_OTHERS_BEGIN = re.compile(r"\s*(?:[-_=]{3}|[*_]*[^\W\d_][\w .'()/-]{0,39}[*_]*\s?[:\uff1a](?![/:]).*\S@\S)")
"""A line from which on a mail is somebody else's: a rule, or a head with an address."""
_QUOTED = re.compile(r"\s*[>|»]")


def unnamed(thread: Thread, state: StepState, tool: Tool) -> dict[str, str]:
    """The arguments of the model's call that nobody has named, with their values."""
    if not tool.named_by_people or state.chosen.by != "model":
        return {}
    words = Words.of(_naming(thread, state))
    exactly = tool.stands_for()
    found = {}
    for argument, names in tool.named_by_people.items():
        value = str(getattr(tool, argument))
        is_named = any(words.have(name) for name in names.get(value, (value,)))
        if not is_named and not (argument in exactly and words.have_exactly(exactly[argument])):
            found[argument] = value
    return found


def in_words(thread: Thread, state: StepState, missing: Mapping[str, str]) -> tuple[str, str]:
    """Why such a call is refused, and what would help, for the model."""
    what = " and ".join(f"the {argument} {value}" for argument, value in missing.items())
    doubt = f" {DOUBTFUL}" if _is_doubtful(state) else ""
    if _has_begun_since_words(thread):
        instead = "What was asked for is under way or done: say with done_for_now what came of it."
    else:
        instead = "If nobody asks for one, choose nothing_to_do, or answer them with done_for_now."
    return (
        f"Not begun: nobody here has named {what}.{doubt}",
        f"If somebody asks for a change, ask with request_human_input which {' and '.join(missing)} they mean. "
        f"{instead}",
    )


def instead_of_insisting(agent: Agent, thread: Thread) -> Step | None:
    """What code chooses where the model insists on what nobody has named; None: it does not, or something has begun.

    Code cannot tell thanks from an order that names nothing. So where the words name something of ours, it asks. Where
    they name nothing, it says once in a thread what it would need, and is silent after that.
    """
    state = thread.state
    last = thread.events[state.news_at] if state.news and not state.stopped else None
    if not isinstance(last, StepRefused) or last.step != state.current:
        return None
    missing, tool = _missing(agent, thread, state.steps[last.step])
    if not tool or not missing or _has_begun_since_words(thread):
        return None
    since = (state.steps[event.step] for event in _since_words(thread) if isinstance(event, StepChosen))
    if sum(step.status == "refused" and bool(_missing(agent, thread, step)[0]) for step in since) < REFUSALS_MAX:
        return None
    doubt = DOUBTFUL if _is_doubtful(state.steps[last.step]) else ""
    names = (name for values in tool.named_by_people.values() for each in values.values() for name in each)
    words = Words.of(_of_this_turn(thread))
    if any(words.have(name) for name in names):
        which = " and ".join(f"which {argument}" for argument in missing)
        why = f"I change only what somebody has named. {doubt}".strip()
        return as_question(f"{which.capitalize()} do you mean?", f"{why} If nothing is to change, you need not answer.")
    which = " and ".join(f"which {argument}" for argument in tool.named_by_people)
    told = f"I have changed nothing. If something is to be changed, tell me {which}. {doubt}".strip()
    is_told = any(
        one.chosen.by == "code" and one.chosen.arguments.get("message") == told for one in state.steps.values()
    )
    return NothingToDo() if is_told else DoneForNow(message=told)


def _missing(agent: Agent, thread: Thread, state: StepState) -> tuple[dict[str, str], Tool | None]:
    try:
        step = agent.parse(state.chosen.intent, state.chosen.arguments)
    except UnusableStep:
        return {}, None
    return (unnamed(thread, state, step), step) if isinstance(step, Tool) else ({}, None)


def _is_doubtful(state: StepState) -> bool:
    """Whether somebody may have named it in words that name nothing."""
    return bool(state.words.passed_on) or any(person.trust != "verified" for person in state.words.authors)


def _since_words(thread: Thread) -> Iterator[Event]:
    """The events since somebody wrote or decided, the newest first."""
    for event in reversed(thread.events):
        if isinstance(event, MessageReceived | TriggerReceived | ApprovalDecided | AgentChanged):
            return
        yield event


def _has_begun_since_words(thread: Thread) -> bool:
    """Then people wait for what came of it, which only the model tells them."""
    chosen = (event for event in _since_words(thread) if isinstance(event, StepChosen) and event.acts)
    return any(thread.state.steps[event.step].attempt for event in chosen)


def _of_this_turn(thread: Thread) -> Iterator[str]:
    """What anybody wrote since the agent spoke last, whoever vouches for it."""
    texts = thread.state.edits.texts
    for event in reversed(thread.events):
        match event:
            case MessageReceived():
                yield event.subject
                yield texts.get(event.id, event.text) or ""
            case TriggerReceived():
                yield event.name
                yield from _values(event.data)
            case ApprovalDecided():
                yield event.comment
            case StepChosen() if thread.state.steps[event.step].effect in ("says", "asks", "rests"):
                return
            case _:
                pass


# What names


def _naming(thread: Thread, state: StepState) -> Iterator[str]:
    """All that may name something, before the call was chosen; the newest first."""
    passing_on = {event.message for event in thread.events if isinstance(event, MessageEdited) and event.passes_on}
    events = reversed(thread.events)
    for event in events:
        if event.id == state.chosen.id:
            break
    for event in events:
        match event:
            case MessageReceived() if event.sender.trust == "verified" or is_machine(event.sender):
                yield from _in_message(event, thread, passes_on=event.passes_on or event.id in passing_on)
            case TriggerReceived():
                yield event.name
                yield from _values({key: one for key, one in event.data.items() if key not in event.third_party})
            case ApprovalDecided() if event.by.trust == "verified":
                yield event.comment
            case AgentChanged():
                yield event.reason
            case StepChosen(acts=True) if event.by != "model" or thread.state.steps[event.step].attempt:
                yield from _values(event.arguments)
            case _:
                pass


def _in_message(message: MessageReceived, thread: Thread, *, passes_on: bool) -> Iterator[str]:
    text = thread.state.edits.texts.get(message.id, message.text)
    if text is None:
        return
    yield _own(text) if passes_on else text
    if not passes_on or not _PREFIX.match(message.subject):
        yield message.subject
    if question := thread.state.steps.get(message.answers):
        yield from _asked(question.chosen)


def _asked(question: StepChosen) -> Iterator[str]:
    match question.arguments:
        case {"question": str(asked), "context": str(context), "options": {"choices": [*choices]}}:
            yield asked
            yield from _values(choices)
            if question.by == "model":  # Those of code are the same everywhere.
                yield context
        case _:
            pass


def _own(text: str) -> str:
    """What the sender of a message that passes on others' words has written, as far as it can be told.

    What is taken for theirs wrongly still begins nothing: each call after such a message waits for an approval.
    """
    own = []
    for line in text[:CHARS_MAX].split("\n"):
        introduces = "@" in line and line.rstrip().endswith((":", "\uff1a"))  # `ben@example.com wrote:`
        if introduces or _OTHERS_BEGIN.match(line):
            break
        if not _QUOTED.match(line):
            own.append(line)
    return "\n".join(own)


def _values(data: Mapping[str, JsonValue] | Sequence[JsonValue]) -> Iterator[str]:
    for value in data.values() if isinstance(data, Mapping) else data:
        if isinstance(value, dict | list):
            yield from _values(value)
        elif isinstance(value, str):
            yield value
