"""One model, with the limits that keep it from harming the others: calls at once, and a circuit breaker.

A caller never waits here for another call to end. If all calls that may be made at once are under way, it is told to
come back (`ModelBusy`); while the circuit is open, the model is unavailable. Those who are turned away come back one
after the other. What the endpoint refuses because of one request does not keep others from it. It adds to the usage
what the call cost.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import structlog

from agent.definition import Agent
from agent.model.base import ERROR_CHARS_MAX, Answer, ModelBusy, ModelFailure, Prompt
from agent.model.circuit import Circuit
from agent.model.price import Price
from store.values import Usage

BUSY_SECONDS = 0.2
"""After this time, a caller who was turned away may ask again."""
SPACING_SECONDS = 0.02
"""The time between two callers who come back: each of them loads its thread to ask."""
SPREAD_SECONDS_MAX = 5.0
"""The longest that somebody is sent away for the sake of the spacing."""

log = structlog.get_logger(__name__)


class Client(Protocol):
    """What reaches the model: `agent.model.openai.OpenAIModel`."""

    @property
    def name(self) -> str: ...

    @property
    def mode(self) -> str:
        """How the endpoint constrains the answer."""
        ...

    def chars_max(self, agent: Agent) -> int | None:
        """The longest user message that this agent can send; None: no limit is known."""
        ...

    async def answer(self, prompt: Prompt, *, within_seconds: float = math.inf) -> Answer: ...

    async def close(self) -> None: ...


class BoundedModel:
    def __init__(
        self,
        label: str,
        client: Client,
        *,
        calls_max: int,
        price: Price | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`label`: its name in the team file."""
        self.label = label
        self.client = client
        self.calls_max = calls_max
        self.price = price
        self._calls = 0
        self._circuit = Circuit(clock)
        self._clock = clock
        self._comes_back_at = 0.0
        """When the last caller who was turned away comes back."""
        self._last_failure: ModelFailure | None = None
        """The last one that concerns everybody."""

    @property
    def name(self) -> str:
        return self.client.name

    async def close(self) -> None:
        await self.client.close()

    async def answer(self, prompt: Prompt, *, within_seconds: float = math.inf) -> Answer:
        """Raises ModelFailure, ModelBusy."""
        if wait_seconds := self._circuit.wait_seconds():
            raise self._left_alone(wait_seconds)
        if self._calls >= self.calls_max:
            raise ModelBusy(self._back_in_seconds(BUSY_SECONDS))
        is_probe = self._circuit.begin()
        self._calls += 1
        try:
            answer = await self.client.answer(prompt, within_seconds=within_seconds)
        except ModelFailure as failure:
            self._note(failure, was_probe=is_probe)
            raise self._told(failure) from None
        except BaseException:
            self._circuit.abandoned(was_probe=is_probe)
            raise
        finally:
            self._calls -= 1
        self._answered()
        return replace(answer, usage=self._priced(answer.usage))

    def _note(self, failure: ModelFailure, *, was_probe: bool) -> None:
        if failure.reason != "unavailable":
            self._answered()  # Not usefully, but it is there.
            return
        if failure.concerns == "request":
            # Otherwise one odd thread would keep the model from all others.
            self._circuit.abandoned(was_probe=was_probe)
            return
        was_left_alone = bool(self._circuit.wait_seconds())
        self._last_failure = failure
        asked_seconds = failure.retry_after_seconds or 0.0
        if failure.concerns == "model":
            self._circuit.failed(was_probe=was_probe, retry_after_seconds=asked_seconds)
        elif asked_seconds:
            self._circuit.slowed_down(asked_seconds, was_probe=was_probe)
        else:
            self._circuit.abandoned(was_probe=was_probe)
        seconds = round(self._circuit.wait_seconds(), 1)
        if seconds and (was_probe or not was_left_alone):
            failures = self._circuit.failures
            log.warning("model_left_alone", model=self.label, failures=failures, seconds=seconds, error=failure.error)

    def _told(self, failure: ModelFailure) -> ModelFailure:
        """With its cost, and with the pause, if the model is left alone from now on."""
        failure = failure.changed(usage=self._priced(failure.usage))
        wait_seconds = self._circuit.wait_seconds()
        if failure.reason != "unavailable" or failure.concerns == "request" or not wait_seconds:
            return failure
        seconds = failure.retry_after_seconds or self._back_in_seconds(wait_seconds)
        return failure.changed(retry_after_seconds=seconds, is_known=True)

    def _answered(self) -> None:
        if self._circuit.is_open:
            log.info("model_answers_again", model=self.label)
        self._circuit.succeeded()

    def _left_alone(self, wait_seconds: float) -> ModelFailure:
        last = self._last_failure
        assert last, "nobody leaves a model alone that never failed"
        asks_for_it = last.concerns == "pace"
        why = "it asks to slow down" if asks_for_it else f"it failed {self._circuit.failures} times in a row"
        error = f"The model {self.name} was not asked, because {why}. The last time: {last.error}"
        seconds = self._back_in_seconds(wait_seconds)
        return ModelFailure(
            "unavailable",
            error[:ERROR_CHARS_MAX],
            model=self.name,
            retry_after_seconds=seconds,
            is_known=True,
            was_asked=False,
        )

    def _back_in_seconds(self, seconds: float) -> float:
        now = self._clock()
        first, last = now + seconds + SPACING_SECONDS, now + seconds + SPREAD_SECONDS_MAX
        self._comes_back_at = min(max(first, self._comes_back_at + SPACING_SECONDS), last)
        return self._comes_back_at - now

    def _priced(self, usage: Usage | None) -> Usage | None:
        if usage is None or self.price is None:
            return usage
        return usage.model_copy(update={"cost": self.price.of(usage)})
