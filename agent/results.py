"""The typed result of a tool, where code reads it as well as the model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue


class Result(BaseModel):
    """A typed result of a tool, if code reads it as well as the model: see `agent.calls`.

    Keys in the log that the class does not (or no longer) declare are ignored.
    """

    model_config = ConfigDict(frozen=True)

    def as_json(self) -> dict[str, JsonValue]:
        """The fields that differ from their default."""
        return self.model_dump(mode="json", exclude_defaults=True)
