"""Where the API may open threads: what the team file names. What is somebody's own is not everybody's."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from bot.team.file import Team
from bot.team.named_places import NamedPlaces, named_places
from channels import places
from channels.places import Command
from store.values import Place

FILE = """
alerts = "slack:C0ALERTS"

[api]
places = ["terminal:desk", "slack:U0GUEST", "email:Ops@Team.example"]

[routes]
C0ROUTE = "deploy"
"bot@team.example" = "rollback"

[people.ana]
slack = "U0ANA"
emails = ["Ana@team.example"]

[[rule]]
tool = "*"
group = "team"
ask = ["slack:C0ASK", "webhook:pager", "members", "email:ana@team.example"]
unverified = { ask = ["slack:C0OTHER"] }

[schedules.nightly]
cron = "0 9 * * *"
time_zone = "UTC"
place = "slack:C0NIGHT"
say = "Hello."
"""


def read(text: str = FILE) -> NamedPlaces:
    team = Team.model_validate(tomllib.loads(text))
    schedules: Any = [type("Schedule", (), {"table": table})() for table in team.schedules.values()]
    return named_places(team, schedules)


def there(text: str) -> Place:
    return places.parse(text, Command("x"))


EVERYBODYS = ["slack:C0ALERTS", "slack:C0ROUTE", "slack:C0ASK", "slack:C0OTHER", "slack:C0NIGHT", "webhook:pager"]
SOMEBODYS = [
    "slack:U0ANA",
    "email:ana@team.example",
    "email:ANA@team.example",
    "slack:U0GUEST",
    "email:ops@team.example",
]
NOBODYS = ["slack:C0NONE", "slack:D0ANA", "slack:U0EVE", "email:eve@else.example", "webhook:page", "terminal:other"]


@pytest.mark.parametrize("text", [*EVERYBODYS, "terminal:desk"])
def test_what_the_team_names_is_everybodys(text: str) -> None:
    assert read().allow(there(text))
    assert read().share(there(text))


@pytest.mark.parametrize("text", SOMEBODYS)
def test_a_mailbox_and_a_direct_message_are_somebodys_own(text: str) -> None:
    assert read().allow(there(text))
    assert not read().share(there(text))


@pytest.mark.parametrize("text", [*NOBODYS, "email:bot@team.example", "email:<a@team.example>", "terminal:members"])
def test_what_the_team_does_not_name_is_neither(text: str) -> None:
    assert not read().allow(there(text))
    assert not read().share(there(text))


@pytest.mark.parametrize("text", [*EVERYBODYS, *NOBODYS, "terminal:desk"])
def test_an_empty_file_names_nothing(text: str) -> None:
    assert not read("").allow(there(text))
    assert not read("").share(there(text))


def test_a_thread_is_where_its_place_is() -> None:
    named = read()
    for channel, address, shared in (
        ("slack", "T1/C0ASK/17.4", True),
        ("slack", "T1/C0NONE/17.4", False),
        ("slack", "T1/D0ANA/17.4", False),
        ("slack", "C0ASK", False),
        ("webhook", "pager/nightly@1", True),
        ("terminal", "desk/nightly@1", True),
        ("terminal", "api-0123", False),
        ("email", "<desk@team.example>", False),
        ("pigeon", "desk", False),
        ("", "", False),
    ):
        assert named.share(Place(channel=channel, address=address)) == shared
