"""The part of the fold that is about the thread as a whole: its agent, its place, whose turn it is, how it is steered.

The rules are those of `store.fold`, whose table names these functions.
"""

from __future__ import annotations

from store.arriving import forget_aside, person_acted, set_aside
from store.events import (
    AgentChanged,
    EventsLost,
    HandedToHuman,
    ThreadCancelled,
    ThreadForked,
    ThreadOpened,
    ThreadPaused,
    ThreadReopened,
    ThreadResumed,
    ThreadUnserved,
    WorkStopped,
)
from store.keys import MessageKey
from store.moves import (
    begin_copy,
    cancel,
    end_edit,
    end_open_steps,
    end_outage,
    reopen,
    start_turn,
    stop,
    stop_choosing,
)
from store.state import NOT_BEGUN, State


def thread_opened(state: State, event: ThreadOpened, index: int) -> None:
    state.agent, state.place = event.agent, event.place


def agent_changed(state: State, event: AgentChanged, index: int) -> None:
    state.agent = event.agent
    end_edit(state, event.id, index)
    end_open_steps(state, "finished", {"chosen"}, index)
    # The approval was for a call of the other agent, even if this one has a tool of the same name.
    end_open_steps(state, "superseded", NOT_BEGUN, index)
    start_turn(state, index)


def handed_to_human(state: State, event: HandedToHuman | EventsLost, index: int) -> None:
    stop_choosing(state, index)
    end_edit(state, event.id, index)
    state.handed_to_human = True
    state.errors_in_row = state.steps_in_turn = 0
    state.outbox.put(MessageKey(event.id, "say"), "handed_to_human", index)


def events_lost(state: State, event: EventsLost, index: int) -> None:
    state.ahead = max(state.ahead, event.numbered_from - index - 1)
    handed_to_human(state, event, index)


def thread_unserved(state: State, event: ThreadUnserved, index: int) -> None:
    if event.set_aside:
        if not set_aside(state, event, index):
            return
    else:
        state.unserved = True
    state.outbox.put(MessageKey(event.id, "notice"), "unserved", index, place=event.place)


def thread_paused(state: State, event: ThreadPaused, index: int) -> None:
    state.paused = True


def thread_resumed(state: State, event: ThreadResumed, index: int) -> None:
    state.paused = False
    person_acted(state)
    end_outage(state)  # Nobody asked the model meanwhile.


def thread_cancelled(state: State, event: ThreadCancelled, index: int) -> None:
    cancel(state, index)
    forget_aside(state)
    if event.reason:
        state.words = state.words.by(event.by)
    state.outbox.put(MessageKey(event.id, "notice"), "notice", index)


def work_stopped(state: State, event: WorkStopped, index: int) -> None:
    if not state.cancelled:
        stop(state, index)
        person_acted(state, event.click)
        state.outbox.put(MessageKey(event.id, "notice"), "notice", index)


def thread_reopened(state: State, event: ThreadReopened, index: int) -> None:
    if state.cancelled:
        reopen(state, index)
        state.outbox.put(MessageKey(event.id, "notice"), "notice", index)


def thread_forked(state: State, event: ThreadForked, index: int) -> None:
    begin_copy(state, index)
