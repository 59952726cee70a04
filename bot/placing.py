"""Finds the questions that a new direct message may answer, offers them to its author, and places the words.

What people write is never guessed to be an answer: its author presses a button. Until then the words wait unread in
the thread that they would begin (`store.arrivals`). The choice is durable first, and then a worker carries it out
(`bot.arrivals`), so a crash between the two loses nothing and doubles nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

from agent.speech.offers import SOMETHING_NEW, number_of, offer_of
from bot import listing
from bot.deciding import Deciding
from bot.questions import question_for
from channels.inbound import InboundMessage, Refused
from store.arrivals import AnswerOffered, MessageArrived, OpenQuestion, WordsPlaced, offered_id, placed_id
from store.authority.terms import names_of
from store.base import ThreadMoved, UnknownThread
from store.events import MessageReceived
from store.rows import Filter, Row
from store.text import one_line
from store.thread import Thread
from store.values import Person

QUESTIONS_MAX = 3
QUESTION_AGE_MAX = timedelta(days=7)
"""Since anything happened in the question's thread. An older one waits there, and is offered no more."""
LOOKED_AT_MAX = 50
"""The newest threads with a question, of those in which the person wrote, and of their direct messages."""
WORDS_CHARS_MAX = 200


class Placing(Deciding):
    async def offer(self, thread: Thread, arrived: MessageArrived, message: InboundMessage) -> AnswerOffered | None:
        """The offer to make of this message, which begins a direct conversation; None: no question waits."""
        by = self._people.identified(message.sender)
        found = [one async for one in self._put_to(by, thread, message.beside)]
        if not found:
            return None
        newest = sorted(found, key=lambda one: one[0].updated_at, reverse=True)[:QUESTIONS_MAX]
        return AnswerOffered(
            id=offered_id(arrived.becomes),
            at=self._clock(),
            becomes=arrived.becomes,
            to=by,
            words=one_line(message.text, WORDS_CHARS_MAX),
            questions=tuple(asked for _, asked in newest),
        )

    async def _put_to(self, by: Person, thread: Thread, beside: str) -> AsyncIterator[tuple[Row, OpenQuestion]]:
        """The open questions of other threads that were put to this person, and in which something happened lately."""
        waits = Filter(
            channel=thread.place.channel,
            statuses=frozenset({"waiting_for_answer"}),
            changed_after=self._clock() - QUESTION_AGE_MAX,
        )
        rows: dict[str, Row] = {}
        for wanted in (replace(waits, person=by.address), replace(waits, address=beside)):
            looked_at = 0
            async for row in listing.rows(self._store, wanted):
                rows[row.id] = row
                looked_at += 1
                if looked_at >= LOOKED_AT_MAX:
                    break
        rows.pop(thread.id, None)
        async for other in self._store.load_each(list(rows)):
            if asked := question_for(other, by, beside=beside):
                question = str(asked.chosen.arguments.get("question", ""))
                yield rows[other.id], OpenQuestion(thread=other.id, step=asked.id, question=question)

    async def _place(self, thread: Thread, offered: AnswerOffered, sender: Person, text: str, number: int) -> Thread:
        """Say where the words belong, by the number or the text of a choice. The same choice again changes nothing.

        Raises Refused.
        """
        by, choices = self._people.identified(sender), offer_of(offered).choices
        if names_of(by).isdisjoint(names_of(offered.to)):
            raise Refused(f"Only {offered.to.name} can say where these words belong.", "not_entitled")
        if number < 0 and text in choices:
            number = choices.index(text)
        if not 0 <= number < len(choices):
            raise Refused("There is no such choice.", "unknown")
        placed = placed_in(thread, offered.becomes)
        if placed and number_of(offered, placed) == number:
            return thread
        if thread.state.cancelled:
            raise Refused(
                "This conversation was cancelled, so nothing was done with your message. Write it anew.", "moved"
            )
        if placed or thread.state.offered != offered.becomes:
            raise Refused("It is settled already where these words belong, so this changed nothing.", "moved")
        chosen = offered.questions[number] if number < len(offered.questions) else None
        if chosen:
            await self._check_open(chosen)
        event = WordsPlaced(
            id=placed_id(offered.becomes),
            at=self._clock(),
            becomes=offered.becomes,
            by=by,
            thread=chosen.thread if chosen else "",
            step=chosen.step if chosen else "",
        )
        try:
            return await self._append(thread, event, if_unmoved=True)
        except ThreadMoved as moved:
            return await self._place(moved.thread, offered, sender, text, number)

    async def _check_open(self, asked: OpenQuestion) -> None:
        """Raises Refused if the question waits for no answer any more."""
        try:
            thread = await self._store.load(asked.thread)
        except UnknownThread:
            thread = Thread(asked.thread)
        if thread.state.question == asked.step and not thread.state.cancelled:
            return
        answers = (e.sender.name for e in thread.events if isinstance(e, MessageReceived) and e.answers == asked.step)
        by = next(answers, "")
        ended = f"{by} has answered that question meanwhile" if by else "That question no longer waits for an answer"
        raise Refused(f"{ended}, so nothing was done with your message. Choose “{SOMETHING_NEW}” to go on.", "moved")


def offered_in(thread: Thread, event_id: str) -> AnswerOffered | None:
    """The offer with this id."""
    return next((e for e in thread.events if isinstance(e, AnswerOffered) and e.id == event_id), None)


def placed_in(thread: Thread, becomes: str) -> WordsPlaced | None:
    """Where the author said that these words belong; None: they were not asked, or did not say."""
    return next((e for e in thread.events if isinstance(e, WordsPlaced) and e.becomes == becomes), None)
