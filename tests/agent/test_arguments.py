"""What the arguments of a tool can be, as its class says."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import Field, StrictBool, StrictInt
from typing_extensions import TypeAliasType

from agent.arguments import Argument, arguments_of, listed_values
from agent.steps import Tool

Named = TypeAliasType("Named", Literal["up", "down"])


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Everything(Tool):
    """Takes arguments of all kinds."""

    word: str
    place: Literal["here", "there"]
    maybe: Literal["here"] | None = None
    none_listed: Literal["here", None] = None
    colour: Colour = Colour.RED
    named: Named = "up"
    open_or_listed: Literal["a"] | str = "a"
    long: Annotated[str, Field(max_length=9)] | None = None
    count: int = 1
    level: Literal[1, 2] = 1
    share: Annotated[float, Field(ge=0)] = 0.5
    money: Decimal = Decimal(1)
    strict: StrictInt = 1
    sure: bool = False
    surely: StrictBool | None = None
    many: tuple[str, ...] = ()
    mixed: int | str = 1


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("word", Argument("text")),
        ("place", Argument("text", ("here", "there"))),
        ("maybe", Argument("text", ("here",), may_be_missing=True)),
        ("none_listed", Argument("text", ("here",), may_be_missing=True)),
        ("colour", Argument("text", ("red", "blue"))),
        ("named", Argument("text", ("up", "down"))),
        ("open_or_listed", Argument("text")),
        ("long", Argument("text", may_be_missing=True)),
        ("count", Argument("number")),
        ("level", Argument("number", (1, 2))),
        ("share", Argument("number")),
        ("money", Argument("number")),
        ("strict", Argument("number")),
        ("sure", Argument("truth", (True, False))),
        ("surely", Argument("truth", (True, False), may_be_missing=True)),
        ("many", Argument("other")),
        ("mixed", Argument("other")),
    ],
)
def test_each_is_of_a_kind(name: str, argument: Argument) -> None:
    assert arguments_of(Everything)[name] == argument


def test_the_intent_is_none_of_them() -> None:
    assert "intent" not in arguments_of(Everything)


def test_only_values_from_a_list_are_shown() -> None:
    given = Everything(word="secret", place="there", colour=Colour.BLUE, many=("here",))
    assert list(listed_values(Everything, given.arguments)) == ["there", "blue", "up"]
    assert list(listed_values(Everything, {"place": "elsewhere"})) == []
