"""The circuit breaker: when it opens, whom it lets through, and when it closes."""

from __future__ import annotations

from agent.model.circuit import FAILURES_MAX, PAUSE_SECONDS, PAUSE_SECONDS_MAX, Circuit


class Story:
    def __init__(self) -> None:
        self.now = 100.0
        self.circuit = Circuit(lambda: self.now)

    def fails(self, times: int = 1) -> None:
        for _ in range(times):
            self.circuit.failed(was_probe=self.circuit.begin())

    def opened(self) -> Story:
        self.fails(FAILURES_MAX)
        assert self.circuit.is_open
        return self


def test_it_opens_after_failures_in_a_row_and_an_answer_ends_the_row() -> None:
    story = Story()
    story.fails(FAILURES_MAX - 1)
    story.circuit.succeeded()
    story.fails(FAILURES_MAX - 1)
    assert story.circuit.wait_seconds() == 0
    story.fails()
    assert story.circuit.wait_seconds() == PAUSE_SECONDS


def test_after_the_pause_one_call_goes_through_and_its_answer_closes_it() -> None:
    story = Story().opened()
    story.now += PAUSE_SECONDS - 1
    assert story.circuit.wait_seconds() == 1
    story.now += 1
    assert story.circuit.begin(), "the probe"
    assert story.circuit.wait_seconds() == PAUSE_SECONDS, "nobody else"
    story.circuit.succeeded()
    assert not story.circuit.is_open
    assert not story.circuit.begin()


def test_each_failed_probe_makes_the_pause_longer_up_to_a_limit() -> None:
    story, pauses = Story().opened(), []
    for _ in range(4):
        story.now += story.circuit.wait_seconds()
        story.fails()
        pauses.append(story.circuit.wait_seconds())
    assert pauses == [2 * PAUSE_SECONDS, PAUSE_SECONDS_MAX, PAUSE_SECONDS_MAX, PAUSE_SECONDS_MAX]
    story.circuit.succeeded()
    story.fails(FAILURES_MAX)
    assert story.circuit.wait_seconds() == PAUSE_SECONDS


def test_calls_that_began_before_it_opened_do_not_keep_it_open() -> None:
    story = Story()
    late = [story.circuit.begin() for _ in range(20)]
    story.fails(FAILURES_MAX)
    story.now += 5
    for was_probe in late:
        story.circuit.failed(was_probe=was_probe)
    assert story.circuit.wait_seconds() == PAUSE_SECONDS - 5
    story.circuit.succeeded()
    assert not story.circuit.is_open, "but one that is answered shows that the model is back"


def test_a_cancelled_probe_makes_way_for_another() -> None:
    story = Story().opened()
    story.now += PAUSE_SECONDS
    story.circuit.abandoned(was_probe=story.circuit.begin())
    assert story.circuit.wait_seconds() == 0
    assert story.circuit.begin()


def test_whoever_is_asked_to_slow_down_leaves_the_endpoint_alone_for_so_long_and_no_longer() -> None:
    for asked, pause in ((1, 1), (40, 40), (3_600, PAUSE_SECONDS_MAX)):
        story = Story()
        story.circuit.slowed_down(asked, was_probe=story.circuit.begin())
        assert story.circuit.wait_seconds() == pause
        assert story.circuit.failures == 0
        story.now += pause
        assert not story.circuit.begin(), "no probe: it is there"


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    story = Story()
    late = story.circuit.begin()
    story.opened().circuit.slowed_down(1, was_probe=late)
    assert story.circuit.wait_seconds() == PAUSE_SECONDS


def test_the_pause_that_an_endpoint_asks_for_counts_up_to_the_limit() -> None:
    for asked, pause in ((1, PAUSE_SECONDS), (40, 40), (3_600, PAUSE_SECONDS_MAX)):
        story = Story()
        for _ in range(FAILURES_MAX):
            story.circuit.failed(was_probe=story.circuit.begin(), retry_after_seconds=asked)
        assert story.circuit.wait_seconds() == pause
