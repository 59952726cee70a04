"""What people are told to type next: here, after an answer that did not help."""

from __future__ import annotations

import pytest

from bot.cli.hints import went_wrong_at
from store.events import Event, FeedbackGiven
from tests.telling.story import AT, BOB, done, handed_to_human, message, thread


def rated(step: str, *, helpful: bool, number: int = 1) -> FeedbackGiven:
    return FeedbackGiven(id=f"rated/{number}", at=AT, step=step, by=BOB, helpful=helpful)


@pytest.mark.parametrize(
    ("then", "at"),
    [
        ([rated("s2", helpful=False)], 2),
        ([rated("s2", helpful=False), rated("s2", helpful=True, number=2)], 0),
        ([rated("s2", helpful=True)], 0),
        ([rated("s99", helpful=False)], 0),
        ([handed_to_human(3)], 2),
        ([], 0),
    ],
)
def test_an_answer_that_did_not_help_may_become_a_case(then: list[Event], at: int) -> None:
    assert went_wrong_at(thread(message(), done("s2"), *then)) == at
