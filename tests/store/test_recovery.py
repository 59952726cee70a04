"""What a process does about a log that lost what it remembers."""

from __future__ import annotations

from datetime import timedelta

from store.events import EventsLost
from store.memory import MemoryStore
from store.recovery import loss, write_back
from store.thread import Thread
from tests.telling.story import AT, chosen, finished, message, started, thread

RAN = (message(), chosen("s1", acts=True), started("s1"), finished("s1"))


def test_nothing_is_lost_of_a_log_that_grew() -> None:
    found = loss(thread(*RAN[:2]).events, thread(*RAN))
    assert (found.missing, found.conflicting) == ((), ())


def test_what_others_recorded_in_the_same_words_is_no_conflict() -> None:
    """Whoever sends a message or ends a step twice says the same; only the time differs."""
    again = finished("s1").model_copy(update={"at": AT + timedelta(seconds=5)})
    found = loss(thread(*RAN).events, thread(*RAN[:3], again))
    assert (found.missing, found.conflicting) == ((), ())


def test_two_starts_of_one_call_at_different_times_are_two() -> None:
    again = started("s1").model_copy(update={"at": AT + timedelta(seconds=5)})
    found = loss(thread(*RAN).events, thread(*RAN[:2], again, RAN[3]))
    assert found.missing == ()
    assert found.conflicting == (started("s1"),)


async def test_people_are_told_of_a_call_that_ran_once_more_on_the_log_that_had_lost_it() -> None:
    store = MemoryStore()
    again = started("s1").model_copy(update={"at": AT + timedelta(seconds=5)})
    there = await store.append(Thread("t1"), *thread(*RAN[:2], again, RAN[3]).events)
    for _ in range(2):
        now = (await write_back(store, thread(*RAN), now=lambda: AT)).thread
        (told,) = [event for event in now.events if isinstance(event, EventsLost)]
        assert (now.version, told.restored) == (there.version + 1, 0)
        assert "started" in str(told.conflicting)


OTHERS = (message(), chosen("s1", acts=True, tag="v2"))


def test_what_is_about_a_step_whose_id_is_anothers_now_is_a_conflict_too() -> None:
    found = loss(thread(*RAN).events, thread(*OTHERS))
    assert (found.missing, found.conflicting) == ((), RAN[1:])


async def test_no_number_is_given_again_that_a_lost_event_may_have_had() -> None:
    store = MemoryStore()
    await store.append(Thread("t1"), *thread(*OTHERS).events)
    remembered = thread(*RAN)
    now = (await write_back(store, remembered, now=lambda: AT)).thread
    assert now.number == remembered.number + 1
