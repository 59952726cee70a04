"""Which calls of a model repeat one that has begun since somebody wrote last."""

from __future__ import annotations

import pytest

from store.events import Event
from store.repeats import begun_before
from tests.telling.story import chosen, failed, finished, message, opened, refused, started, thread, trigger, waits

PUSH = (chosen("s1", acts=True, target="prod"), started("s1"))
AGAIN = chosen("s2", acts=True, target="prod")


@pytest.mark.parametrize(
    ("events", "repeats"),
    [
        ((message(), AGAIN), False),
        ((message(), *PUSH, AGAIN), True),
        ((message(), *PUSH, finished("s1"), AGAIN), True),
        ((message(), *PUSH, waits("s1"), AGAIN), True),
        ((message(), *PUSH, failed("s1"), AGAIN), False),
        ((message(), PUSH[0], refused("s1"), AGAIN), False),
        ((message(), *PUSH, finished("s1"), message("m2", "once more"), AGAIN), False),
        ((message(), *PUSH, finished("s1"), trigger(), AGAIN), False),
        ((message(), *PUSH, finished("s1"), AGAIN, message("m2", "and then?")), True),
        ((message(), *PUSH, finished("s1"), chosen("s2", acts=True, target="lab")), False),
        ((message(), *PUSH, finished("s1"), chosen("s2", "touch", acts=True, target="prod")), False),
        ((message(), *PUSH, finished("s1"), AGAIN.model_copy(update={"by": "code"})), False),
        ((message(), PUSH[0].model_copy(update={"by": "code"}), PUSH[1], finished("s1"), AGAIN), False),
    ],
)
def test_a_call_repeats_what_has_begun_in_this_turn(events: tuple[Event, ...], repeats: bool) -> None:
    log = thread(opened(), *events)
    assert (begun_before(log, log.state.steps["s2"]) is not None) == repeats
