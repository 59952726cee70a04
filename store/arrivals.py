"""The events of words and clicks that have arrived and are not read yet.

A channel that has to ask others before it can read a message (who wrote it, what was said before) appends what it got
as it is, and acknowledges it. A worker looks up the rest and appends what it means, under the id `becomes`. So no slow
call stands between a message and its being durable, and a crash between the two loses nothing and doubles nothing.
The ids of these events derive from `becomes`, so what is delivered again arrives once.

Words that may answer a question of another thread wait unread until their author says where they belong.

With a click it is the same: who clicked is looked up by a worker, and only then it is judged. A click that is not read
decides nothing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from store.recorded import Recorded
from store.values import Person

ClickAct = Literal["decides", "edits", "answers", "rates", "stops"]


class MessageArrived(Recorded):
    """A message, or an edit or the deletion of one, as a channel got it. Nobody acts on it before it is read."""

    kind: Literal["message_arrived"] = "message_arrived"
    channel: str
    becomes: str
    """The id of the event that says what it means: a MessageReceived, a MessageEdited or a MessageDeleted."""
    text: str
    clipped_from: int = 0
    """As in `MessageReceived`."""
    payload: dict[str, JsonValue]
    """The rest of it. Only the channel reads it."""
    answers: str = ""
    """The step whose question its author said that it answers; empty: they did not say."""


class ClickArrived(Recorded):
    """A person decided, answered or stopped something by a button or a form. It counts for nothing before it is read.

    What was due before it is done before it; what is due after it waits until it is read.
    """

    kind: Literal["click_arrived"] = "click_arrived"
    channel: str
    act: ClickAct
    payload: dict[str, JsonValue]
    """Who did what, as the channel got it. Only the channel reads it."""
    by: str = ""
    """Who clicked, by the channel's own id, which nobody has looked up. Older logs: empty."""
    about: str = ""
    """The step whose button it was; empty: it concerns the whole thread. Older logs: empty."""


class ClickRead(Recorded):
    """A click was judged. What came of it has events of its own, if anything did."""

    kind: Literal["click_read"] = "click_read"
    click: str
    """The id of the ClickArrived."""
    told: str = ""
    """What the person was told, alone."""
    moved_to: str = ""
    """The thread in which it is judged instead."""


Arrived = MessageArrived | ClickArrived


class ArrivalDropped(Recorded):
    """What arrived was known already, belongs to another thread, or is not for us. Nothing follows from it here."""

    kind: Literal["arrival_dropped"] = "arrival_dropped"
    becomes: str
    moved_to: str = ""
    """The thread in which it arrived instead."""


class OpenQuestion(BaseModel):
    """A question that waits for an answer in another thread."""

    model_config = ConfigDict(frozen=True)

    thread: str
    step: str
    question: str


class AnswerOffered(Recorded):
    """What arrived begins a conversation, but may answer a question that waits elsewhere. Its author is asked which.

    Until they say so, nothing that has arrived in the thread is read.
    """

    kind: Literal["answer_offered"] = "answer_offered"
    becomes: str
    to: Person
    words: str
    """The beginning of what they wrote, on one line."""
    questions: tuple[OpenQuestion, ...]


class WordsPlaced(Recorded):
    """The author said where the words belong. The first choice counts."""

    kind: Literal["words_placed"] = "words_placed"
    becomes: str
    by: Person
    thread: str = ""
    """The thread whose question they answer; empty: they begin a conversation here."""
    step: str = ""
    """The question."""


def key_of(arrived: Arrived) -> str:
    """What names it in `State.arrivals` until it is read."""
    return arrived.becomes if isinstance(arrived, MessageArrived) else arrived.id


def offered_id(becomes: str) -> str:
    return f"{becomes}/offered"


def placed_id(becomes: str) -> str:
    return f"{becomes}/placed"


def arrived_id(becomes: str) -> str:
    return f"{becomes}/arrived"


def read_id(click: str) -> str:
    """Of the event that says that this click was read."""
    return f"{click}/read"


def dropped_id(becomes: str) -> str:
    return f"{becomes}/dropped"
