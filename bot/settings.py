"""The settings from the environment (and `.env` in development): secrets, servers, everything specific to a machine.

They are read once, at startup. All problems are reported together, each with the variable's name and what to do.
Secrets are never shown, and each may also come from a file (`store.variables`). What a team agrees on is in the team
file (`bot.team.file`), what concerns mail in `bot.email_settings`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator

from bot import extras
from bot.email_settings import EmailSettings
from bot.team.names import nearest
from bot.team.problems import SettingsError, what_is_wrong
from bot.team.reach import Reach
from channels.hosts import is_loopback
from channels.webhook.endpoints import Endpoint, endpoints_of, keys_of, missing, urls_of
from store.variables import SUFFIX, SecretError, env_file, secret_of, variable

SECRET_CHARS_MIN = 16
DIFFERENT_CHARS_MIN = 8
"""`openssl rand -hex 32` prints fewer once in 300 million times."""


class ChannelSettings(NamedTuple):
    """How one channel is set up."""

    is_set_up: bool
    problems: list[str]
    """What is missing or wrong."""
    hint: str
    """How to set it up."""
    names: frozenset[str] | None = None
    """The names of its places, if they are set up one by one; None: any place."""


class Settings(EmailSettings):
    """Each field is the variable of its name. What stands below it is its entry in docs/reference.md."""

    model_config = ConfigDict(frozen=True)

    redis_url: str = Field(default="", repr=False)
    """The thread store: `redis://`, `rediss://` or `unix://`. Empty: an embedded Valkey under BOT_HOME."""
    bot_home: Path = Path(".bot")
    """The folder for the embedded store, deployments and results of evals. One for each machine, on a local disk."""
    bot_config: Path | None = None
    """The team file. Empty: `bot.toml` in the working directory, if it exists."""
    openai_api_key: SecretStr = SecretStr("")
    """The key of the model's endpoint."""
    openai_base_url: str = Field(default="https://api.openai.com/v1", repr=False)
    """The endpoint of the model: any that speaks the OpenAI API."""
    openai_model: str = ""
    """The model's name there. Empty: the agents have no model, unless the team file names one. `stand-in`: no model and
    no key, but something that matches a few keywords, to try it out; it replaces every model of the team file."""
    slack_bot_token: SecretStr = SecretStr("")
    """The bot token, `xoxb-…`. Empty: Slack is off."""
    slack_client_id: str = ""
    """The app's client id. Only where Slack rotates the app's tokens, with the secret and the refresh token."""
    slack_client_secret: SecretStr = SecretStr("")
    """The app's client secret, where tokens are rotated."""
    slack_refresh_token: SecretStr = SecretStr("")
    """The first refresh token. Later ones are kept in the store, encrypted with BOT_SECRET_KEY."""
    slack_app_token: SecretStr = SecretStr("")
    """The app-level token, `xapp-…`, for Socket Mode."""
    slack_signing_secret: SecretStr = SecretStr("")
    """The signing secret, for events over HTTP instead of Socket Mode."""
    slack_api_url: str = Field(default="https://slack.com/api/", repr=False)
    """Another API, for GovSlack or a proxy."""
    webhook_urls: str = Field(default="", repr=False)
    """The endpoints that messages are posted to: `NAME=https://…`, with spaces between several."""
    webhook_secrets: SecretStr = SecretStr("")
    """What signs the posts to each endpoint: `NAME=whsec_…`. Two secrets of one name both sign."""
    bot_secret_key: SecretStr = SecretStr("")
    """Signs links, reply addresses and records; encrypts logins that are kept. 16 characters or more, at random.

    Required with REDIS_URL where mail is set up or Slack's tokens are rotated: who reads that Redis must not find it.
    Empty: the embedded store makes one and keeps it.
    """
    bot_secret_key_before: SecretStr = SecretStr("")
    """The key before this one, while you change it. It verifies what it signed (links hold for a week), and signs
    nothing. Leave it empty if that key leaked.
    """
    bot_api_token: SecretStr = SecretStr("")
    """The HTTP API's token of the machine `api`, 16 characters or more. Empty: only tokens of the team file count."""
    host: str = "127.0.0.1"
    """The address at which HTTP is served."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """The port at which HTTP is served."""
    bot_concurrency: Annotated[int, Field(ge=1, le=1000)] = 50
    """The calls that a worker process makes to one model at once, and the threads that it holds beside those."""
    bot_lease_seconds: Annotated[float, Field(ge=1, le=600)] = 15
    """How long a thread stays with a worker that died."""
    durable_before_acting: Literal["", "disk", "replica"] = ""
    """What confirms a start before its tool begins, and a message before it is acknowledged.

    Empty: Redis alone. `disk`: its disk (WAITAOF, Redis 7.2 or newer). `replica`: one of its replicas (WAIT), so that a
    failover forgets nothing that acts.
    """
    bot_grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 20
    """How long `bot run` finishes what it began after SIGTERM."""
    bot_log_level: str = "info"
    """From which level on lines are written: `debug`, `info`, `warning` or `error`."""

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

    @field_validator("webhook_urls", "webhook_secrets")
    @classmethod
    def _webhooks(cls, value: str | SecretStr) -> str | SecretStr:
        _ = urls_of(value) if isinstance(value, str) else keys_of(value.get_secret_value())
        return value

    @field_validator("bot_secret_key", "bot_secret_key_before", "bot_api_token")
    @classmethod
    def _secret(cls, secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value()
        if 0 < len(text) < SECRET_CHARS_MIN or 0 < len(set(text)) < DIFFERENT_CHARS_MIN:
            what = f"{SECRET_CHARS_MIN} characters or more, {DIFFERENT_CHARS_MIN} of them different"
            raise ValueError(f"must have {what}, such as `openssl rand -hex 32` prints")
        return secret

    @field_validator("bot_home", "bot_config")
    @classmethod
    def _expanded(cls, path: Path | None) -> Path | None:
        try:
            return path.expanduser() if path else path
        except RuntimeError:
            raise ValueError("begins with ~, but there is no home directory") from None

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
    def webhooks(self) -> dict[str, Endpoint]:
        """By name."""
        return endpoints_of(self.webhook_urls, self.webhook_secrets.get_secret_value())

    def channels(self) -> dict[str, ChannelSettings]:
        """The channels that need settings."""
        slack = "`bot init` sets it up; or set SLACK_BOT_TOKEN, and SLACK_APP_TOKEN or SLACK_SIGNING_SECRET."
        email = "`bot init` sets it up; or set EMAIL_ADDRESS, and IMAP_URL and SMTP_URL, or EMAIL_OAUTH."
        webhook = "set WEBHOOK_URLS and WEBHOOK_SECRETS."
        endpoints = frozenset(self.webhooks)
        return {
            "slack": ChannelSettings(self.has_slack, self.slack_problems() + _missing("slack", self.has_slack), slack),
            "email": ChannelSettings(self.has_email, self.email_problems() + _missing("email", self.has_email), email),
            "webhook": ChannelSettings(bool(endpoints), self.webhook_problems(), webhook, endpoints),
        }

    def reach(self) -> Reach:
        """Where messages can be sent. The terminal is always available."""
        return {"terminal": None} | {name: one.names for name, one in self.channels().items() if one.is_set_up}

    def channel_problems(self) -> list[str]:
        """The problems of partly configured channels, and of the keys that sign what they send."""
        return [*(problem for one in self.channels().values() for problem in one.problems), *self.key_problems()]

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The first one signs, all verify. Empty: none is set."""
        keys = (self.bot_secret_key.get_secret_value(), self.bot_secret_key_before.get_secret_value())
        return tuple(filter(None, keys)) if keys[0] else ()

    def key_problems(self) -> list[str]:
        """A shared Redis must not keep the key: whoever can read it could sign links, and decide by them."""
        key, before = self.bot_secret_key.get_secret_value(), self.bot_secret_key_before.get_secret_value()
        problems = []
        if self.redis_url and self.slack_refresh_token.get_secret_value() and not key:
            problems.append(
                "BOT_SECRET_KEY is not set: it encrypts Slack's tokens, and the Redis of REDIS_URL must not hold it. "
                "Set it to what `openssl rand -hex 32` prints, the same for every process."
            )
        elif self.redis_url and self.has_email and not key:
            problems.append(
                "BOT_SECRET_KEY is not set: it signs the links in mails, and the Redis of REDIS_URL must not hold it. "
                "Set it to what `openssl rand -hex 32` prints, the same for every process."
            )
        if before and not key:
            problems.append("BOT_SECRET_KEY_BEFORE has no effect without BOT_SECRET_KEY, the key that signs now.")
        if before and before == key:
            problems.append("BOT_SECRET_KEY_BEFORE has no effect: it is the same key as BOT_SECRET_KEY.")
        return problems

    def webhook_problems(self) -> list[str]:
        return missing(self.webhook_urls, self.webhook_secrets.get_secret_value())

    def slack_problems(self) -> list[str]:
        bot, app, secret = (
            bool(each.get_secret_value())
            for each in (self.slack_bot_token, self.slack_app_token, self.slack_signing_secret)
        )
        problems = []
        if (app or secret) and not bot:
            problems.append(
                "SLACK_BOT_TOKEN is not set: copy the token that begins with xoxb- from OAuth & Permissions."
            )
        if bot and not app and not secret:
            problems.append(
                "SLACK_APP_TOKEN is not set: for Socket Mode, make one under Basic Information (it begins with xapp-); "
                "or set SLACK_SIGNING_SECRET for HTTP."
            )
        kept = (self.slack_refresh_token, self.slack_client_secret)
        rotates = [bool(self.slack_client_id), *(bool(one.get_secret_value()) for one in kept)]
        if any(rotates) and not all(rotates):
            problems.append(
                "SLACK_CLIENT_ID, SLACK_CLIENT_SECRET and SLACK_REFRESH_TOKEN belong together: set all where the app's "
                "tokens are rotated, and none elsewhere."
            )
        bot_prefix = "xoxe.xoxb-" if all(rotates) else "xoxb-"
        for name, value, prefix in (("BOT", self.slack_bot_token, bot_prefix), ("APP", self.slack_app_token, "xapp-")):
            token = value.get_secret_value()
            if token and not token.startswith(prefix):
                problems.append(f"SLACK_{name}_TOKEN does not begin with {prefix}: it is another kind of token.")
        return problems

    @property
    def has_model(self) -> bool:
        return bool(self.openai_model)

    def variable(self, name: str) -> str:
        """A secret variable that the team file names, from the environment, `.env`, or its file; empty: not set.

        Raises SettingsError.
        """
        if name.lower() in type(self).model_fields:
            value = getattr(self, name.lower())
            return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        try:
            return variable(name)
        except SecretError as error:
            raise SettingsError([str(error)]) from None


