"""What is counted: shares with their interval, and wrong actions that no average hides."""

from __future__ import annotations

import pytest

from agent.evals.judging import Kind
from agent.evals.tally import Ran, Share, Tally, changes, percentile


def ran(case: str, kind: Kind, run: int = 1) -> Ran:
    return Ran(case, run, kind)


@pytest.mark.parametrize(
    ("right", "of", "interval"),
    # As R's binom.confint(right, of, methods = "wilson") says.
    [(10, 18, (0.337, 0.754)), (0, 10, (0.0, 0.278)), (10, 10, (0.722, 1.0)), (0, 0, (0.0, 1.0))],
)
def test_a_share_has_its_interval(right: int, of: int, interval: tuple[float, float]) -> None:
    assert Share(right, of).interval == pytest.approx(interval, abs=0.001)


def test_one_wrong_action_fails_its_case() -> None:
    runs = [ran("a", "right", run) for run in range(1, 10)] + [ran("a", "wrong_card", 10), ran("b", "wrong_words")]
    tally = Tally(tuple(runs))
    assert tally.without_wrong_action == Share(1, 2)
    assert tally.right == Share(9, 11)


def test_what_says_nothing_of_the_model_is_not_counted() -> None:
    tally = Tally((ran("a", "right"), ran("b", "failed")))
    assert tally.right == Share(1, 1)
    assert tally.kinds == {"right": 1, "failed": 1}


def test_two_measurements_differ_case_by_case() -> None:
    before = [ran("a", "right"), ran("b", "wrong_words"), ran("c", "right"), ran("gone", "right")]
    after = [ran("a", "wrong_card"), ran("b", "right"), ran("c", "right"), ran("new", "right")]
    found = [(one.case, one.is_worse) for one in changes(before, after)]
    assert found == [("a", True), ("b", False)]


def test_percentiles_are_nearest_ranks() -> None:
    assert [percentile([1.0, 2.0, 3.0, 4.0], share) for share in (0.5, 0.95, 0.0)] == [2.0, 4.0, 1.0]
    assert percentile([], 0.5) == 0.0
