"""The part of the fold that is about what has arrived: until it is read, and where its author says that it belongs.

What no worker can read is set aside: it holds up nothing any more that people do by other ways. But what was about to
begin then waits for a person, because nobody knows whether it was forbidden.

The rules are those of `store.fold`, whose table names these functions.
"""

from __future__ import annotations

from store.arrivals import AnswerOffered, ArrivalDropped, ClickArrived, ClickRead, MessageArrived, WordsPlaced
from store.events import ThreadUnserved
from store.keys import MessageKey, deleted
from store.moves import close_offer
from store.state import State


def message_arrived(state: State, event: MessageArrived, index: int) -> None:
    state.arrivals[event.becomes] = index
    if state.offered and event.becomes == deleted(state.offered):
        close_offer(state, state.offered, index)


def click_arrived(state: State, event: ClickArrived, index: int) -> None:
    state.arrivals[event.id] = index


def click_read(state: State, event: ClickRead, index: int) -> None:
    end_arrival(state, event.click)


def arrival_dropped(state: State, event: ArrivalDropped, index: int) -> None:
    end_arrival(state, event.becomes)


def end_arrival(state: State, key: str) -> None:
    """It is read, or nothing follows from it. `key`: as in `State.arrivals`; of anything else, nothing happens."""
    state.arrivals.pop(key, None)
    put_back(state, key)


def put_back(state: State, key: str) -> None:
    """Somebody could read it: it is set aside no more."""
    if key in state.aside:
        state.aside = tuple(one for one in state.aside if one != key)
        if not state.aside:
            _go_on(state)
            state.outbox.drop("unserved")  # It would be told late, and is not so any more.


def set_aside(state: State, event: ThreadUnserved, index: int) -> bool:
    """Whether there is something of which people are to be told."""
    known = [key for key in event.set_aside if key in state.arrivals and key not in state.aside]
    if state.cancelled and not event.holds:  # Nobody waits for it.
        for key in known:
            end_arrival(state, key)
        return False
    state.aside = (*state.aside, *known)
    if event.holds and known and not state.cancelled:
        state.held_at = index
    return bool(known)


def person_acted(state: State, arrived: str = "") -> None:
    """A person whom somebody vouches for moved the thread. If it arrived before people were told of what is set aside,
    they did it without knowing of that, and what may be forbidden still does not begin.

    `arrived`: what they did it by, as in `State.arrivals`; anything else: they did it now.
    """
    if state.arrivals.get(arrived, state.held_at + 1) > state.held_at:
        _go_on(state)


def _go_on(state: State) -> None:
    """A person knows of what is set aside, or nothing is."""
    if state.held_back:
        # What cannot be served from here on is something else, of which nobody was told.
        state.held_at, state.unserved = -1, False


def forget_aside(state: State) -> None:
    """The thread is cancelled."""
    for key in state.aside:
        end_arrival(state, key)


def answer_offered(state: State, event: AnswerOffered, index: int) -> None:
    # Its author may have deleted it while the offer was made.
    if event.becomes in state.arrivals and deleted(event.becomes) not in state.arrivals:
        state.offered = event.becomes
        put_back(state, event.becomes)
        state.outbox.put(MessageKey(event.id, "notice"), "offer", index)


def words_placed(state: State, event: WordsPlaced, index: int) -> None:
    close_offer(state, event.becomes, index)