SECRETS = frozenset(
    name for name, field in Settings.model_fields.items() if field.annotation is SecretStr or not field.repr
)
"""The fields whose variables may hold a secret, a password in a URL say, and may come from a file."""


class Environment(NamedTuple):
    settings: Settings
    """The valid settings; the others have their defaults."""
    problems: list[str]
    wrong: frozenset[str]
    """The fields whose variables are invalid."""


def environment(draft: Mapping[str, str] | None = None) -> Environment:
    """Read the variables, and `.env` if it exists. `draft`: as if these were set as well."""
    file, problems = env_file()
    variables = _by_name(file) | _by_name(os.environ) | _by_name(draft or {})
    given = {name: value for name, value in variables.items() if name in Settings.model_fields}
    for name in sorted(SECRETS & {name.removesuffix(SUFFIX.lower()) for name in variables}):
        try:
            path = variables.get(f"{name}{SUFFIX.lower()}", "")
            given[name] = secret_of(name.upper(), given.get(name, ""), path)
        except SecretError as error:
            problems.append(str(error))
            given.pop(name, None)
    wrong: frozenset[str] = frozenset()
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems += (f"{'.'.join(map(str, item['loc'])).upper()} {what_is_wrong(item)}" for item in found)
        wrong = frozenset(str(item["loc"][0]) for item in found)
        settings = Settings.model_validate({name: value for name, value in given.items() if name not in wrong})
    return Environment(settings, problems, wrong)


