"""What a worker remembers between two turns: how much, and that it is not taken for what it is not."""

from __future__ import annotations

from bot.memory import EVENTS_MAX, THREADS_MAX, Memory, Remembered
from store.events import Event
from store.thread import Thread
from tests.telling.story import message, opened


def test_so_many_threads_are_remembered_and_the_first_are_forgotten() -> None:
    memory = Memory()
    for number in range(THREADS_MAX + 5):
        memory.keep(Remembered(Thread(f"t{number}")))
    kept = [thread.id for thread in memory.threads]
    assert kept == [f"t{number}" for number in range(5, THREADS_MAX + 5)]


def test_so_many_events_are_remembered_and_no_thread_that_is_longer() -> None:
    memory = Memory()
    half: list[Event] = [opened(), *[message(f"m{number}") for number in range(EVENTS_MAX // 2 - 1)]]
    for name in ("a", "b", "c"):
        memory.keep(Remembered(Thread(name).extended(half)))
    assert [thread.id for thread in memory.threads] == ["b", "c"]
    memory.keep(Remembered(Thread("long").extended([*half, *half, message("more")])))
    assert [thread.id for thread in memory.threads] == ["b", "c"]


def test_a_thread_is_kept_once_and_taken_once() -> None:
    memory = Memory()
    memory.keep(Remembered(Thread("a")))
    memory.keep(Remembered(Thread("a").extended([opened()])))
    assert memory.take("a").thread.version == 1
    assert memory.take("a").thread.version == 0
    assert memory.threads == []
