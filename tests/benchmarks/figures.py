"""A measured figure, its target, and the table of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """None where there is no target."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.value >= self.at_least if self.at_least is not None else None


def table(figures: Iterable[Figure]) -> str:
    rows = [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for name, value, target, holds, note in rows:
        cells = name.ljust(widths[0]), value.rjust(widths[1]), target.rjust(widths[2]), holds.ljust(widths[3]), note
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    target = ""
    if figure.at_most is not None:
        target = f"<= {figure.at_most:g} {figure.unit}"
    elif figure.at_least is not None:
        target = f">= {figure.at_least:g} {figure.unit}"
    holds = {None: "", True: "holds", False: "MISSED"}[figure.holds]
    return figure.name, f"{short(figure.value)} {figure.unit}", target, holds, figure.note


def short(value: float) -> str:
    """With about three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def median_ms(seconds: Sequence[float]) -> float:
    return statistics.median(seconds) * 1000


def p95_ms(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.95)] * 1000
