"""What a call to a model costs. It knows no endpoint and no currency; it never asks for a price."""

from __future__ import annotations

from dataclasses import dataclass

from store.values import Usage

COST_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Price:
    """For a million tokens, in the currency that the team chose."""

    input: float
    output: float

    def of(self, usage: Usage) -> float:
        cost = usage.input_tokens * self.input + usage.output_tokens * self.output
        return round(cost / 1_000_000, COST_DIGITS)
