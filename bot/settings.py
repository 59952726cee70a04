"""Everything that is set from outside: the environment (and `.env` in development), and the team's TOML file.

Read once, at start. Whatever is missing or wrong is reported together, each by its name and with what to do; secrets
stay in the environment and are never shown.
"""

from __future__ import annotations

import io
import os
import tomllib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from dotenv.parser import parse_stream
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(Exception):
    """What is wrong with the settings, one problem a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Team(BaseModel):
    """The TOML file. Each agent reads its own table under `[agents.NAME]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agents: dict[str, dict[str, Any]] = Field(default_factory=dict)
    routes: dict[str, str] = Field(default_factory=dict)
    """Which agent answers where: the id of a Slack channel -> the agent's name. Elsewhere the first one answers."""


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

    def channel_problems(self) -> list[str]:
        """Channels that are set up by half."""
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
        problems += (_problem(item, "") for item in found)
        wrong = {str(item["loc"][0]): Settings.model_fields[str(item["loc"][0])].get_default() for item in found}
        settings = Settings(_env_file=file, **wrong)
    try:
        if "bot_config" not in wrong:
            settings = settings.model_copy(update={"team": read_team(settings.bot_config)})
    except SettingsError as error:
        problems += error.problems
    for check in checks:
        problems += check(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def read_team(path: Path | None) -> Team:
    """The named file, or `bot.toml` if there is one. Raises SettingsError."""
    if path is None:
        path = Path("bot.toml")
        if not path.exists():
            return Team()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return Team.model_validate(data)
    except FileNotFoundError:
        raise SettingsError([f"BOT_CONFIG names {str(path)!r}, which does not exist."]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path} cannot be read: {_why(error)}."]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{path} is not valid TOML: {error}."]) from None
    except RecursionError:
        raise SettingsError([f"{path} is nested too deeply."]) from None
    except ValidationError as error:
        raise SettingsError([_problem(item, f"{path}: ") for item in error.errors(include_url=False)]) from None


def misspelt() -> list[str]:
    """Variables of the environment that look like ours and are not: nobody reads them."""
    ours = {name.upper() for name in Settings.model_fields} - {"TEAM"}
    told = []
    for name in sorted(os.environ):
        near = get_close_matches(name, ours, 1, cutoff=0.8)
        if name not in ours and name.startswith(("BOT_", "OPENAI_", "REDIS_", "SLACK_")) and near:
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


def _problem(item: Any, where: str) -> str:
    name = ".".join(str(part) for part in item["loc"])
    if not where:
        name = name.upper()
    if item["type"] == "extra_forbidden":
        known = f"; known are {', '.join(Team.model_fields)}" if len(item["loc"]) == 1 else ""
        return f"{where}{name} is not known here{known}."
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if item["type"].startswith(("int_", "float_", "greater_", "less_")):
        message = f"{message.partition(',')[0]}, not {item['input']!r}"  # a number is no secret
    return f"{where}{name} {message}."


def _why(error: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error.strerror)
