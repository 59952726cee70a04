"""The schema of the team's TOML file.

All problems are reported together, each with its name and what to do; the valid parts are still read. The file holds no
secrets and nothing specific to a machine: those are in the environment.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from bot.team.hours import Hours, HoursTable
from bot.team.models import ModelTable, models_problems
from bot.team.people import Member, named, people_problems
from bot.team.policies import ANY, Policy
from bot.team.problems import SettingsError, what_is_wrong, why
from bot.team.schedules import ScheduleTable
from bot.team.steer import SteerTable
from bot.team.tokens import Token, token_problems
from channels import places
from channels.places import Alerts, Firing
from store.authority.terms import TEAM

PLACEHOLDERS = {
    ("policy", 4): {"group": TEAM},
    ("policy", 5): {"group": TEAM, "max": "1h"},
    ("schedules", 3): {"cron": "0 9 * * *", "time_zone": "UTC", "place": "terminal:ops"},
}
"""Placeholders for missing or wrong values, so that the rest of their table is still validated.

By top-level table and depth of the value.
"""


def _place(text: str) -> str:
    places.parse(text, Firing("any", "any"))
    return text


class ApiTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    places: tuple[Annotated[str, AfterValidator(_place)], ...] = ()
    """Where the HTTP API may open threads, besides the places that the file names anyway."""


class EmailTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    first_start: Literal["new", "unread", "all"] = "new"
    """What to read from a mailbox at the first start: only new mail, unread mail, or everything."""


class Team(BaseModel):
    """The team file. Each agent gets its own table `[agents.NAME]`, without `module`: see `bot.team.agents`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agents: dict[str, dict[str, Any]] = Field(default_factory=dict)
    routes: dict[str, str] = Field(default_factory=dict)
    """Which agent answers where: the id of a Slack channel, or one of our mail addresses -> the agent's name.

    The default agent answers everywhere else.
    """
    email: EmailTable = Field(default_factory=EmailTable)
    alerts: str = ""
    """Where lost messages are reported: `slack:C0123456789` or `email:ops@example.com`."""
    people: dict[str, Member] = Field(default_factory=dict)
    policy: dict[str, dict[str, Policy]] = Field(default_factory=dict)
    """Who may approve what: by tool and by scope. Without a policy for a call, nobody may."""
    steer: SteerTable = Field(default_factory=SteerTable)
    """Who may pause, resume, cancel, reopen and fork threads, and revoke standing approvals."""
    hours: HoursTable | None = None
    """When people are at work. None: always."""
    schedules: dict[str, ScheduleTable] = Field(default_factory=dict)
    api: ApiTable = Field(default_factory=ApiTable)
    tokens: dict[str, Token] = Field(default_factory=dict)
    """Who may call the HTTP API, besides the machine with BOT_API_TOKEN."""
    models: dict[str, ModelTable] = Field(default_factory=dict)
    """Without the default one, if that comes from the environment alone."""

    @field_validator("alerts")
    @classmethod
    def _place(cls, text: str) -> str:
        if text:
            places.parse(text, Alerts())
        return text

    @field_validator("people")
    @classmethod
    def _people(cls, members: dict[str, Member]) -> dict[str, Member]:
        return named(members)

    @property
    def business_hours(self) -> Hours:
        return self.hours.hours() if self.hours else Hours()


def team_path(named: Path | None) -> Path:
    return named or Path("bot.toml")


def read_team(path: Path | None) -> Team:
    """The named file, or `bot.toml` if it exists. Raises SettingsError."""
    team, problems = inspect_team(path)
    if problems:
        raise SettingsError(problems)
    return team


def inspect_team(path: Path | None) -> tuple[Team, list[str]]:
    """The valid parts of the file, and the problems of the rest. Raises SettingsError if it is not TOML."""
    if path is None and not team_path(path).exists():
        return Team(), []
    path = team_path(path)
    try:
        team, problems = _understood(tomllib.loads(path.read_text(encoding="utf-8")))
        problems += people_problems(team.people) + models_problems(team.models)
        problems += token_problems(team.tokens, team.people)
        return team, [f"{path}: {problem}" for problem in problems]
    except FileNotFoundError:
        raise SettingsError([f"BOT_CONFIG names {str(path)!r}, which does not exist."]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path} cannot be read: {why(error)}."]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{path} is not valid TOML: {error}."]) from None
    except RecursionError:
        raise SettingsError([f"{path} is nested too deeply."]) from None


def _understood(data: dict[str, Any]) -> tuple[Team, list[str]]:
    """The team without the invalid parts of `data`, and the problems."""
    problems: dict[str, None] = {}
    while True:
        try:
            return Team.model_validate(data), list(problems)
        except ValidationError as error:
            found = error.errors(include_url=False)
        problems |= dict.fromkeys(_team_problem(item) for item in found)
        for item in reversed(found):  # In reverse, so that the indexes of list items stay valid.
            _mend(data, item)


def _mend(data: dict[str, Any], item: Any) -> None:
    """Remove an invalid value, or replace it by a placeholder so that the rest can be validated."""
    *way, last = item["loc"]
    if way[:1] == ["hours"]:
        data.pop("hours", None)  # Its values are valid only together.
        return
    if item["loc"][0] == "tokens" and way:
        data["tokens"].pop(item["loc"][1], None)  # A token without all that is said of it lets nobody in.
        return
    table: Any = data
    for step in way:
        table = table[step]
    placeholder = PLACEHOLDERS.get((item["loc"][0], len(item["loc"])), {}).get(last)
    if placeholder and item["type"] != "extra_forbidden":
        table[last] = placeholder
    elif item["type"] == "tuple_type" and isinstance(item["input"], str):
        table[last] = [item["input"]]
    else:
        del table[last]


def _team_problem(item: Any) -> str:
    loc = item["loc"]
    if item["type"] == "extra_forbidden" and len(loc) == 1:
        return f"{loc[0]} is not known here; known are {', '.join(Team.model_fields)}."
    if item["type"] == "model_type" and loc[0] == "policy" and len(loc) == 3:
        return f'policy.{loc[1]} needs a scope: write [policy.{loc[1]}.SCOPE], or [policy.{loc[1]}."{ANY}"].'
    if loc[0] == "people" and loc[-1] == "api_token_sha256":
        return f'people.{loc[1]}: a token has a table of its own, [tokens.NAME] with owner = "{loc[1]}".'
    return f"{'.'.join(map(str, loc))} {what_is_wrong(item)}"
