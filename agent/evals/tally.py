"""Counts the results of cases: the share that ended right, with its interval, and what it took. Pure.

A wrong action is never averaged away: a case of which one run ended in one has failed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.evals.judging import KINDS, WRONG_ACTIONS, Kind

Z = 1.959964
"""Of a normal distribution, for 95 percent."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of one case."""

    case: str
    run: int
    kind: Kind
    why: str = ""
    tags: tuple[str, ...] = ()
    held_out: bool = False
    first_was_right: bool = False
    stopped: int = 0
    """The wrong answers that guards stopped on the way."""
    looked: int = 0
    unreadable: int = 0
    invented: int = 0
    answers: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    seconds: tuple[float, ...] = ()
    """Of each answer."""


@dataclass(frozen=True, slots=True)
class Share:
    right: int
    of: int

    @property
    def share(self) -> float:
        return self.right / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, of 95 percent."""
        if not self.of:
            return (0.0, 1.0)
        n, p = self.of, self.share
        middle, spread = p + Z * Z / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        low, high = ((middle + sign * spread) / (1 + Z * Z / n) for sign in (-1, 1))
        return (max(low, 0.0), min(high, 1.0))

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.right} of {self.of} ({self.share:.0%}, {low:.0%} to {high:.0%})"


@dataclass(frozen=True, slots=True)
class Tally:
    runs: tuple[Ran, ...]

    @property
    def judged(self) -> tuple[Ran, ...]:
        return tuple(ran for ran in self.runs if ran.kind != "failed")

    @property
    def kinds(self) -> dict[Kind, int]:
        counted = Counter(ran.kind for ran in self.runs)
        return {kind: counted[kind] for kind in KINDS if counted[kind]}

    @property
    def right(self) -> Share:
        return Share(sum(ran.kind == "right" for ran in self.judged), len(self.judged))

    @property
    def first_right(self) -> Share:
        return Share(sum(ran.first_was_right for ran in self.judged), len(self.judged))

    @property
    def without_wrong_action(self) -> Share:
        """Of the cases, those of which no run ended in a wrong action."""
        by_case = self.by_case()
        good = sum(not any(ran.kind in WRONG_ACTIONS for ran in runs) for runs in by_case.values())
        return Share(good, len(by_case))

    @property
    def seconds(self) -> list[float]:
        return sorted(seconds for ran in self.runs for seconds in ran.seconds)

    @property
    def cost(self) -> float | None:
        costs = [ran.cost for ran in self.runs if ran.cost is not None]
        return sum(costs) if costs else None

    def total(self, field: str) -> int:
        return sum(getattr(ran, field) for ran in self.runs)

    def by_case(self) -> dict[str, list[Ran]]:
        found: dict[str, list[Ran]] = {}
        for ran in self.judged:
            found.setdefault(ran.case, []).append(ran)
        return found

    def by_tag(self) -> dict[str, Tally]:
        tags = dict.fromkeys(tag for ran in self.runs for tag in ran.tags)
        return {tag: Tally(tuple(ran for ran in self.runs if tag in ran.tags)) for tag in tags}

    def held_out(self, *, only: bool) -> Tally:
        return Tally(tuple(ran for ran in self.runs if ran.held_out == only))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank; 0 of nothing."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class Change:
    case: str
    before: Share
    after: Share
    kinds: tuple[Kind, Kind]
    """The worst before and after."""

    @property
    def is_worse(self) -> bool:
        return self.after.share < self.before.share or KINDS.index(self.kinds[1]) > KINDS.index(self.kinds[0])


def changes(before: Iterable[Ran], after: Iterable[Ran]) -> list[Change]:
    """The cases in both that ended otherwise, the worse ones first."""
    old, new = Tally(tuple(before)).by_case(), Tally(tuple(after)).by_case()
    found = [_change(case, old[case], new[case]) for case in new if case in old]
    different = [one for one in found if one.kinds[0] != one.kinds[1] or one.before.share != one.after.share]
    return sorted(different, key=lambda one: not one.is_worse)


def _change(case: str, before: Sequence[Ran], after: Sequence[Ran]) -> Change:
    def share(runs: Sequence[Ran]) -> Share:
        return Share(sum(ran.kind == "right" for ran in runs), len(runs))

    return Change(case, share(before), share(after), (worst(before), worst(after)))


def worst(runs: Sequence[Ran]) -> Kind:
    return max((ran.kind for ran in runs), key=KINDS.index)


def in_words(kinds: Mapping[Kind, int]) -> str:
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in kinds.items()) or "nothing yet"
