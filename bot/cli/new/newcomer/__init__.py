"""newcomer: an agent that looks after the disk of one machine. This folder is yours to change.

An agent is a prompt (prompt.md), a few tools, and a `build`. `check_disk` only looks. `write_note` acts, so a person
approves it first. `plan` is what code does before the model is asked. All that it imports of the program is `agent`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from agent import Agent, Call, Facts, Step, Thread, Tool, ToolError, calls

NAME = "newcomer"


class Machine(BaseModel):
    """[agents.newcomer] of bot.toml. What is misspelt there is an error at the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Path("/")
    """Where the disk is mounted."""


class Notebook:
    """A file with one note a line, each with the key of the call that wrote it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def notes(self) -> dict[str, str]:
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.exists() else []
        return dict(json.loads(line) for line in lines)

    def write(self, key: str, text: str) -> None:
        """Writing the same key again changes nothing."""
        if key in self.notes():
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, text]) + "\n")


class CheckDisk(Tool):
    """Look up how much of the disk is free."""

    needs: ClassVar[tuple[type, ...]] = (Machine,)  # an agent without one is not built
    acts: ClassVar[bool] = False  # it only looks, so nobody has to approve it

    async def run(self, call: Call) -> JsonValue:
        path = call.need(Machine).path
        try:
            disk = shutil.disk_usage(path)
        except OSError as error:
            # The model reads this: say what is wrong, and what would help.
            raise ToolError(f"{path} cannot be looked at ({error.strerror}). `path` in bot.toml names it.") from None
        return {"path": str(path), "free_percent": 100 * disk.free // disk.total, "free_gb": disk.free // 10**9}


class WriteNote(Tool):
    """Write a note about this machine down for the team."""

    text: str = Field(min_length=1, max_length=200, description="the note, as people said it")

    needs: ClassVar[tuple[type, ...]] = (Notebook,)
    repeatable: ClassVar[bool] = True  # after a crash it is run again, because a second run of one key does no harm

    def needs_approval(self) -> bool:
        return True  # the rules of bot.toml say who may approve it

    def title(self, facts: Facts) -> str:
        return f"Write down: {self.text}"

    async def prepare(self, call: Call) -> Facts:
        """Checks before people are asked. They see the facts, and the approval holds only for these."""
        notes = call.need(Notebook).notes()
        if self.text in notes.values():
            raise ToolError("That note is there already.")
        return {"notes_so_far": len(notes)}

    async def run(self, call: Call) -> JsonValue:
        call.need(Notebook).write(call.key, self.text)  # the key is the same after a crash
        return {"written": self.text}


def plan(thread: Thread) -> Step | None:
    """The step that code chooses; None: the model chooses. It only reads the thread."""
    return None if calls(thread, CheckDisk) else CheckDisk()


def build(table: dict[str, Any], home: Path) -> Agent:
    """The agent. `table` is [agents.newcomer] of bot.toml, `home` a folder for its files. Raises ValidationError."""
    return Agent(
        name=NAME,
        prompt=Path(__file__).with_name("prompt.md").read_text(encoding="utf-8"),
        tools=(CheckDisk, WriteNote),
        plan=plan,
        resources={Machine: Machine.model_validate(table), Notebook: Notebook(home / NAME / "notes.jsonl")},
    )


def build_for_evals(home: Path) -> Agent:
    """The agent that `bot eval newcomer` plays. One that reaches a service gets a stand-in for it here."""
    return build({}, home)
