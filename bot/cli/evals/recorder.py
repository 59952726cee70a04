"""The model of one case: asks the real one, keeps every answer, and ends the case when enough is known.

When the case is over, or the endpoint is away, the thread is told that the model is busy for long, so nothing more is
asked or begun. It judges nothing itself.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from agent.model.base import Answer, Model, ModelBusy, ModelFailure, Prompt
from store.values import Usage

LONG_SECONDS = 3_600.0
_REVISION = re.compile(r"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}\b|\bv?\d+\.\d+(?:\.\d+)?\b")
"""Commits and versions, as they stand in text."""


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it came, and what it took."""

    step: dict[str, Any] | None
    """None: there was no usable step."""
    failure: str = ""
    began_with: str = ""
    """The beginning of an unusable answer."""
    model: str = ""
    usage: Usage | None = None
    seconds: float = 0.0
    invented: tuple[str, ...] = ()
    """Revisions in it that stand nowhere in the prompt."""
    prompt_chars: int = 0

    def document(self) -> dict[str, Any]:
        found = {
            "step": self.step,
            "failure": self.failure,
            "began_with": self.began_with,
            "model": self.model,
            "usage": self.usage.model_dump(exclude_none=True) if self.usage else None,
            "seconds": round(self.seconds, 3),
            "invented": list(self.invented),
            "prompt_chars": self.prompt_chars,
        }
        return {name: value for name, value in found.items() if value not in (None, "", [])}


@dataclass
class Recorder:
    """A `Model` for one thread."""

    model: Model
    is_over: Callable[[], Awaitable[bool]]
    """Asked before each question, when all that followed from the last answer is in the log."""
    kept: Callable[[Raw], None]
    answers: list[Raw] = field(default_factory=list)
    away: str = ""
    """Why the endpoint could not be asked; empty: it could."""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        return self.model.name

    async def answer(self, prompt: Prompt) -> Answer:
        """Raises ModelFailure, ModelBusy."""
        if self.over.is_set() or await self.is_over():
            self.over.set()
            raise ModelBusy(LONG_SECONDS)
        while True:
            began = time.monotonic()
            try:
                answer = await self.model.answer(prompt)
            except ModelBusy as busy:
                await asyncio.sleep(busy.retry_after_seconds)
                continue
            except ModelFailure as failure:
                if failure.reason == "unavailable":
                    self.away = failure.error
                    self.over.set()
                    raise ModelBusy(LONG_SECONDS) from None
                self._keep(_failed(failure, time.monotonic() - began, prompt))
                raise
            self._keep(_answered(answer, time.monotonic() - began, prompt))
            return answer

    def _keep(self, raw: Raw) -> None:
        self.answers.append(raw)
        self.kept(raw)


def _failed(failure: ModelFailure, seconds: float, prompt: Prompt) -> Raw:
    return Raw(
        None,
        f"{failure.reason}: {failure.error}",
        began_with=failure.answer,
        model=failure.model,
        usage=failure.usage,
        seconds=seconds,
        prompt_chars=len(prompt.user),
    )


def _answered(answer: Answer, seconds: float, prompt: Prompt) -> Raw:
    step = {"intent": answer.step.intent, **answer.step.arguments}
    known = prompt.user + prompt.agent.prompt
    said = dict.fromkeys(_REVISION.findall("\n".join(str(value) for value in step.values())))
    if revision := step.get("revision"):
        said[str(revision)] = None  # Whatever it looks like.
    return Raw(
        step,
        model=answer.model,
        usage=answer.usage,
        seconds=seconds,
        invented=tuple(one for one in said if one[:7] not in known),
        prompt_chars=len(prompt.user),
    )
