"""The steps as the model reads them in the system message, on every endpoint."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
from pydantic import BaseModel, Field, JsonValue

from agent.definition import Agent
from agent.model.frame import MODES, Mode, frame_of
from agent.model.listing import step_line, steps_in_words
from agent.steps import Tool

Region = Literal["north", "south"]


class Window(BaseModel):
    start: str
    hours: int = 1


class Ship(Tool):
    """Ship a release.

    It takes a while.
    """

    release: str = Field(description="a tag")
    region: Region
    window: Window | None = None
    replicas: int = Field(ge=1, le=9)
    notes: list[str] = Field(default=[])
    labels: dict[str, JsonValue] = Field(default={})


class ReadLogs(Tool):
    """Read the newest lines."""

    acts: ClassVar[bool] = False


class Follow(Tool):
    """Only code does."""

    by_code: ClassVar[bool] = True


AGENT = Agent(name="shipper", prompt="You ship.\n", tools=(Ship, ReadLogs, Follow))


def test_a_line_has_the_arguments_their_values_and_what_the_class_says() -> None:
    assert step_line(AGENT, "ship") == (
        "- ship(release, region: north | south, window?: {start, hours?: integer}, replicas: 1 to 9, notes: [text, …], "
        "labels: any object): Ship a release. It takes a while. `release`: a tag."
    )
    assert step_line(AGENT, "read_logs") == "- read_logs(): Read the newest lines."


def test_the_steps_stand_in_groups_and_what_only_code_chooses_is_not_there() -> None:
    text = steps_in_words(AGENT)
    order = ["To act:", "- ship(", "- withdraw_request(", "To look:", "- read_logs(", "To speak:", "- done_for_now("]
    order += ["- nothing_to_do(", "To come back later:", "- set_reminder("]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "follow" not in text.lower().split("to speak")[0]
    assert step_line(AGENT, "follow") == ""
    assert all(text.count(f"- {intent}(") == 1 for intent in AGENT.steps)


def test_values_that_several_steps_share_stand_there_once() -> None:

    class Where(BaseModel):
        name: str
        near: list[Where] = Field(default=[])

    class Move(Tool):
        """Move it."""

        there: Where

    text = steps_in_words(Agent(name="mover", prompt="p", tools=(Move,)))
    assert "- move(there: Where): Move it." in text
    assert "The values that these may have:\n- Where: {name, near: [Where, …]}" in text


@pytest.mark.parametrize("mode", MODES)
def test_every_endpoint_is_told_the_steps(mode: Mode) -> None:
    system = frame_of(AGENT, mode).system
    assert system.startswith(f"You ship.\n\n{steps_in_words(AGENT)}")
    assert ("additionalProperties" in system) == (mode != "json_schema")
