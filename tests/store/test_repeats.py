"""Which calls of a model repeat one that has begun since somebody wrote last."""

from __future__ import annotations

import pytest

from store.events import Event
from store.repeats import begun_before, in_place_of_unknown
from tests.telling.story import EVE, chosen, failed, finished, message, opened, refused, started, thread, trigger, waits

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


NOT_THERE = (
    chosen("s1", "deploy", acts=True, component="web", revision="v9"),
    refused("s1").model_copy(update={"unknown": "v9"}),
)


def deploys(**arguments: str) -> Event:
    return chosen("s2", "deploy", acts=True, **{"component": "web", "revision": "v3", **arguments})


@pytest.mark.parametrize(
    ("events", "unknown"),
    [
        ((message("m1", "deploy v9"), *NOT_THERE, deploys()), "v9"),
        ((message("m1", "deploy v9"), NOT_THERE[0], refused("s1"), deploys()), ""),
        ((message("m1", "deploy v9"), *NOT_THERE, message("m2", "then the one before"), deploys()), ""),
        ((message("m1", "deploy v9"), *NOT_THERE, trigger(), deploys()), ""),
        ((message("m1", "v9, which is 4f2c or v3."), *NOT_THERE, deploys()), ""),
        ((message("m1", "v9, not v3.1"), *NOT_THERE, deploys()), "v9"),
        ((message("m1", "v9, or v3", by=EVE), *NOT_THERE, deploys()), "v9"),
        ((message("m1", "deploy v9"), *NOT_THERE, deploys(revision="v9")), ""),
        ((message("m1", "deploy v9"), *NOT_THERE, deploys(component="api")), ""),
        ((message("m1", "deploy v9"), *NOT_THERE, deploys(component="api", revision="v9")), ""),
        ((message("m1", "deploy v9"), *NOT_THERE, deploys(waiver="so they say")), "v9"),
        ((message("m1", "deploy v9"), *NOT_THERE, deploys().model_copy(update={"by": "person"})), ""),
    ],
)
def test_what_is_not_there_becomes_nothing_else_before_people_say_so(events: tuple[Event, ...], unknown: str) -> None:
    log = thread(*events)
    assert in_place_of_unknown(log, log.state.steps["s2"], {"waiver"}) == unknown
