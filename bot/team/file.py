"""The schema of the team's TOML file.

All problems are reported together, each with its name and what to do; the valid parts are still read. The file holds no
secrets and nothing specific to a machine: those are in the environment.
"""

from __future__ import annotations

import contextlib
import copy
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from bot.team.github import GitHubTable
from bot.team.hooks import HookRule, HookTable, SignatureTable
from bot.team.hours import Hours, HoursTable
from bot.team.models import ModelTable, models_problems
from bot.team.names import nearest
from bot.team.people import Member, named, people_problems
from bot.team.problems import SettingsError, causes, what_is_wrong, why
from bot.team.rules import NO_TOOL, Override, Rule, Rules, Standing
from bot.team.schedules import ScheduleTable
from bot.team.steer import SteerTable
from bot.team.tokens import Token, token_problems
from bot.team.translation import as_rules
from channels import places
from channels.places import Alerts, Firing
from store.authority.terms import TEAM

PLACEHOLDERS = {
    ("rule", 3): {"group": TEAM},
    ("rule", 4): {"group": TEAM, "max": "1h"},
    ("schedules", 3): {"cron": "0 9 * * *", "time_zone": "UTC", "place": "terminal:ops"},
}
"""Placeholders for missing or wrong values, so that the rest of their table is still validated.

By top-level table and depth of the value.
"""


UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""Of a key that a table does not take, as pydantic says it."""


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


class SlackTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    callers: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Apps, bots and workflows that may call the agent by a mention: by name, or by the id of the bot or the app. They
    are unverified."""


class Team(BaseModel):
    """The team file. Each agent gets its own table `[agents.NAME]`, without `module`: see `bot.team.agents`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agents: dict[str, dict[str, Any]] = Field(default_factory=dict)
    routes: dict[str, str] = Field(default_factory=dict)
    """Which agent answers where: the id of a Slack channel, or one of our mail addresses -> the agent's name.

    The default agent answers everywhere else.
    """
    email: EmailTable = Field(default_factory=EmailTable)
    slack: SlackTable = Field(default_factory=SlackTable)
    alerts: str = ""
    """Where lost messages are reported: `slack:C0123456789` or `email:ops@example.com`."""
    people: dict[str, Member] = Field(default_factory=dict)
    rule: tuple[Rule, ...] = ()
    """Who decides what, in order. Without a rule for a call, nobody may approve it."""
    steer: SteerTable = Field(default_factory=SteerTable)
    """Who may pause, resume, cancel, reopen and fork threads, and revoke standing approvals."""
    hours: HoursTable | None = None
    """When people are at work. None: always."""
    schedules: dict[str, ScheduleTable] = Field(default_factory=dict)
    api: ApiTable = Field(default_factory=ApiTable)
    tokens: dict[str, Token] = Field(default_factory=dict)
    """Who may call the HTTP API, besides the machine with BOT_API_TOKEN."""
    hooks: dict[str, HookTable] = Field(default_factory=dict)
    """Which services may post to `/hooks/NAME`, and what follows from it."""
    github: GitHubTable = Field(default_factory=GitHubTable)
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
    def rules(self) -> Rules:
        return Rules(self.rule)

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
        problems |= dict.fromkeys(_team_problem(item) for item in causes(found))
        before = copy.deepcopy(data)
        for item in reversed(found):  # In reverse, so that the indexes of list items stay valid.
            # What is missing now went with a value that held it.
            with contextlib.suppress(LookupError, TypeError):
                _mend(data, item)
        if data == before:
            del data[str(found[0]["loc"][0])]


def _mend(data: dict[str, Any], item: Any) -> None:
    """Remove an invalid value, or replace it by a placeholder so that the rest can be validated.

    Raises LookupError or TypeError if the value does not stand there.
    """
    *way, last = item["loc"]
    if way[:1] == ["hours"]:
        data.pop("hours", None)  # Its values are valid only together.
        return
    if item["loc"][0] == "tokens" and way:
        data["tokens"].pop(item["loc"][1], None)  # A token without all that is said of it lets nobody in.
        return
    if item["loc"][0] == "hooks" and way:
        data["hooks"].pop(item["loc"][1], None)  # Nor does half a hook mean what it says.
        return
    if way[:1] == ["rule"] and (last in ("tool", "when") or "when" in way):
        # What it matches is not known, so it must not seem to match more than it says.
        data["rule"][way[1]]["tool"] = NO_TOOL
        data["rule"][way[1]].pop("when", None)
        return
    table: Any = data
    for step in way:
        table = table[step]
    placeholder = PLACEHOLDERS.get((item["loc"][0], len(item["loc"])), {}).get(last)
    if placeholder and item["type"] != "extra_forbidden":
        table[last] = placeholder
    elif item["type"] == "tuple_type" and isinstance(item["input"], str | dict):
        table[last] = [item["input"]]
    else:
        del table[last]


def _team_problem(item: Any) -> str:
    first, *rest = item["loc"]
    if first == "people" and item["loc"][-1] == "api_token_sha256":
        return f'people.{rest[0]}: a token has a table of its own, [tokens.NAME] with owner = "{rest[0]}".'
    if item["type"] in UNKNOWN:
        if first == "policy" and not rest:
            return as_rules(item["input"])
        if near := nearest(str(item["loc"][-1]), _known(item["loc"])):
            return f"{_path(item['loc'])} is not known here; did you mean {near}?"
        if not rest:
            return f"{first} is not known here; known are {', '.join(Team.model_fields)}."
    if first == "rule" and item["type"] == "tuple_type" and not rest:
        return "rule must be a list of tables: write [[rule]], with two brackets on each side."
    return f"{_path(item['loc'])} {what_is_wrong(item)}"


def _path(loc: tuple[str | int, ...]) -> str:
    """Where a value stands. Rules have no name, so they are counted."""
    if loc[0] == "hooks" and len(loc) > 3 and isinstance(loc[3], int):
        return ".".join((f"hooks.{loc[1]}, rule {loc[3] + 1}", *map(str, loc[4:])))
    if loc[0] == "rule" and len(loc) > 1 and isinstance(loc[1], int):
        return ".".join((f"rule {loc[1] + 1}", *map(str, loc[2:])))
    return ".".join(map(str, loc))


def _known(loc: tuple[str | int, ...]) -> list[str]:
    """The keys that the table takes in which something unknown stands."""
    match loc:
        case (_,):
            return [*Team.model_fields]
        case ("rule", _, _):
            return [*Rule.model_fields]
        case ("rule", _, "unverified", _):
            return [*Override.model_fields]
        case ("rule", _, "standing", _):
            return [*Standing.model_fields]
        case ("people", _, _):
            return [field.name for field in fields(Member)]
        case ("tokens", _, _):
            return [*Token.model_fields]
        case ("api", _):
            return [*ApiTable.model_fields]
        case ("email", _):
            return [*EmailTable.model_fields]
        case ("github", _):
            return [*GitHubTable.model_fields]
        case ("hooks", _, _):
            return [*HookTable.model_fields]
        case ("hooks", _, "signature", _):
            return [*SignatureTable.model_fields]
        case ("hooks", _, "on", _, _):
            return [*HookRule.model_fields]
        case ("hours", _):
            return [field.alias or name for name, field in HoursTable.model_fields.items()]
        case ("schedules", _, _):
            return [*ScheduleTable.model_fields]
        case ("models", _, _):
            return [field.alias or name for name, field in ModelTable.model_fields.items()]
        case _:
            return []