def _by_name(variables: Mapping[str, str]) -> dict[str, str]:
    """What is set, by its name in lower case. An empty variable is an unset one."""
    return {name.lower(): value for name, value in variables.items() if value}


def misspelt(used: Collection[str] = ()) -> list[str]:
    """Warnings about variables whose names are almost ours, and which therefore have no effect.

    `used`: the names of others that have one.
    """
    ours = {name.upper() for name in Settings.model_fields} | {f"{name.upper()}{SUFFIX}" for name in SECRETS}
    used = {*used, *(f"{name}{SUFFIX}" for name in used)}
    warnings = []
    for name in sorted(os.environ):
        if name.startswith("BOT_HOOK_") and name not in used:
            warnings.append(f"{name} has no effect: bot.toml has no hook of that name.")
            continue
        near = nearest(name, ours, cutoff=0.8)
        if (
            name not in ours
            and name not in used
            and name.startswith(("BOT_", "OPENAI_", "REDIS_", "SLACK_", "EMAIL_", "IMAP_", "SMTP_", "WEBHOOK_"))
            and near
        ):
            warnings.append(f"{name} is not known; did you mean {near}?")
    return warnings


def _missing(extra: str, is_set_up: bool) -> list[str]:
    return [*extras.missing(extra)] if is_set_up else []


def _split(url: str) -> SplitResult:
    """Raises ValueError without quoting the URL, which may contain a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL; in a password, / ? # and @ are written %2F %3F %23 %40") from None
    return parts
