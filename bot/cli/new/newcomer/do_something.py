"""A tool of newcomer. It acts, so a person approves it first. Change what it does, its words and its test."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, JsonValue

from agent import Call, Facts, Tool, ToolError

KNOWN = ("web", "worker")


class DoSomething(Tool):
    """Do something to one service. The model reads this sentence, and decides by it when to choose the tool."""

    service: str = Field(description=f"one of {', '.join(KNOWN)}")

    repeatable: ClassVar[bool] = False  # if a crash leaves open whether it happened, a person is asked

    def needs_approval(self) -> bool:
        return True  # the rules of bot.toml say who may approve it

    def title(self, facts: Facts) -> str:
        return f"Do something to {self.service}"

    async def prepare(self, call: Call) -> Facts:
        """Checks and looks up before people are asked, and changes nothing. They see what it returns."""
        if self.service not in KNOWN:
            raise ToolError(f"There is no service {self.service!r}. There are {', '.join(KNOWN)}.")
        return {"position": KNOWN.index(self.service) + 1}

    async def run(self, call: Call) -> JsonValue:
        """Runs once it is approved. The model reads what it returns."""
        return {"done_to": self.service, "key": call.key}  # pass the key to services that accept one
