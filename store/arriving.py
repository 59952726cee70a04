"""The part of the fold that is about what has arrived: until it is read, and where its author says that it belongs.

The rules are those of `store.fold`, whose table names these functions.
"""

from __future__ import annotations

from store.arrivals import AnswerOffered, ArrivalDropped, ClickArrived, ClickRead, MessageArrived, WordsPlaced
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


def answer_offered(state: State, event: AnswerOffered, index: int) -> None:
    # Its author may have deleted it while the offer was made.
    if event.becomes in state.arrivals and deleted(event.becomes) not in state.arrivals:
        state.offered = event.becomes
        state.outbox.put(MessageKey(event.id, "notice"), "offer", index)


def words_placed(state: State, event: WordsPlaced, index: int) -> None:
    close_offer(state, event.becomes, index)
