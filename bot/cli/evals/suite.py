"""Plays all cases, several at a time, and stops at a budget. What was judged before is not played again.

It knows no endpoint and prints nothing: `bot.cli.evals.commands` does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.evals.case import Case
from agent.evals.tally import Ran
from agent.model.base import Model
from bot.cli.evals.judge import Judge
from bot.cli.evals.play import Stage
from bot.cli.evals.recorder import Raw
from bot.cli.evals.results import Results

FAILED_IN_ROW_MAX = 3
"""After so many runs in a row that say nothing of the model, the rest is not tried."""

ModelFor = Callable[[Case], Model]
"""The model that answers in a case: the configured one, or a recorded one for tests."""


@dataclass
class Budget:
    cost_max: float = float("inf")
    seconds_max: float = float("inf")
    cost: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def why_over(self) -> str:
        """Empty: it is not."""
        if self.cost >= self.cost_max:
            return f"it cost {self.cost:g}"
        seconds = time.monotonic() - self.began
        return f"it took {seconds:.0f} seconds" if seconds >= self.seconds_max else ""


@dataclass
class Suite:
    stage: Stage
    results: Results
    model_for: ModelFor
    budget: Budget = field(default_factory=Budget)
    tell: Callable[[Ran], None] = lambda _: None
    """Called after each run."""
    judge: Judge | None = None
    stopped: str = ""
    """Why not everything was played; empty: it was."""

    async def play(self, cases: list[Case], runs: int, at_once: int) -> None:
        """Each case once, then each of them again: a measurement that is stopped has seen all. Raises CaseError."""
        waiting = [(case, run) for run in range(1, runs + 1) for case in cases if not self.results.has(case, run)]
        waiting.reverse()
        failed_in_row = 0

        async def player() -> None:
            nonlocal failed_in_row
            while waiting and not self.stopped:
                if why := self.budget.why_over:
                    self.stopped = why
                    return
                case, run = waiting.pop()
                ran = await self._one(case, run)
                failed_in_row = failed_in_row + 1 if ran.kind == "failed" else 0
                if failed_in_row >= FAILED_IN_ROW_MAX:
                    self.stopped = ran.why

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(player())
        except* Exception as errors:
            raise errors.exceptions[0] from None

    async def _one(self, case: Case, run: int) -> Ran:
        def kept(raw: Raw) -> None:
            if raw.usage and raw.usage.cost is not None:
                self.budget.cost += raw.usage.cost
            self.results.keep_answer(case, run, raw)

        played = await self.stage.play(case, self.model_for(case), kept)
        if self.judge:
            played = await self.judge.look_at(case, played)
        ran = self.results.keep(case, run, played)
        self.tell(ran)
        return ran
