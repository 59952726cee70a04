"""The run of deliberate faults: what it aims at is there, and it takes the same ones each time."""

from __future__ import annotations

from dataclasses import replace

from tests import ROOT
from tests.mutants.faults import Equivalent, all_faults, equivalents, sample, stale
from tests.mutants.targets import TESTS


def test_every_module_and_test_that_is_named_is_there() -> None:
    named = {*TESTS, *(test for tests in TESTS.values() for test in tests)}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_what_is_left_out_has_a_reason() -> None:
    assert all(one.file in TESTS and one.because for one in equivalents())


def test_what_is_left_out_is_known_as_long_as_its_line_stands() -> None:
    line = "reached = [key for key, at in timers.items() if at <= now]"
    stands = Equivalent("store/timers.py", "<= now", "< now", "a reason")
    edited = replace(stands, was="<= then")
    assert line in (ROOT / stands.file).read_text(encoding="utf-8")
    assert stale([stands, edited]) == [edited]


def test_every_one_that_is_the_same_to_every_user_is_still_in_the_code() -> None:
    assert stale(equivalents()) == []


def test_a_seed_takes_the_same_faults_and_more_of_them_are_the_same_ones_first() -> None:
    faults = all_faults(["store/timers.py", "agent/loop.py"])
    three, six, others = (list(sample(faults, seed, size)) for seed, size in ((1, 3), (1, 6), (2, 3)))
    assert (len(three), six[:3]) == (3, three)
    assert others != three


def test_types_and_what_decorators_are_given_are_left_alone() -> None:
    changes = sample(all_faults(["store/outbox.py"]), 1, 1_000).values()
    assert len(changes) > 30
    assert [one for one in changes if "@dataclass" in one.was or one.was.count(" | ") != one.becomes.count(" | ")] == []
