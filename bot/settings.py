"""Everything that is set from outside: the environment (and `.env` in development), and the team's TOML file.

Read once, at start. Whatever is missing or wrong is reported together, each by its name and with what to do; secrets
stay in the environment and are never shown.
"""

from __future__ import annotations

import io
import os
import re
import tomllib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from dotenv.parser import parse_stream
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.team.hours import Hours, HoursTable
from bot.team.people import Member, named, people_problems
from bot.team.policies import ANY, Policy
from bot.team.schedules import ScheduleTable
from channels.email.senders import AllowedSenders, can_be_written_to
from channels.email.servers import imap_server, is_loopback, smtp_server
from store.authority.terms import TEAM

SECRET_CHARS_MIN = 16
STAND_INS = {
    ("policy", 4): {"group": TEAM},
    ("policy", 5): {"group": TEAM, "max": "1h"},
    ("schedules", 3): {"cron": "0 9 * * *", "time_zone": "UTC", "place": "terminal:ops"},
}
"""What is looked at instead of a needed value that is missing or wrong, so that what stands beside it is checked too.

By the table of the team file, and how deep the value is in it.
"""


class SettingsError(Exception):
    """What is wrong with the settings, one problem a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class EmailTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    first_start: Literal["new", "unread", "all"] = "new"
    """What is read of a mailbox that was never read before: what comes from then on, what is unread, everything."""


class Team(BaseModel):
    """The TOML file. Each agent reads its own table under `[agents.NAME]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agents: dict[str, dict[str, Any]] = Field(default_factory=dict)
    routes: dict[str, str] = Field(default_factory=dict)
    """Which agent answers where: the id of a Slack channel, or one of our mail addresses -> the agent's name.

    Elsewhere the first one answers.
    """
    email: EmailTable = Field(default_factory=EmailTable)
    alerts: str = ""
    """Where people hear of what could not be said in its own place: `slack:C0123456789` or `email:ops@example.com`."""
    people: dict[str, Member] = Field(default_factory=dict)
    policy: dict[str, dict[str, Policy]] = Field(default_factory=dict)
    """Who may approve what: by tool, and by scope. Where there is none for a call, nobody may."""
    hours: HoursTable | None = None
    """When people are at work. None: always."""
    schedules: dict[str, ScheduleTable] = Field(default_factory=dict)

    @field_validator("alerts")
    @classmethod
    def _place(cls, text: str) -> str:
        channel, _, address = text.partition(":")
        if text and (channel not in ("slack", "email") or not address or (channel == "email") != ("@" in address)):
            raise ValueError("must be slack: and a channel's id, or email: and an address")
        return text

    @field_validator("people")
    @classmethod
    def _people(cls, members: dict[str, Member]) -> dict[str, Member]:
        return named(members)

    @property
    def business_hours(self) -> Hours:
        return self.hours.hours() if self.hours else Hours()


class Settings(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    redis_url: str = Field(default="", repr=False)
    """Empty: the embedded server under `bot_home`."""
    bot_home: Path = Path(".bot")
    bot_config: Path | None = None
    openai_api_key: SecretStr = SecretStr("")
    openai_base_url: str = Field(default="https://api.openai.com/v1", repr=False)
    openai_model: str = ""
    slack_bot_token: SecretStr = SecretStr("")
    slack_app_token: SecretStr = SecretStr("")
    """For Socket Mode."""
    slack_signing_secret: SecretStr = SecretStr("")
    """For HTTP."""
    slack_api_url: str = Field(default="https://slack.com/api/", repr=False)
    email_address: str = ""
    """As people write to us."""
    imap_url: str = Field(default="", repr=False)
    smtp_url: str = Field(default="", repr=False)
    email_authserv_id: str = ""
    """The name of our own receiving server in Authentication-Results. Empty: nobody's mail proves who wrote it."""
    email_allowed_senders: str = ""
    """Addresses and domains. Empty: nobody."""
    email_plus_addresses: bool = True
    """Our mail server delivers bot+anything@ to bot@."""
    bot_public_url: str = ""
    """Under which people reach our pages. Empty: mails carry no links."""
    bot_secret_key: SecretStr = SecretStr("")
    """Signs links and reply addresses. Empty: one is made and kept in the store."""
    bot_api_token: SecretStr = SecretStr("")
    """Of the machine `api`, over HTTP. Empty: only people with a token of their own call there."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    bot_concurrency: Annotated[int, Field(ge=1, le=1000)] = 50
    """Threads that one worker process holds at once."""
    bot_lease_seconds: Annotated[float, Field(ge=1, le=600)] = 15
    """How long a thread stays with a worker that died."""
    bot_grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 20
    """How long `bot run` finishes what it began after SIGTERM."""
    bot_log_level: str = "info"

    team: Team = Field(default_factory=Team, exclude=True)

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, url: str) -> str:
        if url and _split(url).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return url

    @field_validator("openai_base_url", "slack_api_url")
    @classmethod
    def _http(cls, url: str) -> str:
        parts = _split(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// URL")
        return url.rstrip("/")

    @field_validator("bot_public_url")
    @classmethod
    def _public(cls, url: str) -> str:
        parts = _split(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
            raise ValueError("must be an https:// URL")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("must begin with https://: its links decide on deployments")
        return url.rstrip("/")

    @field_validator("imap_url", "smtp_url")
    @classmethod
    def _mail(cls, url: str, info: ValidationInfo) -> str:
        if url:
            _ = imap_server(url) if info.field_name == "imap_url" else smtp_server(url)
        return url

    @field_validator("email_address")
    @classmethod
    def _address(cls, address: str) -> str:
        if address and not can_be_written_to(address):
            raise ValueError("must be one plain address, such as deploybot@example.com")
        return address

    @field_validator("email_allowed_senders")
    @classmethod
    def _senders(cls, text: str) -> str:
        AllowedSenders.parse(text)
        return text

    @field_validator("bot_secret_key", "bot_api_token")
    @classmethod
    def _secret(cls, secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value()) < SECRET_CHARS_MIN:
            raise ValueError(f"must have {SECRET_CHARS_MIN} characters or more, such as `openssl rand -hex 32` gives")
        return secret

    @field_validator("bot_home", "bot_config")
    @classmethod
    def _expanded(cls, path: Path | None) -> Path | None:
        try:
            return path.expanduser() if path else path
        except RuntimeError:
            raise ValueError("begins with ~, and there is no home directory") from None

    @field_validator("bot_log_level")
    @classmethod
    def _level(cls, level: str) -> str:
        if level.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("must be debug, info, warning or error")
        return level.lower()

    @property
    def has_slack(self) -> bool:
        return bool(self.slack_bot_token.get_secret_value())

    @property
    def has_email(self) -> bool:
        return bool(self.email_address and self.imap_url and self.smtp_url)

    def channel_names(self) -> frozenset[str]:
        """Those at which people can be asked."""
        set_up = {"slack": self.has_slack, "email": self.has_email}
        return frozenset(name for name, is_so in set_up.items() if is_so)

    def channel_problems(self) -> list[str]:
        """Channels that are set up by half."""
        return self.slack_problems() + self.email_problems()

    def email_problems(self) -> list[str]:
        needed = {
            "EMAIL_ADDRESS": (self.email_address, "the address that people write to"),
            "IMAP_URL": (self.imap_url, "where its mailbox is, imaps://user:password@host:993/INBOX"),
            "SMTP_URL": (self.smtp_url, "where mail goes out, smtps://user:password@host:465"),
        }
        if not any(value for value, _ in needed.values()):
            return []
        return [f"{name} is not set: {what}." for name, (value, what) in needed.items() if not value]

    def email_warnings(self) -> list[str]:
        """What people will miss, and should know before they do."""
        warnings = []
        if not AllowedSenders.parse(self.email_allowed_senders):
            warnings.append("EMAIL_ALLOWED_SENDERS is empty, so nobody may write to me by mail.")
        if not self.email_authserv_id:
            warnings.append(
                "EMAIL_AUTHSERV_ID is not set, so no mail proves who wrote it: replies decide nothing, "
                "and whatever acts needs an approval."
            )
        if not self.bot_public_url:
            warnings.append("BOT_PUBLIC_URL is not set, so mails carry no links to decide with.")
        return warnings

    def slack_problems(self) -> list[str]:
        bot, app, secret = (
            bool(each.get_secret_value())
            for each in (self.slack_bot_token, self.slack_app_token, self.slack_signing_secret)
        )
        problems = []
        if (app or secret) and not bot:
            problems.append(
                "SLACK_BOT_TOKEN is not set: take the token that begins with xoxb- from OAuth & Permissions."
            )
        if bot and not app and not secret:
            problems.append(
                "SLACK_APP_TOKEN is not set: for Socket Mode, make one under Basic Information (it begins with xapp-); "
                "or set SLACK_SIGNING_SECRET for HTTP."
            )
        for name, value, prefix in (("BOT", self.slack_bot_token, "xoxb-"), ("APP", self.slack_app_token, "xapp-")):
            token = value.get_secret_value()
            if token and not token.startswith(prefix):
                problems.append(f"SLACK_{name}_TOKEN does not begin with {prefix}: it is another kind of token.")
        return problems

    @property
    def has_model(self) -> bool:
        return bool(self.openai_model)

    def model_problems(self) -> list[str]:
        """Why no model can be asked; empty: one can."""
        problems = []
        if not self.openai_model:
            problems.append("OPENAI_MODEL is not set: name the model that shall decide, as your endpoint calls it.")
        key = self.openai_api_key.get_secret_value().strip()
        if not key:
            problems.append("OPENAI_API_KEY is not set: take it from your provider (any text for a local endpoint).")
        elif not (key.isascii() and key.isprintable()):
            problems.append("OPENAI_API_KEY holds characters that no key has: copy it again.")
        return problems


def load(*checks: Callable[[Settings], list[str]]) -> Settings:
    """Raises SettingsError, which names every problem at once; also those that `checks` find in what can be read."""
    file, problems = _env_file()
    wrong: dict[str, Any] = {}
    try:
        settings = Settings(_env_file=file)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems += (f"{'.'.join(map(str, item['loc'])).upper()} {what_is_wrong(item)}" for item in found)
        wrong = {str(item["loc"][0]): Settings.model_fields[str(item["loc"][0])].get_default() for item in found}
        settings = Settings(_env_file=file, **wrong)
    try:
        if "bot_config" not in wrong:
            team, found_in_team = _read(settings.bot_config)
            problems += found_in_team
            settings = settings.model_copy(update={"team": team})
    except SettingsError as error:
        problems += error.problems
    for check in checks:
        problems += check(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def read_team(path: Path | None) -> Team:
    """The named file, or `bot.toml` if there is one. Raises SettingsError."""
    team, problems = _read(path)
    if problems:
        raise SettingsError(problems)
    return team


def _read(path: Path | None) -> tuple[Team, list[str]]:
    """What of the file can be read, and what is wrong in the rest. Raises SettingsError where it is no TOML file."""
    if path is None:
        path = Path("bot.toml")
        if not path.exists():
            return Team(), []
    try:
        team, problems = _understood(tomllib.loads(path.read_text(encoding="utf-8")))
        return team, [f"{path}: {problem}" for problem in problems + people_problems(team.people)]
    except FileNotFoundError:
        raise SettingsError([f"BOT_CONFIG names {str(path)!r}, which does not exist."]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path} cannot be read: {_why(error)}."]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{path} is not valid TOML: {error}."]) from None
    except RecursionError:
        raise SettingsError([f"{path} is nested too deeply."]) from None


def _understood(data: dict[str, Any]) -> tuple[Team, list[str]]:
    """`data` without what is wrong in it, which is told."""
    told: dict[str, None] = {}
    while True:
        try:
            return Team.model_validate(data), list(told)
        except ValidationError as error:
            found = error.errors(include_url=False)
        told |= dict.fromkeys(_team_problem(item) for item in found)
        for item in reversed(found):  # so the numbers of a list's items stay right
            _mend(data, item)


def _mend(data: dict[str, Any], item: Any) -> None:
    """Take out what is wrong there, or put in its place what lets the rest be looked at."""
    *way, last = item["loc"]
    if way[:1] == ["hours"]:
        data.pop("hours", None)  # they make sense together only
        return
    table: Any = data
    for step in way:
        table = table[step]
    stand_in = STAND_INS.get((item["loc"][0], len(item["loc"])), {}).get(last)
    if stand_in and item["type"] != "extra_forbidden":
        table[last] = stand_in
    elif item["type"] == "tuple_type" and isinstance(item["input"], str):
        table[last] = [item["input"]]
    else:
        del table[last]


def misspelt() -> list[str]:
    """Variables of the environment that look like ours and are not: nobody reads them."""
    ours = {name.upper() for name in Settings.model_fields} - {"TEAM"}
    told = []
    for name in sorted(os.environ):
        near = get_close_matches(name, ours, 1, cutoff=0.8)
        if (
            name not in ours
            and name.startswith(("BOT_", "OPENAI_", "REDIS_", "SLACK_", "EMAIL_", "IMAP_", "SMTP_"))
            and near
        ):
            told.append(f"{name} is not known; did you mean {near[0]}?")
    return told


def _env_file() -> tuple[Path | None, list[str]]:
    """`.env` of the working directory where there is one that can be read, and what is wrong with it."""
    path = Path(".env")
    if not path.is_file():
        return None, []
    try:
        lines = parse_stream(io.StringIO(path.read_text(encoding="utf-8")))
        bad = [line.original.line for line in lines if line.error]
    except (OSError, UnicodeDecodeError) as error:
        return None, [f".env cannot be read: {_why(error)}."]
    # The line itself is not shown: it may hold a secret.
    return (None, [f".env: line {number} is not NAME=value." for number in bad]) if bad else (path, [])


def _split(url: str) -> SplitResult:
    """Raises ValueError without a part of the URL in it: it may be a part of the password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL; in a password, / ? # and @ are written %2F %3F %23 %40") from None
    return parts


def _team_problem(item: Any) -> str:
    loc = item["loc"]
    if item["type"] == "extra_forbidden" and len(loc) == 1:
        return f"{loc[0]} is not known here; known are {', '.join(Team.model_fields)}."
    if item["type"] == "model_type" and loc[0] == "policy" and len(loc) == 3:
        return f'policy.{loc[1]} needs a scope: write [policy.{loc[1]}.SCOPE], or [policy.{loc[1]}."{ANY}"].'
    return f"{'.'.join(map(str, loc))} {what_is_wrong(item)}"


def what_is_wrong(item: Any) -> str:
    """One of pydantic's errors, to be read after the name of what is wrong."""
    match item["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            message = "is not known here"
        case "missing":
            message = "is missing"
        case "dict_type" | "model_type" | "dataclass_type":
            message = "must be a table"
        case "tuple_type":
            message = 'must be a list, such as ["one", "two"]'
        case kind:
            message = re.sub("^(Value error, |Input |String |Tuple )", "", item["msg"])
            if kind.startswith(("int_", "float_", "greater_", "less_")):
                message = f"{message.partition(',')[0]}, not {item['input']!r}"  # a number is no secret
    return message if message.endswith(("?", ".")) else f"{message}."


def _why(error: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error.strerror)
