"""Chooses the model for an agent, and the fallback if that one is unavailable. One call is bounded as a whole.

The fallback gets the same prompt, once, and only if the first model is unavailable: an answer that is invalid or
refused is an answer. A fallback's own fallback is not asked.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from agent.model.base import DEFAULT, ERROR_CHARS_MAX, Answer, ModelBusy, ModelFailure, Prompt
from agent.model.bounded import BoundedModel
from agent.model.reading import total_of
from agent.model.second_look import looked_at_again
from store.values import Usage

FIRST_SHARE_MIN = 0.5
"""The share of a call's time that the first model has at least, if there is a fallback."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Option:
    """A model, and how it is called."""

    model: BoundedModel
    timeout_seconds: float
    """For the whole call, including the fallback."""
    fallback: str = ""
    """Its label; empty: none."""
    agents: tuple[str, ...] = ()
    """Those that use it, beside all that no option names if this is the default."""
    second_look: bool = False
    """Before a step of its acts, it is asked once more what people's newest words are: see `second_look`."""

    def in_words(self) -> str:
        """What is special about it, for people; empty: nothing."""
        sentences = [f"For {', '.join(self.agents)}."] if self.agents else []
        if self.fallback:
            sentences.append(f"Fallback: {self.fallback}.")
        if price := self.model.price:
            sentences.append(f"A million tokens cost {price.input:g} in and {price.output:g} out.")
        return " ".join(sentences)


class Models:
    """All models of the program, as one `Model`."""

    def __init__(self, options: Sequence[Option]) -> None:
        """One of them must have the label DEFAULT, and each fallback must be one of them."""
        self.options: Mapping[str, Option] = {option.model.label: option for option in options}
        self._by_agent = {agent: option for option in options for agent in option.agents}

    @property
    def name(self) -> str:
        """Of the default, and of the others after their labels."""
        names = {label: option.model.name for label, option in self.options.items()}
        others = [f"{label}: {name}" for label, name in names.items() if label != DEFAULT]
        return f"{names[DEFAULT]} ({', '.join(others)})" if others else names[DEFAULT]

    @property
    def calls_max(self) -> int:
        """The calls that may be under way at once, of all models together."""
        return sum(option.model.calls_max for option in self.options.values())

    async def close(self) -> None:
        await asyncio.gather(*(option.model.close() for option in self.options.values()))

    def option_of(self, agent: str) -> Option:
        return self._by_agent.get(agent, self.options[DEFAULT])

    async def answer(self, prompt: Prompt) -> Answer:
        return await self.answer_of(self.option_of(prompt.agent.name), prompt)

    async def answer_of(self, option: Option, prompt: Prompt) -> Answer:
        """The answer of this model, or of its fallback. Raises ModelFailure, ModelBusy."""
        answer = await self._first(option, prompt)
        if not option.second_look:
            return answer
        return await looked_at_again(prompt, answer, functools.partial(self._first, option))

    async def _first(self, option: Option, prompt: Prompt) -> Answer:
        limit = option.timeout_seconds
        if not option.fallback:
            return await option.model.answer(prompt, within_seconds=limit)
        fallback = self.options[option.fallback]
        ends = time.monotonic() + limit
        try:
            first_limit = max(limit - fallback.timeout_seconds, FIRST_SHARE_MIN * limit)
            return await option.model.answer(prompt, within_seconds=first_limit)
        except ModelFailure as failure:
            if failure.reason != "unavailable":
                raise
            log.warning("model_fallback", model=option.model.label, fallback=option.fallback, error=failure.error)
            limit = min(fallback.timeout_seconds, max(ends - time.monotonic(), 0.0))
            return await _instead(fallback.model, prompt, limit, failure)


async def _instead(fallback: BoundedModel, prompt: Prompt, within_seconds: float, first: ModelFailure) -> Answer:
    """The fallback's answer, at the cost of both calls. Raises ModelFailure, ModelBusy."""
    try:
        answer = await fallback.answer(prompt, within_seconds=within_seconds)
    except ModelBusy as busy:
        if not first.was_asked:
            raise  # Nothing was sent to either of them, and nothing went wrong.
        later = {"retry_after_seconds": busy.retry_after_seconds, "is_known": True}
        raise first.changed(**later, concerns="model") from None  # The fallback may still take the request.
    except ModelFailure as second:
        raise _of_both(first, second) from None
    return replace(answer, usage=_sum(first.usage, answer.usage))


def _of_both(first: ModelFailure, second: ModelFailure) -> ModelFailure:
    usage = _sum(first.usage, second.usage)
    if second.reason != "unavailable":
        return second.changed(usage=usage)
    waits = (first.retry_after_seconds, second.retry_after_seconds)
    return ModelFailure(
        "unavailable",
        f"{_half(first.error)} The fallback: {_half(second.error)}",
        model=second.model,
        usage=usage,
        # As soon as one of them may be asked. If one does not say when, the caller chooses the delay.
        retry_after_seconds=None if None in waits else min(wait for wait in waits if wait is not None),
        is_known=first.is_known and second.is_known,
        was_asked=first.was_asked or second.was_asked,
        concerns="request" if first.concerns == second.concerns == "request" else "model",
    )


def _half(text: str) -> str:
    length_max = ERROR_CHARS_MAX // 2 - len(" The fallback: ")
    return text if len(text) <= length_max else f"{text[: length_max - 1]}…"


def _sum(*usages: Usage | None) -> Usage | None:
    return total_of([usage for usage in usages if usage])
