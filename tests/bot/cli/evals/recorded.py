"""A model whose answers to each case were recorded: by the name of the case, so no change of the prompt's words breaks
them. What is asked for beyond the recording fails the test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from agent.evals.case import Case
from agent.model.base import Answer, Model, ModelFailure, Prompt
from store.values import Usage

AGENTS = ("deploy", "issues", "payments", "rollback")
USAGE = Usage(input_tokens=1000, cached_tokens=800, output_tokens=20, cost=0.001)


class Answering:
    """Gives these answers, one after the other: a dict is a step, a string is nothing usable."""

    name = "recorded"

    def __init__(self, *answers: dict[str, Any] | str) -> None:
        self._answers = list(answers)
        self.prompts: list[Prompt] = []

    async def answer(self, prompt: Prompt) -> Answer:
        self.prompts.append(prompt)
        assert self._answers, f"nothing was recorded for this prompt:\n{prompt.user}"
        given = self._answers.pop(0)
        if isinstance(given, str):
            raise ModelFailure("invalid", "That is no JSON.", answer=given, usage=USAGE, model=self.name)
        return Answer(prompt.agent.adapter.validate_python(given), USAGE, self.name)


def recorded(agent: str) -> dict[str, list[Any]]:
    """The answers by case."""
    data = yaml.safe_load(Path(__file__).with_name(f"recorded_{agent}.yaml").read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def model_for(answers: dict[str, list[Any]], case: Case) -> Model:
    return Answering(*answers[case.name])
