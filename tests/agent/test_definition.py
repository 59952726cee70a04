"""What an agent is built from is checked when it is built: no thread finds out that it is wired wrongly."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import JsonValue

from agent.definition import Agent, AgentError
from agent.steps import Call, Step, Tool
from store.events import ToolFinished
from tests.telling.playbook import Desk, Push, World, done


class Crane:
    pass


class LiftCrate(Tool):
    """Lift a crate."""

    needs: ClassVar[tuple[type, ...]] = (Crane, Desk)

    async def run(self, call: Call) -> JsonValue:
        call.need(Crane)
        return "lifted"


def test_an_agent_whose_tool_lacks_what_it_needs_is_not_built() -> None:
    told = "^The agent 'yard' cannot be built: its resources hold no Crane, which its tools need: LiftCrate.$"
    with pytest.raises(AgentError, match=told):
        Agent(name="yard", prompt="", tools=(LiftCrate,), resources={Desk: Desk([])})


def test_all_that_is_missing_is_told_at_once() -> None:
    with pytest.raises(AgentError, match=r"no Crane, .*: LiftCrate; .* no Desk, .*: LiftCrate, Push\.$"):
        Agent(name="yard", prompt="", tools=(LiftCrate, Push))


def test_a_resource_of_another_type_is_none() -> None:
    with pytest.raises(AgentError, match="hold no Crane"):
        Agent(name="yard", prompt="", tools=(LiftCrate,), resources={Crane: "a crane", Desk: Desk([])})


def test_a_tool_is_given_what_it_needs_and_nothing_else() -> None:
    agent = Agent(name="yard", prompt="", tools=(LiftCrate, Push), resources={Crane: Crane(), Desk: Desk([]), int: 1})
    assert agent.resources_of("lift_crate") == {Crane: agent.resources[Crane], Desk: agent.resources[Desk]}
    assert agent.resources_of("push") == {Desk: agent.resources[Desk]}
    assert agent.resources_of("done_for_now") == agent.resources_of("gone") == {}


class Grab(Tool):
    """Asks for what it does not name."""

    acts: ClassVar[bool] = False

    async def run(self, call: Call) -> JsonValue:
        return str(call.need(Crane))


async def test_what_a_tool_does_not_name_it_is_not_given_even_where_it_is_there() -> None:
    world = World()
    world.roster["ops"] = Agent(name="ops", prompt="", tools=(Grab,), resources={Crane: Crane()})
    world.model.answers(Grab(), done())
    await world.say("grab it")
    await world.run()
    (failed,) = [event for event in world.thread.events if isinstance(event, ToolFinished)]
    assert failed.error == "AssertionError: the tool asks for Crane, which is not in its `needs`"


def another() -> type[Tool]:
    class LiftCrate(Tool):
        """Lift it once more."""

    return LiftCrate


class DoneForNow(Tool):
    """Not the program's."""


class HandOver(Tool):
    """Only code hands over, and still the name is taken."""


def test_two_tools_of_one_intent_are_refused() -> None:
    with pytest.raises(AgentError, match=r"2 of its tools have the intent 'lift_crate'"):
        Agent(name="yard", prompt="", tools=(LiftCrate, another()), resources={Crane: Crane(), Desk: Desk([])})


@pytest.mark.parametrize(("tool", "intent"), [(DoneForNow, "done_for_now"), (HandOver, "hand_over")])
def test_a_tool_that_is_called_as_a_step_of_the_program_is_refused(tool: type[Tool], intent: str) -> None:
    with pytest.raises(
        AgentError, match=f"one of its tools has the intent '{intent}', which belongs to a built-in step"
    ):
        Agent(name="yard", prompt="", tools=(tool,))


def test_the_name_of_a_step_is_made_from_its_class() -> None:
    class DeployToX2(Step):
        pass

    class _HTTPCheck(Step):
        pass

    assert DeployToX2.intent_name() == DeployToX2().intent == "deploy_to_x2"
    assert _HTTPCheck.intent_name() == "http_check"


def test_a_step_that_names_its_intent_itself_is_refused() -> None:
    with pytest.raises(TypeError, match="Deploy declares an intent, but the class name defines it"):

        class Deploy(Step):
            intent: str = "ship"


def test_the_model_has_to_name_the_intent_and_code_need_not() -> None:
    assert Push(target="prod").intent == "push"
    assert Push.model_json_schema()["required"] == ["intent", "target"]
    assert Push.model_json_schema()["properties"]["intent"] == {"const": "push", "title": "Intent", "type": "string"}
