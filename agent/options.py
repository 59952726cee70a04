"""How people can answer a question of the model. What a model gets slightly wrong is put right here, not refused."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class HumanInputOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    urgency: Literal["low", "medium", "high"] = "medium"
    format: Literal["free_text", "yes_no", "multiple_choice"] = "free_text"
    choices: list[str] = Field(default=[], description="what they can choose from; empty: they answer in words")

    @model_validator(mode="before")
    @classmethod
    def _choices_make_the_format(cls, given: Any) -> Any:
        """One wrong word of a model must not cost the question."""
        if not isinstance(given, dict) or not isinstance(choices := given.get("choices") or [], list):
            return given
        asked = given.get("format")
        if choices and asked != "yes_no":
            return {**given, "format": "multiple_choice"}
        return {**given, "format": "free_text"} if asked == "multiple_choice" else given
