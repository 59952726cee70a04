"""Matrices: tests of one story at each of many points, such as every call at which a process may be killed.

    @matrix("point", POINTS, sample=4)
    async def test_it_ends_the_same_wherever_it_is_killed(point: Point) -> None: ...

`make test` plays a sample of each, which the seed chooses: the same one each time unless `--seed` says otherwise.
`make test-matrices` plays every point. A point that is named on the command line is always played.

So it is with the inputs that hypothesis makes up: the same few each time, or many that are new (`examples`, `explore`).
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

SEED = 1
ROUNDS_MAX = 30
MARKS = ("matrix", "hypothesis")
"""pytest's marks of what `--matrices` plays. hypothesis sets its own."""
F = TypeVar("F", bound=Callable[..., Any])

# A slow moment of the machine is no failure.
settings.register_profile("the same each time", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("new each time", deadline=None, print_blob=True)


def matrix(name: str, points: Iterable[object], *, sample: int) -> Callable[[F], F]:
    """A test of each point, of which a sample of that size is played unless it is asked for all of them."""

    def marked(test: F) -> F:
        each = pytest.mark.parametrize(name, list(points), ids=_id)
        played: F = pytest.mark.matrix(sample)(each(test))
        return played

    return marked


def _id(point: object) -> str:
    """That can be typed."""
    return re.sub(r"[^\w.-]+", "-", str(point)).rstrip("-")


def examples(count: int) -> settings:
    """`@examples(400)`: so many with `--matrices`, and else a quarter."""
    return settings(max_examples=count if _plays_all() else count // 4)


def explore(machine: type[RuleBasedStateMachine], interesting: Collection[str], reached: Counter[str]) -> None:
    """Do what may be done in any order. With `--matrices` until everything interesting was reached: some of it is rare.

    Else one short round, the same each time.
    """
    reached.clear()
    for _ in range(ROUNDS_MAX if _plays_all() else 1):
        if not _plays_all():
            seed(0)(machine)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=300 if _plays_all() else 30,
                stateful_step_count=25,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
        if all(reached[what] for what in interesting):
            return
    if _plays_all():
        assert set(interesting) <= {what for what, often in reached.items() if often}


def _plays_all() -> bool:
    return not settings().derandomize


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("matrices")
    group.addoption("--matrices", action="store_true", help="every point of every matrix, and nothing else")
    group.addoption("--seed", type=int, default=SEED, metavar="N", help=f"which sample of each is played: {SEED}")


def set_up(config: pytest.Config) -> None:
    settings.load_profile("new each time" if config.getoption("matrices") else "the same each time")


def summary(config: pytest.Config) -> str:
    if config.getoption("matrices"):
        return "matrices: every point"
    return f"matrices: a sample of each, --seed={config.getoption('seed')}"


def left_out(items: Collection[pytest.Item], config: pytest.Config) -> set[pytest.Item]:
    if config.getoption("matrices"):
        return {item for item in items if not any(item.get_closest_marker(mark) for mark in MARKS)}
    tests: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("matrix"):
            tests[item.nodeid.partition("[")[0]].append(item)
    left: set[pytest.Item] = set()
    for test, points in tests.items():
        mark = points[0].get_closest_marker("matrix")
        assert mark
        # Of its name too, so that not every matrix plays the same numbers.
        chosen = random.Random(f"{config.getoption('seed')} {test}").sample(points, min(mark.args[0], len(points)))
        left |= {one for one in points if one not in chosen and not _is_named(one, config.args)}
    return left


def _is_named(item: pytest.Item, arguments: Iterable[str]) -> bool:
    return any(argument.endswith(item.nodeid) for argument in arguments)
