"""The stand-in with an agent that it knows nothing of: it goes by the names of the tools and their arguments."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
from pydantic import JsonValue

from agent import Agent, Call, Tool, ToolError
from agent.roster.stand_in import StandIn
from tests.telling.playbook import World


class CountConnections(Tool):
    """How many connections the database has now."""

    acts: ClassVar[bool] = False

    async def run(self, call: Call) -> JsonValue:
        return {"host": "db.example.com", "connections": 7}


class RestartService(Tool):
    """Restart a service."""

    service: Literal["web", "worker"]
    reason: str = ""

    def needs_approval(self) -> bool:
        return True

    async def run(self, call: Call) -> JsonValue:
        return {"restarted": self.service}


class FindLogs(Tool):
    """Search the logs."""

    acts: ClassVar[bool] = False
    pattern: str
    lines: int

    async def run(self, call: Call) -> JsonValue:
        if self.lines > 100:
            raise ToolError("I read 100 lines at most.")
        return {"found": f"{self.pattern} in {self.lines} lines"}


@pytest.fixture
def world() -> World:
    world = World()
    world.roster["ops"] = Agent(name="ops", prompt="", tools=(CountConnections, RestartService, FindLogs))
    world.loop = world.loop_with(StandIn())
    return world


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("how many connections are there?", "count connections: host: db.example.com, connections: 7"),
        ('find "out of memory" in the last 50 lines of the logs', "find logs: pattern: out of memory, lines: 50"),
        ("find logs pattern oom, lines 20", "find logs: pattern: oom, lines: 20"),
        ("find logs pattern oom, lines 200", "That did not work: I read 100 lines at most."),
        ("what is the meaning of life?", "I did not understand that. I am a stand-in, no model"),
        ("what is the meaning of life?", "Try: “count connections”, “restart service”, “find logs”."),
    ],
)
async def test_it_finds_a_tool_by_its_name_and_tells_what_it_returned(world: World, words: str, answer: str) -> None:
    await world.say(words)
    told = await world.run()
    assert answer in told[-1]
    assert world.thread.status == "done"


async def test_thanks_need_no_answer(world: World) -> None:
    await world.say("thanks!")
    assert await world.run() == []


async def test_it_asks_for_what_the_words_do_not_hold_and_an_approval_is_one(world: World) -> None:
    await world.say("restart the service")
    asked = await world.run()
    assert "Which service?" in asked[-1]
    await world.answer("the worker")
    card = await world.run()
    assert world.thread.pending, card
    assert world.thread.pending.chosen.arguments["service"] == "worker"
    await world.approve()
    assert "restart service: restarted: worker" in (await world.run())[-1]


async def test_after_a_rejection_it_does_nothing(world: World) -> None:
    await world.say("restart the web service")
    await world.run()
    await world.reject()
    assert "So I did nothing." in (await world.run())[-1]
