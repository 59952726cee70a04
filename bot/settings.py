"""Everything that is set from outside: the environment (and `.env` in development), and the team's TOML file.

Read once, at start. Whatever is missing or wrong is reported together, each by its name and with what to do; secrets
stay in the environment and are never shown.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

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


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    redis_url: str = ""
    """Empty: the embedded server under `bot_home`."""
    bot_home: Path = Path(".bot")
    bot_config: Path | None = None
    openai_api_key: SecretStr = SecretStr("")
    openai_base_url: str = "https://api.openai.com/v1"
    openai_model: str = ""
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
        if url and urlsplit(url).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return url

    @field_validator("openai_base_url")
    @classmethod
    def _http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// URL")
        return url.rstrip("/")

    @field_validator("bot_log_level")
    @classmethod
    def _level(cls, level: str) -> str:
        if level.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("must be debug, info, warning or error")
        return level.lower()

    @property
    def has_model(self) -> bool:
        return bool(self.openai_model)

    def model_problems(self) -> list[str]:
        """Why no model can be asked; empty: one can."""
        problems = []
        if not self.openai_model:
            problems.append("OPENAI_MODEL is not set: name the model that shall decide, as your endpoint calls it.")
        if not self.openai_api_key.get_secret_value():
            problems.append("OPENAI_API_KEY is not set: take it from your provider (any text for a local endpoint).")
        return problems


def load(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Raises SettingsError, which names every problem at once."""
    problems: list[str] = []
    settings: Settings | None = None
    try:
        settings = Settings(**(overrides or {}))
    except ValidationError as error:
        problems += (_problem(item, "") for item in error.errors(include_url=False, include_input=False))
    path = settings.bot_config if settings else None
    try:
        team = read_team(path)
    except SettingsError as error:
        problems += error.problems
    if problems or settings is None:
        raise SettingsError(problems)
    return settings.model_copy(update={"team": team})


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
        raise SettingsError([f"{path} cannot be read: {error}."]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{path} is not valid TOML: {error}."]) from None
    except ValidationError as error:
        raise SettingsError([_problem(item, f"{path}: ") for item in error.errors(include_url=False)]) from None


def _problem(item: Any, where: str) -> str:
    name = ".".join(str(part) for part in item["loc"])
    if not where:
        name = name.upper()
    if item["type"] == "extra_forbidden":
        return f"{where}{name} is not known here; known are {', '.join(Team.model_fields)}."
    return f"{where}{name}: {item['msg'].removeprefix('Value error, ')}."
