"""In which order several workers run the tests, so that none is left waiting at the end.

A slow test mostly waits: for a lease that ends, for a server that starts. xdist cuts the list of tests into one piece
for each worker, and in the order of the folders nearly all slow ones stand in the last piece. So they are dealt out,
and each worker begins with its own: what is run at the end is quick. A module stays whole, since its tests may share
servers.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter

import pytest


def dealt(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """The same tests, as so many pieces of about the same length."""
    modules = [list(tests) for _, tests in groupby(items, attrgetter("path"))]
    slow = [tests for tests in modules if any(test.get_closest_marker("slow") for test in tests)]
    quick = [tests for tests in modules if tests not in slow]
    of_slow = _piles(slow, [0] * workers)
    of_quick = _piles(quick, [sum(map(len, pile)) for pile in of_slow])
    pieces = [tests for waiting, busy in zip(of_slow, of_quick, strict=True) for tests in (*waiting, *busy)]
    return [test for tests in pieces for test in tests]


def _piles(modules: list[list[pytest.Item]], sizes: list[int]) -> list[list[list[pytest.Item]]]:
    """Each module, the longest first, on the pile that has the fewest tests; `sizes`: what they have already."""
    piles: list[list[list[pytest.Item]]] = [[] for _ in sizes]
    for tests in sorted(modules, key=len, reverse=True):
        least = sizes.index(min(sizes))
        piles[least].append(tests)
        sizes[least] += len(tests)
    return piles
