"""What a team's agent imports: the names of `agent`, and nothing below it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import agent

ROSTER = Path(agent.__file__).parent / "roster"
FACE = """\
ANOTHER_THREAD StepChosen
Agent AgentError Call Called DoneForNow Facts HandOver KeepsNotes Limits LookAgain Meaning MessageReceived NoNotes Notes
NotesUnavailable NothingToDo OutcomeUnknown RequestHumanInput
Result Said SendUpdate SetReminder ShowTasks Step Thread Tool ToolError TriggerReceived Wait WithdrawRequest as_question
await_news awaited calls no_longer opening_of secret setting steps_taken
"""
"""Teams import these: taking one away, or renaming it, breaks their agents."""
SMALL_AGENT = '''
from __future__ import annotations

from typing import ClassVar

from agent import (
    Agent, Call, DoneForNow, Facts, HandOver, Limits, MessageReceived, Result, Step, Thread, Tool, ToolError,
    Wait, as_question, calls, opening_of,
)


class Crane:
    load = 3


class Lifted(Result):
    crates: int


class LiftCrates(Tool):
    """Lift crates. A person approves it first."""

    needs: ClassVar[tuple[type, ...]] = (Crane,)
    crates: int

    def needs_approval(self) -> bool:
        return True

    async def prepare(self, call: Call) -> Facts:
        if self.crates > call.need(Crane).load:
            raise ToolError("Too heavy.")
        return {"load": call.need(Crane).load}

    async def run(self, call: Call) -> dict | Wait:
        return Wait(1.0) if call.attempt == 1 else Lifted(crates=self.crates).as_json()


def plan(thread: Thread) -> Step | None:
    if opening_of(thread) == "morning" and not calls(thread, LiftCrates):
        return as_question("Shall I begin?", yes_no=True)
    lifts = calls(thread, LiftCrates)
    if lifts and (lifted := lifts[-1].result(Lifted)) and lifted.crates == 0:
        return HandOver(agent="night", reason="Nothing was lifted.")
    spoken = [event for event in thread.events if isinstance(event, MessageReceived)]
    return DoneForNow(message="Good night.") if spoken and spoken[-1].text == "bye" else None


YARD = Agent(
    name="yard", prompt="You lift.", tools=(LiftCrates,), plan=plan, limits=Limits(), resources={Crane: Crane()},
    openings={"morning": "asks whether to begin"},
)
assert plan(Thread("t1")) is None
print(*YARD.steps)
'''


def test_the_names_are_these_and_each_is_there() -> None:
    assert sorted(agent.__all__) == sorted(FACE.split())
    assert [name for name in agent.__all__ if not hasattr(agent, name)] == []


def test_a_small_agent_needs_nothing_below() -> None:
    """In a process of its own, where nothing else has been imported yet."""
    done = subprocess.run([sys.executable, "-c", SMALL_AGENT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[:2] == ["lift_crates", "request_human_input"]


def test_the_agents_that_ship_import_what_a_team_may() -> None:
    """All but the stand-in, which stands where a model stands."""
    for path in sorted(ROSTER.rglob("*.py")):
        if path.name == "stand_in.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        modules += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
        ours = [name for name in modules if name.split(".")[0] in ("agent", "bot", "channels", "store")]
        below = [name for name in ours if name != "agent" and not name.startswith("agent.roster")]
        assert below == [], path
