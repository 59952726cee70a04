"""Says what people are asked about words that may answer a question of another thread. Pure.

The choices are buttons, so each shows only the beginning of its question; above them it is shown in full. What a choice
does is `bot.placing`.
"""

from __future__ import annotations

from collections.abc import Sequence

from channels.messages import Answered, Dropped, Question
from store.arrivals import AnswerOffered, OpenQuestion, WordsPlaced
from store.events import Event
from store.text import one_line

SOMETHING_NEW = "Start something new"
CHOICE_CHARS_MAX = 75
"""Of the words on a button of Slack."""
QUESTION_CHARS_MAX = 500


def offer_of(event: AnswerOffered) -> Question:
    """The message that asks where the words belong. Its last choice is SOMETHING_NEW, the others are the questions."""
    listed = [f"• {one_line(asked.question, QUESTION_CHARS_MAX)}" for asked in event.questions]
    waits = "A question waits" if len(listed) == 1 else f"{len(listed)} questions wait"
    context = [f"{waits} for you in another conversation:", *listed]
    return Question(
        step=event.id,
        question="What is this message for?",
        context="\n".join([*context, "Until you choose, I do nothing with your message."]),
        format="multiple_choice",
        choices=(*_choices(event.questions), SOMETHING_NEW),
        in_words=False,
    )


def closed_offer(offered: AnswerOffered, closed_by: Event) -> Question:
    """The same message, once nobody has to choose any more."""
    asked = offer_of(offered)
    if not isinstance(closed_by, WordsPlaced):
        return Question(step=asked.step, question=asked.question, state=Dropped())
    state = Answered(closed_by.by.name, asked.choices[number_of(offered, closed_by)])
    return Question(step=asked.step, question=asked.question, state=state)


def number_of(offered: AnswerOffered, placed: WordsPlaced) -> int:
    """Which of the choices it is."""
    places, chosen = [(asked.thread, asked.step) for asked in offered.questions], (placed.thread, placed.step)
    return places.index(chosen) if chosen in places else len(places)


def _choices(questions: Sequence[OpenQuestion]) -> list[str]:
    """No two are alike."""
    found: list[str] = []
    for asked in questions:
        number = sum(_clipped(asked.question) == _clipped(other.question) for other in questions[: len(found)])
        found.append(_clipped(asked.question, f" ({number + 1})" if number else ""))
    return found


def _clipped(question: str, ending: str = "") -> str:
    begins = "Use it as the answer to: "
    return f"{begins}«{one_line(question, CHOICE_CHARS_MAX - len(begins) - len(ending) - 2)}»{ending}"
